"""Bodies in the axes of crops, which are turned about the optical axis and mirrored."""

import torch
from torch import Tensor

from bodyloop.body import Bodies
from bodyloop.geometry import axis_angle_to_rotmat


def turns(angle: Tensor) -> Tensor:
    """Rotations (B, 3, 3) about the optical axis by angles (B,), as `CropTransform.turn`."""
    zero = torch.zeros_like(angle)
    return axis_angle_to_rotmat(torch.stack([zero, zero, angle], -1))


def chosen(mask: Tensor, first: Bodies, second: Bodies) -> Bodies:
    """Of each of B people the first body where the mask (B,) says so, else the second."""
    return Bodies(
        torch.where(mask[:, None, None, None], first.rotations, second.rotations),
        torch.where(mask[:, None], first.betas, second.betas),
        torch.where(mask[:, None], first.translation, second.translation),
    )
