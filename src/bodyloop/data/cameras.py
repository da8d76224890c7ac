"""Random cameras around people."""

import math

import torch
from torch import Tensor

from bodyloop.geometry import axis_angle_to_rotmat


def camera_rotations(count: int, generator: torch.Generator) -> Tensor:
    """World (y up) to camera (y down) rotations (count, 3, 3): any yaw, near level, slight roll."""

    def normal(degrees: float, limit: float) -> Tensor:
        angle = torch.randn(count, generator=generator) * math.radians(degrees)
        return angle.clamp(-math.radians(limit), math.radians(limit))

    zero = torch.zeros(count)
    yaw = (torch.rand(count, generator=generator) * 2 - 1) * math.pi
    pitch, roll = normal(15, 60) + math.radians(5), normal(6, 30)
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    turns = [
        axis_angle_to_rotmat(torch.stack(v, -1))
        for v in ((zero, zero, roll), (pitch, zero, zero), (zero, yaw, zero))
    ]
    return turns[0] @ turns[1] @ upright @ turns[2]
