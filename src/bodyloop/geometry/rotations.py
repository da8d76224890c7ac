"""Rotation representations, on roma. Matrices inside, axis-angle at the file boundary, 6D for networks.

6D here is the first two **columns** of the matrix, one after the other: ``(r11, r21, r31, r12, r22, r32)``.
SPIN stores the same two columns interleaved; `spin_rot6d_to_rotmat` reads that layout.
"""

import roma
import torch
from torch import Tensor


def axis_angle_to_rotmat(axis_angle: Tensor) -> Tensor:
    """Rotation vectors (..., 3), radians, to matrices (..., 3, 3)."""
    return roma.rotvec_to_rotmat(axis_angle)


def rotmat_to_axis_angle(rotmat: Tensor) -> Tensor:
    """Matrices (..., 3, 3) to rotation vectors (..., 3), radians, of length at most pi."""
    return roma.rotmat_to_rotvec(rotmat)


def rot6d_to_rotmat(rot6d: Tensor) -> Tensor:
    """Two columns (..., 6), not necessarily orthonormal, to matrices (..., 3, 3) by Gram-Schmidt.

    Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019.
    """
    columns = rot6d.unflatten(-1, (2, 3)).transpose(-1, -2)
    return roma.special_gramschmidt(columns)


def rotmat_to_rot6d(rotmat: Tensor) -> Tensor:
    """Matrices (..., 3, 3) to their first two columns (..., 6)."""
    return rotmat[..., :2].transpose(-1, -2).flatten(-2)


def spin_rot6d_to_rotmat(rot6d: Tensor) -> Tensor:
    """SPIN's 6D layout (..., 6), a row-major (3, 2) view with the columns interleaved, to (..., 3, 3)."""
    return roma.special_gramschmidt(rot6d.unflatten(-1, (3, 2)))


def geodesic_distance(first: Tensor, second: Tensor) -> Tensor:
    """Angle in radians (...) between two rotation matrices (..., 3, 3)."""
    return roma.rotmat_geodesic_distance(first, second)


def mirror_rotmat(rotmat: Tensor) -> Tensor:
    """Rotation (..., 3, 3) seen in a mirror that flips x: M R M with M = diag(-1, 1, 1).

    On rotation vectors this negates y and z, which is the pose flip of SPIN (without the left-right swap).
    """
    sign = torch.tensor([-1.0, 1.0, 1.0], dtype=rotmat.dtype, device=rotmat.device)
    return rotmat * sign[:, None] * sign[None, :]
