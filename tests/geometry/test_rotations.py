import torch

from bodyloop.geometry import (
    axis_angle_to_rotmat,
    geodesic_distance,
    mirror_rotmat,
    rot6d_to_rotmat,
    rotmat_to_axis_angle,
    rotmat_to_rot6d,
    spin_rot6d_to_rotmat,
)

VECTORS = torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_axis_angle_round_trip():
    assert torch.allclose(rotmat_to_axis_angle(axis_angle_to_rotmat(VECTORS * 0.5)), VECTORS * 0.5)


def test_6d_round_trip_and_layouts():
    rotmat = axis_angle_to_rotmat(VECTORS)
    assert torch.allclose(rot6d_to_rotmat(rotmat_to_rot6d(rotmat)), rotmat)
    interleaved = rotmat[..., :2].flatten(-2)  # SPIN's row-major (3, 2)
    assert torch.allclose(spin_rot6d_to_rotmat(interleaved), rotmat)
    assert not torch.allclose(rot6d_to_rotmat(interleaved), rotmat)


def test_6d_of_any_numbers_is_a_rotation():
    rotmat = rot6d_to_rotmat(torch.randn(100, 6, dtype=torch.float64))
    assert torch.allclose(rotmat @ rotmat.mT, torch.eye(3, dtype=torch.float64).expand(100, 3, 3))
    assert torch.allclose(torch.linalg.det(rotmat), torch.ones(100, dtype=torch.float64))


def test_mirror_negates_y_and_z():
    mirrored = rotmat_to_axis_angle(mirror_rotmat(axis_angle_to_rotmat(VECTORS * 0.5)))
    assert torch.allclose(mirrored, VECTORS * 0.5 * torch.tensor([1.0, -1, -1], dtype=torch.float64))


def test_geodesic_distance_is_the_angle():
    turn = axis_angle_to_rotmat(VECTORS * 0.5)
    base = axis_angle_to_rotmat(VECTORS.flip(0))
    assert torch.allclose(geodesic_distance(base, base @ turn), (VECTORS * 0.5).norm(dim=-1), atol=1e-6)
