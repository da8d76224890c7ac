"""Columns of labels, checked for all rows at once."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from bodyloop.body import Bodies, Skeleton
from bodyloop.data.formats.format import Tally
from bodyloop.data.record import BodyLabel, Gender, Joints3D, Keypoints2D

FARTHEST = 1e4
"""Pixels, in either direction, beyond which no keypoint lies."""
GREATEST_METRES = 100.0
"""Farther from the camera, or the root, nobody stands; larger numbers are millimetres or damage."""

_GENDERS: dict[str, Gender] = {"m": "male", "f": "female", "n": "neutral"}


@dataclass(frozen=True, eq=False)
class KeypointColumn:
    """2D keypoints of N rows: values (N, K, 3) float32 x, y, confidence; detected (N, K) bool."""

    skeleton: Skeleton
    values: np.ndarray
    detected: np.ndarray

    @classmethod
    def clean(
        cls, skeleton: Skeleton, values: np.ndarray, tally: Tally, detected: bool | np.ndarray = False
    ) -> "KeypointColumn":
        """Keypoints that are not finite, or beyond any image, count as unseen; confidence is clipped to [0, 1]."""
        values = to_float32(values)
        fine = np.isfinite(values).all(-1) & (np.abs(values[..., :2]) < FARTHEST).all(-1)
        tally.blank_rows(~fine.all(1), "a keypoint that is not finite or far outside")
        seen = fine & (values[..., 2] > 0)
        values[~seen] = 0
        values[..., 2] = values[..., 2].clip(0, 1)
        return cls(skeleton, values, np.broadcast_to(np.asarray(detected), values.shape[:2]))

    def at(self, row: int) -> Keypoints2D | None:
        """Keypoints of a row; None if all are unseen."""
        values = torch.from_numpy(self.values[row])
        if not bool((values[:, 2] > 0).any()):
            return None
        return Keypoints2D(
            self.skeleton, values[:, :2], values[:, 2], torch.from_numpy(self.detected[row].copy())
        )


@dataclass(frozen=True, eq=False)
class JointColumn:
    """3D joints of N rows: values (N, K, 4) float32 x, y, z in metres and 0 or 1."""

    skeleton: Skeleton
    values: np.ndarray
    frame: Literal["camera", "root"]

    @classmethod
    def clean(
        cls, skeleton: Skeleton, values: np.ndarray, frame: Literal["camera", "root"], tally: Tally
    ) -> "JointColumn":
        """Joints that are not finite, or farther away than `GREATEST_METRES`, count as unknown."""
        values = to_float32(values)
        fine = np.isfinite(values).all(-1) & (np.abs(values[..., :3]) < GREATEST_METRES).all(-1)
        known = fine & (values[..., 3] > 0)
        bad = ~fine & ~(values[..., 3] == 0)
        tally.blank_rows(
            bad.any(1), f"a 3D joint that is not finite or {GREATEST_METRES:g} m away (not metres?)"
        )
        values[~known] = 0
        values[..., 3] = known
        return cls(skeleton, values, frame)

    def at(self, row: int) -> Joints3D | None:
        """Joints of a row; None if all are unknown."""
        values = torch.from_numpy(self.values[row])
        if not bool((values[:, 3] > 0).any()):
            return None
        return Joints3D(self.skeleton, values[:, :3], values[:, 3] > 0, self.frame)


@dataclass(frozen=True, eq=False)
class BodyColumn:
    """SMPL parameters of N rows, float32.

    Attributes:
        pose: (N, 72) axis-angle.
        betas: (N, 10), or None.
        translation: (N, 3) metres, or None.
        valid: (N,) bool, which rows have parameters at all.
        frame: of the global orientation.
    """

    pose: np.ndarray
    betas: np.ndarray | None
    translation: np.ndarray | None
    valid: np.ndarray
    frame: Literal["camera", "world"] = "camera"

    @classmethod
    def clean(
        cls,
        pose: np.ndarray,
        betas: np.ndarray | None,
        translation: np.ndarray | None,
        valid: np.ndarray,
        tally: Tally,
        frame: Literal["camera", "world"] = "camera",
    ) -> "BodyColumn":
        """Rows with parameters that are not finite, or beyond all reason, have none."""
        parts = [to_float32(x) for x in (pose, betas, translation) if x is not None]
        fine = np.ones(len(pose), bool)
        for part in parts:
            fine &= np.isfinite(part).all(1) & (np.abs(part) < 1e3).all(1)
        tally.blank_rows(valid & ~fine, "SMPL parameters that are not finite or beyond all reason")
        rest = iter(parts[1:])
        return cls(
            parts[0],
            None if betas is None else next(rest),
            None if translation is None else next(rest),
            valid & fine,
            frame,
        )

    def at(self, row: int) -> BodyLabel | None:
        """Parameters of a row."""
        if not self.valid[row]:
            return None
        pose = torch.from_numpy(self.pose[row])
        betas = None if self.betas is None else torch.from_numpy(self.betas[row])
        place = None if self.translation is None else torch.from_numpy(self.translation[row])
        bodies = Bodies.from_smpl(pose, betas, place)
        return BodyLabel(bodies, self.frame, betas is not None, place is not None)


def to_float32(values: np.ndarray) -> np.ndarray:
    """A copy in single precision; what is too large for it becomes infinite."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32)


def is_lens(focal: np.ndarray, center: np.ndarray) -> bool:
    """Whether these are two focal lengths and a principal point in pixels that a camera can have."""
    numbers = np.concatenate([np.ravel(focal), np.ravel(center)])
    fine = numbers.shape == (4,) and np.isfinite(numbers).all() and (np.abs(numbers) < 1e6).all()
    return bool(fine and (numbers[:2] > 1e-3).all())


def is_rotation(matrix: np.ndarray) -> np.ndarray:
    """(...) bool: which matrices (..., 3, 3) are rotations, to the precision of numbers in text."""
    with np.errstate(all="ignore"):
        gap = np.abs(matrix @ np.swapaxes(matrix, -1, -2) - np.eye(3)).max((-1, -2))
        fine = (gap < 1e-3) & (np.linalg.det(np.nan_to_num(matrix)) > 0)
    return np.asarray(fine)


def to_gender(value: object) -> Gender | None:
    """A gender from a file's word for it; None if it says nothing."""
    return _GENDERS.get(str(value).strip().removeprefix("b'")[:1].lower())


def boxes_around(keypoints: np.ndarray) -> np.ndarray:
    """(N, 4) x0, y0, x1, y1 around the seen keypoints (N, K, 3); NaN where none is seen."""
    seen = keypoints[..., 2:] > 0
    low = np.where(seen, keypoints[..., :2], np.inf).min(1)
    high = np.where(seen, keypoints[..., :2], -np.inf).max(1)
    boxes = np.concatenate([low, high], 1)
    return np.where(np.isfinite(boxes), boxes, np.nan)


def good_boxes(boxes: np.ndarray) -> np.ndarray:
    """(N,) bool: which boxes (N, 4) x0, y0, x1, y1 are finite and larger than nothing."""
    with np.errstate(invalid="ignore"):
        fine = (np.abs(boxes) < 1e6).all(1) & (boxes[:, 2:] > boxes[:, :2]).all(1)
    return np.asarray(fine)
