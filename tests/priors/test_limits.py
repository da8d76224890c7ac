"""Laws of the joint limits."""

from pathlib import Path

import pytest
import torch

from bodyloop.priors.limits import SOFTNESS, JointLimits

G = torch.Generator().manual_seed(0)
LIMITS = JointLimits(-torch.rand(69, generator=G) - 0.2, torch.rand(69, generator=G) + 0.2)


def test_nothing_is_charged_within_the_ranges():
    share = torch.rand(50, 69, generator=G)
    inside = LIMITS.low + share * (LIMITS.high - LIMITS.low)
    assert torch.equal(LIMITS.energy_at(inside), torch.zeros(50))
    assert torch.equal(LIMITS.energy_at(LIMITS.low), torch.tensor(0.0))
    assert torch.equal(LIMITS.energy_at(LIMITS.high), torch.tensor(0.0))


@pytest.mark.parametrize("number", [0, 17, 68])
def test_half_a_nat_one_softness_beyond(number: int):
    for edge, sign in ((LIMITS.high, 1), (LIMITS.low, -1)):
        x = torch.zeros(69)
        x[number] = edge[number] + sign * SOFTNESS
        assert float(LIMITS.energy_at(x)) == pytest.approx(0.5, rel=1e-4)
        x[number] = edge[number] + sign * 3 * SOFTNESS
        assert float(LIMITS.energy_at(x)) == pytest.approx(4.5, rel=1e-4), "and it grows by the square"


def test_energy_against_a_loop():
    pose = torch.randn(9, 69, generator=G)
    by_hand = []
    for row in pose:
        beyond = [
            max(float(x - high), float(low - x), 0.0)
            for x, low, high in zip(row, LIMITS.low, LIMITS.high, strict=True)
        ]
        by_hand.append(sum(0.5 * (b / SOFTNESS) ** 2 for b in beyond))
    assert torch.allclose(LIMITS.energy_at(pose), torch.tensor(by_hand), rtol=1e-4)


def test_the_residual_points_the_way_out():
    """Its sign is that of the number's way beyond the range, so that Gauss-Newton goes back."""
    limits = LIMITS.to(torch.float64)
    pose = (torch.randn(9, 69, generator=G, dtype=torch.float64)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(limits.energy_at(pose).sum(), pose)
    assert torch.allclose(limits.residual_at(pose) / SOFTNESS, gradient, atol=1e-9)


def test_ranges_hold_all_but_the_share_asked_for():
    pose = torch.randn(4000, 69, generator=G)
    weight = torch.rand(4000, generator=G)
    limits = JointLimits.from_poses(pose, weight / weight.sum(), quantile=0.05, margin=0.0)
    share = weight / weight.sum()
    below = ((pose < limits.low) * share[:, None]).sum(0)
    above = ((pose > limits.high) * share[:, None]).sum(0)
    assert torch.allclose(below, torch.full((69,), 0.05), atol=0.001)
    assert torch.allclose(above, torch.full((69,), 0.05), atol=0.001)


def test_weights_are_as_good_as_copies():
    """A pose of weight 3 counts as three poses; the sum of weights does not matter."""
    pose = torch.randn(100, 69, generator=G)
    counts = torch.randint(1, 4, (100,), generator=G)
    weighted = JointLimits.from_poses(pose, counts.float(), quantile=0.0631)
    copied = JointLimits.from_poses(pose.repeat_interleave(counts, 0), torch.ones(int(counts.sum())), 0.0631)
    assert torch.equal(weighted.low, copied.low)
    assert torch.equal(weighted.high, copied.high)


def test_without_a_share_outside_every_pose_is_inside_and_the_margin_is_added():
    pose = torch.randn(200, 69, generator=G)
    tight = JointLimits.from_poses(pose, torch.ones(200), quantile=0.0, margin=0.0)
    assert torch.equal(tight.low, pose.amin(0))
    assert torch.equal(tight.high, pose.amax(0))
    wide = JointLimits.from_poses(pose, torch.ones(200), quantile=0.0, margin=0.3)
    assert torch.allclose(wide.high - wide.low, tight.high - tight.low + 0.6)


def test_save_and_load(tmp_path: Path):
    LIMITS.save(tmp_path / "l.safetensors")
    back = JointLimits.load(tmp_path / "l.safetensors")
    assert torch.equal(back.low, LIMITS.low)
    assert torch.equal(back.high, LIMITS.high)
