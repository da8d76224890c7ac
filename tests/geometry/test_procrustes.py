import pytest
import torch

from bodyloop.geometry import align_rigid, align_similarity, axis_angle_to_rotmat


def cloud(seed: int = 0, count: int = 12) -> torch.Tensor:
    return torch.randn(5, count, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_similarity_is_recovered():
    source = cloud()
    rotation, scale, shift = (
        axis_angle_to_rotmat(cloud(1, 1)[:, 0]),
        torch.rand(5).double() + 0.5,
        cloud(2, 1),
    )
    target = scale[:, None, None] * source @ rotation.mT + shift
    found = align_similarity(source, target)
    assert torch.allclose(found.rotation, rotation)
    assert torch.allclose(found.scale, scale)
    assert torch.allclose(found.apply(source), target)


def test_a_reflection_is_never_used():
    source = cloud()
    found = align_similarity(source, source * torch.tensor([-1.0, 1, 1]))
    assert torch.allclose(torch.linalg.det(found.rotation), torch.ones(5, dtype=torch.float64))


def test_rigid_keeps_scale_and_weights_select():
    source, target = cloud(), cloud() * 2
    assert torch.allclose(align_rigid(source, target).scale, torch.ones(5, dtype=torch.float64))
    weights = torch.ones(5, 12, dtype=torch.float64)
    weights[:, 0] = 0
    spoiled = target.clone()
    spoiled[:, 0] = 1e3
    assert torch.allclose(align_similarity(source, spoiled, weights).apply(source)[:, 1:], target[:, 1:])


def test_no_random_similarity_is_better():
    source, target = cloud(3), cloud(4)
    best = (align_similarity(source, target).apply(source) - target).square().sum((1, 2))
    found = align_similarity(source, target)
    for seed in range(50):
        g = torch.Generator().manual_seed(seed)
        nudge = axis_angle_to_rotmat(torch.randn(5, 3, generator=g, dtype=torch.float64) * 0.1)
        other = (found.rotation @ nudge, found.scale * 1.02)
        moved = other[1][:, None, None] * source @ other[0].mT
        moved = moved + (target - moved).mean(1, keepdim=True)
        assert ((moved - target).square().sum((1, 2)) >= best - 1e-9).all()


def test_bad_shapes_are_explained():
    with pytest.raises(ValueError, match="equal shapes"):
        align_similarity(torch.zeros(4, 3), torch.zeros(5, 3))
