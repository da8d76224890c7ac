"""Learning of joint limits from weighted poses."""

import torch

from bodyloop.data.poses import PoseSet
from bodyloop.train.limits import LimitsConfig, train_limits

G = torch.Generator().manual_seed(0)
POSE = torch.randn(1000, 72, generator=G)


def posed(pose: torch.Tensor, weight: torch.Tensor | None = None) -> PoseSet:
    weight = torch.ones(len(pose)) if weight is None else weight
    return PoseSet(pose, weight / weight.sum(), torch.zeros(len(pose), dtype=torch.long))


def test_almost_all_training_numbers_are_free():
    said: list[str] = []
    config = LimitsConfig(quantile=0.01, margin=0.0)
    limits = train_limits(posed(POSE), posed(POSE), config, said.append)
    outside = (limits.residual_at(POSE[:, 3:]) != 0).float().mean(0)
    assert (outside < 0.021).all()
    assert (outside > 0.01).all()
    inside = float((limits.energy_at(POSE[:, 3:]) == 0).float().mean())
    assert said == [f"{inside:.1%} of the validation poses lie within all ranges"]


def test_the_root_does_not_count():
    turned = POSE.clone()
    turned[:, :3] += 5
    a, b = (train_limits(posed(p), posed(p), LimitsConfig(), lambda _: None) for p in (POSE, turned))
    assert torch.equal(a.low, b.low)
    assert torch.equal(a.high, b.high)


def test_weights_count_and_the_validation_poses_choose_nothing():
    weight = torch.zeros(1000)
    weight[:500] = 1
    half = train_limits(posed(POSE[:500]), posed(POSE), LimitsConfig(), lambda _: None)
    weighted = train_limits(posed(POSE, weight), posed(POSE * 3), LimitsConfig(), lambda _: None)
    assert torch.equal(half.low, weighted.low)
    assert torch.equal(half.high, weighted.high)


def test_wider_with_the_margin_and_tighter_with_the_quantile():
    def ranges(**settings: float) -> torch.Tensor:
        limits = train_limits(posed(POSE), posed(POSE), LimitsConfig(**settings), lambda _: None)
        return limits.high - limits.low

    assert torch.allclose(ranges(margin=0.25) - ranges(margin=0.0), torch.full((69,), 0.5), atol=1e-5)
    assert (ranges(quantile=0.05) < ranges(quantile=0.01)).all()
