"""The numbers in which priors and fits see a body pose: axis-angle (69) or 6D (138), and their tangents.

A body pose is 23 local rotations (..., 23, 3, 3), SMPL's joints without the global orientation.
"""

from typing import Literal

import torch
from torch import Tensor

from bodyloop.geometry import axis_angle_to_rotmat, rot6d_to_rotmat, rotmat_to_axis_angle, rotmat_to_rot6d

Representation = Literal["axis_angle", "rot6d"]

BODY_JOINTS = 23
SIZES: dict[Representation, int] = {"axis_angle": 3 * BODY_JOINTS, "rot6d": 6 * BODY_JOINTS}


def to_coordinates(rotations: Tensor, representation: Representation) -> Tensor:
    """Rotations (..., J, 3, 3) to numbers (..., 3 J) or (..., 6 J)."""
    convert = rotmat_to_axis_angle if representation == "axis_angle" else rotmat_to_rot6d
    return convert(rotations).flatten(-2)


def to_rotations(coordinates: Tensor, representation: Representation) -> Tensor:
    """Numbers (..., 3 J) or (..., 6 J) to rotations (..., J, 3, 3); 6D through Gram-Schmidt."""
    if representation == "axis_angle":
        return axis_angle_to_rotmat(coordinates.unflatten(-1, (-1, 3)))
    return rot6d_to_rotmat(coordinates.unflatten(-1, (-1, 6)))


def skew(v: Tensor) -> Tensor:
    """Cross product matrices (..., 3, 3) of vectors (..., 3)."""
    zero = torch.zeros_like(v[..., 0])
    x, y, z = v.unbind(-1)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def right_jacobian(theta: Tensor) -> Tensor:
    """J_r (..., 3, 3) with exp(theta + d) = exp(theta) exp(J_r d) to first order; theta (..., 3) in radians."""
    square = theta.square().sum(-1)[..., None, None]
    angle = square.clamp_min(1e-16).sqrt()
    small = angle < 1e-4
    a = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / angle.square())
    b = torch.where(small, 1 / 6 - square / 120, (angle - angle.sin()) / angle**3)
    cross = skew(theta)
    return torch.eye(3, dtype=theta.dtype, device=theta.device) - a * cross + b * (cross @ cross)


def gram_schmidt_jacobian(rot6d: Tensor) -> Tensor:
    """T (..., 3, 6) with GS(x + d) = GS(x) exp(T d) to first order; x (..., 6), the two columns.

    With columns a1, a2, their orthonormal b1, b2, b3 and |a1|, |a2 - (b1 a2) b1| the two lengths, the turn about
    b2 and b3 is what b1 does, and the turn about b1 what is left of a2.
    """
    first, second = rot6d[..., :3], rot6d[..., 3:]
    length = first.norm(dim=-1, keepdim=True)
    b1 = first / length
    along = (b1 * second).sum(-1, keepdim=True)
    rest = second - along * b1
    height = rest.norm(dim=-1, keepdim=True)
    b2 = rest / height
    b3 = torch.linalg.cross(b1, b2)
    zero = torch.zeros_like(b1)
    about_first = torch.cat([-along * b3 / (length * height), b3 / height], -1)
    about_second = torch.cat([-b3 / length, zero], -1)
    about_third = torch.cat([b2 / length, zero], -1)
    return torch.stack([about_first, about_second, about_third], -2)


def tangent_jacobian(coordinates: Tensor, representation: Representation) -> Tensor:
    """Per joint, the turn in its own frame by coordinate: (..., 3 J) to (..., J, 3, 3), or 6 J to (..., J, 3, 6)."""
    if representation == "axis_angle":
        return right_jacobian(coordinates.unflatten(-1, (-1, 3)))
    return gram_schmidt_jacobian(coordinates.unflatten(-1, (-1, 6)))
