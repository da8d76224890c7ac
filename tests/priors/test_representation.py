import pytest
import torch

from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.priors.representation import (
    SIZES,
    Representation,
    right_jacobian,
    tangent_jacobian,
    to_coordinates,
    to_rotations,
)

DOUBLE = torch.float64
BOTH: tuple[Representation, ...] = ("axis_angle", "rot6d")


@pytest.mark.parametrize("representation", BOTH)
def test_round_trip(representation: Representation):
    rotations = axis_angle_to_rotmat(torch.randn(2, 4, 23, 3, dtype=DOUBLE) * 0.5)
    numbers = to_coordinates(rotations, representation)
    assert numbers.shape == (2, 4, SIZES[representation])
    assert torch.allclose(to_rotations(numbers, representation), rotations, atol=1e-9)


@pytest.mark.parametrize("representation", BOTH)
def test_tangents_against_finite_differences(representation: Representation):
    """Also of 6D numbers that are no rotation's."""
    torch.manual_seed(0)
    per_joint = SIZES[representation] // 23
    x, d = torch.randn(2, 10, 5 * per_joint, dtype=DOUBLE)
    d = d * 1e-6
    turns = (tangent_jacobian(x, representation) @ d.unflatten(-1, (5, per_joint, 1)))[..., 0]
    linear = to_rotations(x, representation) @ axis_angle_to_rotmat(turns)
    assert torch.allclose(to_rotations(x + d, representation), linear, atol=1e-9)


def test_right_jacobian_of_small_angles():
    theta = torch.randn(50, 3, dtype=DOUBLE)
    theta[0], theta[1] = 1e-7, 0.0
    d = torch.randn(50, 3, dtype=DOUBLE) * 1e-6
    linear = axis_angle_to_rotmat(theta) @ axis_angle_to_rotmat(
        (right_jacobian(theta) @ d[..., None])[..., 0]
    )
    assert torch.allclose(axis_angle_to_rotmat(theta + d), linear, atol=1e-10)
