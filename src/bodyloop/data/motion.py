"""`Motion`: one clip of SMPL poses in time."""

from dataclasses import dataclass, replace

import roma
import torch
from torch import Tensor

from bodyloop.body import SMPL_FLIP, Bodies
from bodyloop.geometry import axis_angle_to_rotmat, geodesic_distance, mirror_rotmat, rotmat_to_axis_angle

GLITCH_TURN = 75.0
"""Degrees: a joint that turns further than this between two frames at 30 fps is a fault of the capture."""
GLITCH_MOVE = 0.35
"""Metres: a root that moves further than this between two frames at 30 fps is a fault of the capture."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Poses of one person over time, in SMPL's parameters; world with y up.

    Attributes:
        rotations: (T, 24, 3, 3) joint rotations relative to the parent; joint 0 is the global orientation.
        trans: (T, 3) metres, SMPL's ``trans`` as in `Bodies`: added after posing.
        fps: frames per second; the step between frames is 1 / fps unless the motion was thinned.
        name: clip name.
        subject: subject name, "" if unknown.
        good: (T,) bool, True for frames free of glitches.
        betas: (10,) shape coefficients in the shape space of the source's body (SMPL-H's for AMASS), or None
            where the source says nothing about shape.
        gender: "neutral", "female" or "male".
    """

    rotations: Tensor
    trans: Tensor
    fps: float
    name: str
    subject: str
    good: Tensor
    betas: Tensor | None = None
    gender: str = "neutral"

    def __post_init__(self) -> None:
        frames = self.rotations.shape[0] if self.rotations.ndim else 0
        shapes = (tuple(self.rotations.shape), tuple(self.trans.shape), tuple(self.good.shape))
        if shapes != ((frames, 24, 3, 3), (frames, 3), (frames,)) or self.good.dtype != torch.bool:
            raise ValueError(
                "Motion needs rotations (T, 24, 3, 3), trans (T, 3) and a bool good (T,), got "
                f"{shapes[0]}, {shapes[1]} and {self.good.dtype} {shapes[2]}"
            )
        if not self.fps > 0:
            raise ValueError(f"Motion needs a positive fps, got {self.fps}")
        if self.betas is not None and tuple(self.betas.shape) != (10,):
            raise ValueError(f"Motion needs betas (10,) or None, got {tuple(self.betas.shape)}")

    @classmethod
    def from_smpl(
        cls,
        pose: Tensor,
        trans: Tensor,
        fps: float,
        name: str = "",
        subject: str = "",
        good: Tensor | None = None,
        betas: Tensor | None = None,
        gender: str = "neutral",
    ) -> "Motion":
        """From SMPL's pose (T, 72), axis-angle. Without ``good``, glitches are looked for."""
        rotations = axis_angle_to_rotmat(pose.unflatten(-1, (24, 3)))
        if good is None:
            good = find_good(rotations, trans, fps)
        return cls(rotations, trans, fps, name, subject, good, betas, gender)

    def __len__(self) -> int:
        return len(self.rotations)

    def __getitem__(self, index: slice | Tensor) -> "Motion":
        return replace(self, rotations=self.rotations[index], trans=self.trans[index], good=self.good[index])

    @property
    def pose(self) -> Tensor:
        """SMPL's pose vectors (T, 72), axis-angle."""
        return rotmat_to_axis_angle(self.rotations).flatten(-2)

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self) / self.fps

    def bodies(self, betas: Tensor | None = None) -> Bodies:
        """All frames as `Bodies` (T,), with the given betas (10,), else the source's, else the mean shape."""
        betas = self.betas if betas is None else betas
        betas = self.trans.new_zeros(10) if betas is None else betas.to(self.trans)
        return Bodies(self.rotations, betas.expand(len(self), 10), self.trans)

    def distinct_frames(self, angle: float = 10.0) -> Tensor:
        """Indices (K,) of good frames of which no two are alike.

        At 30 fps neighbours are near duplicates. Greedy in time order: each kept frame removes all later
        frames in which no body joint (root aside) is turned by more than ``angle`` degrees against it.
        """
        left = self.good.nonzero()[:, 0]
        # The angle exceeds the limit where the trace of R_a^T R_b falls below 1 + 2 cos(angle).
        limit = 1 + 2 * torch.cos(torch.deg2rad(torch.tensor(float(angle)))).to(self.rotations)
        body = self.rotations[:, 1:].flatten(-2)
        kept: list[Tensor] = []
        while len(left):
            kept.append(left[0])
            traces = (body[left] * body[left[0]]).sum(-1)
            left = left[1:][(traces[1:] < limit).any(-1)]
        return torch.stack(kept) if kept else left

    def thin(self, angle: float = 10.0) -> "Motion":
        """Only the good frames of which no two are alike (see `distinct_frames`); steps become uneven."""
        return self[self.distinct_frames(angle)]

    def resample(self, fps: float) -> "Motion":
        """At another frame rate: rotations on the shortest arc, translation on a line.

        A frame between a good and a bad one is bad.
        """
        if not fps > 0:
            raise ValueError(f"fps should be positive, got {fps}")
        if len(self) == 0:
            return replace(self, fps=fps)
        count = int((len(self) - 1) / self.fps * fps + 1e-6) + 1
        places = (torch.arange(count, dtype=torch.float64) * (self.fps / fps)).clamp(max=len(self) - 1)
        nearest = places.round()
        places = torch.where((places - nearest).abs() < 1e-6, nearest, places)
        low = places.floor().long()
        high = places.ceil().long()
        share = (places - low).to(self.trans)
        turn = rotmat_to_axis_angle(self.rotations[low].mT @ self.rotations[high])
        rotations = self.rotations[low] @ axis_angle_to_rotmat(turn * share[:, None, None])
        trans = torch.lerp(self.trans[low], self.trans[high], share[:, None])
        good = self.good[low] & self.good[high]
        return replace(
            self, rotations=roma.special_procrustes(rotations), trans=trans, fps=float(fps), good=good
        )

    def mirrored(self) -> "Motion":
        """The motion in a mirror that flips x: left and right swapped."""
        return replace(
            self,
            rotations=mirror_rotmat(self.rotations[:, SMPL_FLIP]),
            trans=self.trans * self.trans.new_tensor([-1.0, 1.0, 1.0]),
        )


def find_good(rotations: Tensor, trans: Tensor, fps: float) -> Tensor:
    """Mask (T,) of frames free of glitches: both ends of an impossibly fast step are bad.

    Args:
        rotations: (T, 24, 3, 3) relative to the parent.
        trans: (T, 3) metres.
        fps: frames per second; the limits `GLITCH_TURN` and `GLITCH_MOVE` scale with the time step.
    """
    good = torch.ones(len(rotations), dtype=torch.bool)
    if len(rotations) < 2:
        return good
    turn = torch.rad2deg(geodesic_distance(rotations[1:], rotations[:-1])).amax(-1)
    move = (trans[1:] - trans[:-1]).norm(dim=-1)
    bad = (turn * fps / 30 > GLITCH_TURN) | (move * fps / 30 > GLITCH_MOVE)
    good[1:] &= ~bad
    good[:-1] &= ~bad
    return good
