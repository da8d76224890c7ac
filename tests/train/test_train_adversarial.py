"""Training of the adversarial prior on made-up poses."""

from dataclasses import replace

import pytest
import torch

from bodyloop.data.poses import PoseSet
from bodyloop.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle
from bodyloop.priors.adversarial import Adversarial
from bodyloop.train.adversarial import (
    AdversarialConfig,
    adversarial_separation,
    false_poses,
    train_adversarial,
)


def poses(count: int, seed: int) -> PoseSet:
    """Joints near poses of their own."""
    middle = torch.randn(72, generator=torch.Generator().manual_seed(7)) * 0.4
    off = torch.randn(count, 72, generator=torch.Generator().manual_seed(seed)) * 0.1
    return PoseSet(middle + off, torch.full((count,), 1 / count), torch.zeros(count, dtype=torch.long))


TRAIN, UNSEEN = poses(500, 0), poses(200, 1)
REAL = axis_angle_to_rotmat(UNSEEN.pose[:, 3:].unflatten(1, (23, 3)))
CONFIG = AdversarialConfig(embedding=12, width=32, steps=80, batch=64, rate=3e-3)


def test_false_poses_get_the_higher_energy():
    said: list[str] = []
    trained = train_adversarial(TRAIN, UNSEEN, CONFIG, said.append)
    torch.manual_seed(CONFIG.seed)
    fresh = Adversarial(embedding=12, width=32)
    share = adversarial_separation(trained, REAL, CONFIG)
    assert share > 0.7
    assert share > adversarial_separation(fresh, REAL, CONFIG) + 0.1
    assert f"in {share:.1%} of pairs" in said[-1]
    assert not any(p.requires_grad for p in trained.parameters())


def test_the_seed_decides():
    runs = [
        train_adversarial(TRAIN, UNSEEN, replace(CONFIG, steps=2, seed=seed), lambda _: None)
        for seed in (4, 4, 5)
    ]
    a, b, c = (prior.energy(REAL[:5]) for prior in runs)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_separation_without_knowledge_is_one_half():
    prior = Adversarial(embedding=4, width=4).eval()
    with torch.no_grad():
        for p in prior.parameters():
            p.zero_()
    assert adversarial_separation(prior, REAL, CONFIG) == 0.5


def test_what_is_said_to_be_false_is_what_was_changed():
    real = REAL[:80]
    fake, changed = false_poses(real, CONFIG, torch.Generator().manual_seed(3))
    assert changed.shape == (80, 24)
    assert changed[:, -1].all(), "the whole is false in any case"
    disturbed = torch.arange(80) % 4 < 2
    differs = (fake != real).any(-1).any(-1)
    assert torch.equal(differs[disturbed], changed[disturbed, :-1])
    assert changed[disturbed, :-1].any(1).all(), "at least one joint"
    assert not changed[disturbed, :-1].all()
    shuffled = torch.arange(80) % 4 == 2
    for pose in fake[shuffled]:
        from_somebody = (pose == real).all(-1).all(-1).any(0)
        assert from_somebody.all(), "each joint is somebody's"
    assert not changed[shuffled, :-1].any()
    assert changed[~disturbed & ~shuffled].all()


def test_joints_are_turned_within_the_range():
    config = replace(CONFIG, least_turn=20.0, most_turn=50.0)
    real = REAL[:80]
    fake, changed = false_poses(real, config, torch.Generator().manual_seed(3))
    disturbed = torch.arange(80) % 4 < 2
    between = real[disturbed].mT @ fake[disturbed]
    angle = torch.rad2deg(rotmat_to_axis_angle(between).norm(dim=-1))[changed[disturbed, :-1]]
    assert angle.min() > 19.9
    assert angle.max() < 50.1
    assert angle.median() == pytest.approx((20 * 50) ** 0.5, rel=0.2), "as many of each size by the logarithm"
    assert torch.allclose(fake @ fake.mT, torch.eye(3).expand_as(fake), atol=1e-5)
