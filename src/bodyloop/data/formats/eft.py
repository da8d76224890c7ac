"""EFT's JSON: fits of a network's weights to 2D keypoints, for COCO, MPII, LSPET and others.

Joo, Neverova, Vedaldi, "Exemplar Fine-Tuning for 3D Human Model Fitting Towards In-the-Wild 3D Human Pose
Estimation", 2020; docs/README_dataformat.md of its repository.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body import Bodies, get_skeleton
from bodyloop.data.formats.columns import KeypointColumn, is_rotation
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally
from bodyloop.data.record import BodyLabel, Record, RecordSet
from bodyloop.evidence.json_files import RecordError, describe, to_numbers

WHAT = 'EFT\'s fits {"ver": ..., "data": [{"parm_pose": ..., "bbox_center": ..., "imageName": ...}, ...]}'
UNIT = 200.0
"""Pixels of a crop's side for a ``bbox_scale`` of 1."""
MARGIN = 1.2
"""By how much EFT's squares are larger than the person; `Record.box` has no margin."""


@dataclass(frozen=True, eq=False)
class EftPerson:
    """What an entry says.

    Attributes:
        image: the file's name.
        label: the annotation's id; None if the entry has none.
        rotations: (24, 3, 3) float32, in the axes of the crop's camera.
        betas: (10,) float32.
        smpl: whether the body is SMPL's.
        camera: (3,) float32 ``parm_cam``, s, tx, ty with crop coordinates s X + t in [-1, 1], of the body without its
            translation; None if the entry has none.
        center: (2,) of the square crop, image pixels.
        side: of the crop, pixels; `MARGIN` times the person's.
        keypoints: (49, 3) float32 x, y in image pixels and confidence; all 0 if the entry has none.
    """

    image: str
    label: str | None
    rotations: np.ndarray
    betas: np.ndarray
    smpl: bool
    camera: np.ndarray | None
    center: np.ndarray
    side: float
    keypoints: np.ndarray


@dataclass(frozen=True, eq=False)
class _Rows:
    name: str
    images: Path
    ids: list[str]
    files: list[str]
    rotations: np.ndarray
    betas: np.ndarray
    boxes: np.ndarray
    keypoints: KeypointColumn

    def __call__(self, row: int) -> Record:
        x0, y0, x1, y1 = self.boxes[row].tolist()
        bodies = Bodies(
            torch.from_numpy(self.rotations[row]), torch.from_numpy(self.betas[row]), torch.zeros(3)
        )
        return Record(
            self.name,
            self.ids[row],
            self.images / self.files[row].replace("\\", "/"),
            box=(x0, y0, x1, y1),
            keypoints=self.keypoints.at(row),
            body=BodyLabel(bodies, "camera", True, False),
            gender="neutral",
        )


def eft_people(content: Content, tally: Tally) -> Iterator[tuple[int, EftPerson]]:
    """The people of a file with their numbers in it; broken entries are counted and left out."""
    for number, entry in enumerate(content.json["data"]):
        try:
            yield number, _entry(entry)
        except RecordError as error:
            tally.drop(str(error), f"entry {number}")


def read_eft(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of EFT's files: SMPL pose and shape in camera axes, SPIN's 49 keypoints in image pixels where they are.

    The id is the annotation's, or the number of the entry. EFT stores a weak-perspective camera of the crop, so the
    place in front of the image's camera is unknown. Boxes are the crops without their margin.

    Raises:
        InputError: nothing can be used.
    """
    tally = Tally()
    ids: list[str] = []
    people: list[EftPerson] = []
    for number, person in eft_people(content, tally):
        if person.smpl:
            ids.append(str(number) if person.label is None else person.label)
            people.append(person)
        else:
            tally.drop("'smpltype' that is another body than SMPL's", f"entry {number}")
    if not people:
        tally.settle(spec, WHAT, 0)
    rotations, betas, seen = (
        np.stack([getattr(p, name) for p in people]) for name in ("rotations", "betas", "keypoints")
    )
    halves = [p.side / 2 / MARGIN for p in people]
    boxes = np.stack([[*(p.center - h), *(p.center + h)] for p, h in zip(people, halves, strict=True)])
    keypoints = KeypointColumn.clean(get_skeleton("spin49"), seen, tally, np.arange(49) < 25)
    files = [p.image for p in people]
    rows = _Rows(spec.label, spec.image_folder(), ids, files, rotations, betas, boxes, keypoints)
    kept = np.arange(len(ids))
    return RecordSet(spec.label, spec.path, rows, kept, tally.settle(spec, WHAT, len(kept)))


def _entry(entry: Any) -> EftPerson:
    """An entry's person.

    Raises:
        RecordError: saying what is missing or wrong.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("imageName"), str) or not entry["imageName"]:
        raise RecordError(f"an entry must be an object with 'imageName', got {describe(entry)}")
    rotations, betas = _finite(entry, "parm_pose", 24, 3, 3), _finite(entry, "parm_shape", 10)
    if not is_rotation(rotations).all():
        raise RecordError("'parm_pose' that holds no rotations")
    if not (np.abs(betas) < 1e3).all():
        raise RecordError("'parm_shape' beyond all reason")
    center, side = _finite(entry, "bbox_center", 2), float(_finite(entry, "bbox_scale")) * UNIT
    camera = None if entry.get("parm_cam") is None else _finite(entry, "parm_cam", 3)
    if not 0 < side < 1e6 or (camera is not None and camera[0] <= 0):
        raise RecordError("a camera or box that sees nothing")
    keypoints = np.zeros((49, 3))
    if entry.get("gt_keypoint_2d"):
        keypoints = to_numbers(entry["gt_keypoint_2d"], "'gt_keypoint_2d'")
        if keypoints.size != 147:
            raise RecordError(f"'gt_keypoint_2d' must be 49 keypoints, got {keypoints.size} numbers")
    own = entry.get("annotId")
    return EftPerson(
        entry["imageName"],
        str(own) if (isinstance(own, int) and own > 0) or (isinstance(own, str) and own) else None,
        rotations.astype(np.float32),
        betas.astype(np.float32),
        entry.get("smpltype", "smpl") == "smpl",
        None if camera is None else camera.astype(np.float32),
        center,
        side,
        keypoints.reshape(49, 3).astype(np.float32),
    )


def _finite(entry: dict[str, Any], key: str, *shape: int) -> np.ndarray:
    """Numbers (*shape) float64 of an entry.

    Raises:
        RecordError: if they are missing, none, of another shape or not finite.
    """
    try:
        values = np.asarray(entry[key], dtype=np.float64)
    except (KeyError, ValueError, TypeError, OverflowError):
        raise RecordError(f"{key!r} must be numbers, got {describe(entry.get(key))}") from None
    if values.shape != shape or not np.isfinite(values).all():
        raise RecordError(f"{key!r} must be finite numbers of shape {shape}, got {values.shape}")
    return values


def _tells(content: Content) -> bool:
    if not content.is_json or not isinstance(content.json, dict):
        return False
    entries = content.json.get("data")
    return isinstance(entries, list) and any(isinstance(e, dict) and "parm_pose" in e for e in entries[:100])


EFT = Format("eft", WHAT, _tells, read_eft)
