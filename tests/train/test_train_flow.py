"""Training of the flow on made-up poses whose numbers hang together."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodyloop.data.poses import PoseSet
from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.priors.representation import Representation, to_coordinates, to_rotations
from bodyloop.train.flow import FlowConfig, pose_numbers, thickened, train_flow


def correlated(count: int, seed: int) -> PoseSet:
    """Poses on a bent surface of 4 dimensions, a little thick: a Gaussian cannot hold them tightly."""
    g = torch.Generator().manual_seed(7)
    straight, bent = torch.randn(4, 69, generator=g) * 0.15, torch.randn(4, 69, generator=g) * 0.08
    g = torch.Generator().manual_seed(seed)
    code = torch.randn(count, 4, generator=g)
    body = code @ straight + code.square() @ bent + 0.02 * torch.randn(count, 69, generator=g)
    return PoseSet(
        torch.nn.functional.pad(body, (3, 0)),
        torch.full((count,), 1 / count),
        torch.zeros(count, dtype=torch.long),
    )


TRAIN, UNSEEN = correlated(2000, 0), correlated(300, 1)
CONFIG = FlowConfig("axis_angle", depth=2, hidden=(16,), noise=0.1, steps=60, batch=128, rate=5e-3)


@pytest.fixture(autouse=True)
def _few_whitened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bodyloop.train.flow.WHITENED_ON", 4000)


@pytest.mark.parametrize("representation", ["axis_angle", "rot6d"])
def test_the_likelihood_of_unseen_poses_rises(representation: Representation):
    config = replace(
        CONFIG, representation=representation, mixed=0.0
    )  # a few steps only pay without mixed limbs
    numbers = thickened(
        pose_numbers(UNSEEN.pose, representation), config.noise, torch.Generator().manual_seed(5)
    )
    start = train_flow(TRAIN, UNSEEN, replace(config, steps=1, rate=1e-9), lambda _: None)
    end = train_flow(TRAIN, UNSEEN, config, lambda _: None)
    before, after = (float(flow.log_prob_at(numbers).mean()) for flow in (start, end))
    assert after > before + 0.5
    assert not any(p.requires_grad for p in end.parameters())


def test_training_starts_from_the_whitening_of_the_poses():
    """Thus a fresh flow is as good as the Gaussian of the thickened poses, and better than a plain one."""
    start = train_flow(TRAIN, UNSEEN, replace(CONFIG, steps=1, rate=1e-9), lambda _: None)
    numbers = thickened(
        pose_numbers(TRAIN.pose, "axis_angle"), CONFIG.noise, torch.Generator().manual_seed(5)
    )
    gaussian = torch.distributions.MultivariateNormal(numbers.double().mean(0), torch.cov(numbers.double().T))
    expected = float(gaussian.log_prob(numbers.double()).mean())
    found = float(start.log_prob_at(numbers).mean())
    assert expected - 4 < found < expected, "the Gaussian with the poses' own moments is the best of all"
    plain = -0.5 * float(numbers.square().sum(1).mean()) - 34.5 * math.log(2 * math.pi)
    assert found > plain + 20


def test_the_seed_decides():
    runs = [
        train_flow(TRAIN, UNSEEN, replace(CONFIG, steps=3, seed=seed), lambda _: None) for seed in (4, 4, 5)
    ]
    a, b, c = (flow.encode_coordinates(UNSEEN.pose[:5, 3:]) for flow in runs)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_poses_without_weight_are_never_seen():
    spoiled = TRAIN.pose.clone()
    spoiled[::2] = math.nan
    weight = torch.ones(2000)
    weight[::2] = 0
    flow = train_flow(
        PoseSet(spoiled, weight / weight.sum(), TRAIN.clip), UNSEEN, replace(CONFIG, steps=3), lambda _: None
    )
    assert torch.isfinite(flow.energy_at(UNSEEN.pose[:, 3:])).all()


def test_the_report_tells_the_likelihood_of_the_flow():
    said: list[str] = []
    flow = train_flow(TRAIN, UNSEEN, replace(CONFIG, steps=2), said.append)
    unseen = thickened(
        pose_numbers(UNSEEN.pose, "axis_angle"), CONFIG.noise, torch.Generator().manual_seed(1)
    )
    told = float(said[-1].split("validation ")[1])
    assert told == pytest.approx(float(flow.log_prob_at(unseen).mean()), abs=0.2)


def test_without_a_checkpoint_no_file_is_written(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_flow(TRAIN, UNSEEN, replace(CONFIG, steps=2), lambda _: None)
    assert not list(tmp_path.iterdir())


def test_thickened_by_the_noise_asked_for():
    numbers = torch.randn(2000, 69, generator=torch.Generator().manual_seed(0))
    off = thickened(numbers, 0.05, torch.Generator().manual_seed(1)) - numbers
    assert float(off.std()) == pytest.approx(0.05, rel=0.01)
    assert abs(float(off.mean())) < 1e-3
    assert float(torch.corrcoef(off.T).fill_diagonal_(0).abs().max()) < 0.15, "every number its own"
    assert torch.equal(thickened(numbers, 0.0, torch.Generator()), numbers)


@pytest.mark.parametrize("representation", ["axis_angle", "rot6d"])
def test_the_numbers_of_poses(representation: Representation):
    rotations = axis_angle_to_rotmat(UNSEEN.pose[:, 3:].unflatten(1, (23, 3)))
    numbers = pose_numbers(UNSEEN.pose, representation)
    assert torch.allclose(numbers, to_coordinates(rotations, representation), atol=1e-6)
    assert torch.equal(numbers, pose_numbers(UNSEEN.pose[:, 3:], representation)), "the root does not count"
    assert torch.allclose(to_rotations(numbers, representation), rotations, atol=1e-5)
    turned = UNSEEN.pose.clone()
    turned[:, 3:6] += 2 * math.pi * torch.nn.functional.normalize(turned[:, 3:6], dim=1)
    assert torch.allclose(pose_numbers(turned, representation), numbers, atol=1e-4), "a full turn is none"
