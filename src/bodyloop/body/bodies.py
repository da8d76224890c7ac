"""`Bodies`: posed people, the currency of the whole package."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bodyloop import showing
from bodyloop.geometry import axis_angle_to_rotmat, mirror_rotmat, rotmat_to_axis_angle

SMPL_FLIP = (0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22)
"""Left-right permutation of SMPL's 24 joints."""


@dataclass(frozen=True)
class Bodies:
    """Pose, shape and place of any number of people, in SMPL's parameters.

    Attributes:
        rotations: (..., 24, 3, 3) joint rotations relative to the parent; joint 0 is the global orientation.
        betas: (..., 10) shape coefficients.
        translation: (..., 3) metres, added to the posed body (SMPL's ``trans``: it does **not** place the
            root joint at this point, since the root rotates about its rest position).
    """

    rotations: Tensor
    betas: Tensor
    translation: Tensor

    def __post_init__(self) -> None:
        batch = self.rotations.shape[:-3]
        shapes = (self.rotations.shape[-3:], self.betas.shape[-1:], self.translation.shape[-1:])
        if shapes != ((24, 3, 3), (10,), (3,)) or {self.betas.shape[:-1], self.translation.shape[:-1]} != {
            batch
        }:
            raise ValueError(
                "Bodies needs rotations (..., 24, 3, 3), betas (..., 10), translation (..., 3) with the same "
                f"leading dimensions, got {tuple(self.rotations.shape)}, {tuple(self.betas.shape)}, "
                f"{tuple(self.translation.shape)}"
            )

    @classmethod
    def from_smpl(cls, pose: Tensor, betas: Tensor | None = None, trans: Tensor | None = None) -> "Bodies":
        """From SMPL's file parameters: pose (..., 72) axis-angle, betas (..., 10), trans (..., 3) metres."""
        if pose.shape[-1] != 72:
            raise ValueError(f"SMPL's pose has 72 numbers (24 joints x 3), got {pose.shape[-1]}")
        rotations = axis_angle_to_rotmat(pose.unflatten(-1, (24, 3)))
        batch = pose.shape[:-1]
        return cls(
            rotations,
            pose.new_zeros(*batch, 10) if betas is None else betas,
            pose.new_zeros(*batch, 3) if trans is None else trans,
        )

    @classmethod
    def rest(cls, *batch: int) -> "Bodies":
        """Mean shape in the T-pose at the origin."""
        return cls(torch.eye(3).repeat(*batch, 24, 1, 1), torch.zeros(*batch, 10), torch.zeros(*batch, 3))

    @property
    def pose(self) -> Tensor:
        """SMPL's pose vector (..., 72), axis-angle."""
        return rotmat_to_axis_angle(self.rotations).flatten(-2)

    @property
    def batch_shape(self) -> torch.Size:
        """Leading dimensions."""
        return self.rotations.shape[:-3]

    def __len__(self) -> int:
        return self.batch_shape[0]

    def __getitem__(self, index: int | slice | Tensor | tuple[slice | Tensor, ...]) -> "Bodies":
        return Bodies(self.rotations[index], self.betas[index], self.translation[index])

    def reshape(self, *batch: int) -> "Bodies":
        """The same bodies with other leading dimensions; -1 stands for what is left."""
        batch = self.translation[..., 0].reshape(batch).shape
        return Bodies(
            self.rotations.reshape(*batch, 24, 3, 3),
            self.betas.reshape(*batch, self.betas.shape[-1]),
            self.translation.reshape(*batch, 3),
        )

    def _repr_html_(self) -> str | None:
        """A small 3D view in a notebook, with the built-in body; None, and so the text, if that fails."""
        return showing.html_of(self)

    def to(self, *args: Any) -> "Bodies":
        """The same bodies on another device or in another precision."""
        return Bodies(self.rotations.to(*args), self.betas.to(*args), self.translation.to(*args))

    def mirrored(self) -> "Bodies":
        """The people in a mirror that flips x: left and right swapped, translation's x negated.

        Exact for bodies whose mesh is symmetric; betas stay.
        """
        rotations = mirror_rotmat(self.rotations[..., SMPL_FLIP, :, :])
        return Bodies(rotations, self.betas, self.translation * self.translation.new_tensor([-1.0, 1, 1]))

    def turned(self, turn: Tensor, pelvis: Tensor) -> "Bodies":
        """The same people after their world was turned: every point X becomes turn X.

        Args:
            turn: (..., 3, 3) rotation.
            pelvis: (..., 3) metres, the rest pelvis of these shapes (`BodyModel.rest_pelvis`): the root turns about
                it, so that the translation depends on it.
        """
        root = turn @ self.rotations[..., 0, :, :]
        rotations = torch.cat([root[..., None, :, :], self.rotations[..., 1:, :, :]], -3)
        place = (turn @ (pelvis + self.translation)[..., None])[..., 0]
        return Bodies(rotations, self.betas, place - pelvis)

    @staticmethod
    def cat(parts: "list[Bodies]") -> "Bodies":
        """Join along the first dimension."""
        return Bodies(
            torch.cat([p.rotations for p in parts]),
            torch.cat([p.betas for p in parts]),
            torch.cat([p.translation for p in parts]),
        )
