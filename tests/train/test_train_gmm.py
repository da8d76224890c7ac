import sys

import pytest
import torch

from bodyloop.data.poses import PoseSet
from bodyloop.errors import InputError
from bodyloop.priors.gmm import GaussianMixture
from bodyloop.train.gmm import GmmConfig, train_gmm

pytest.importorskip("sklearn")


def poses_of(prior: GaussianMixture, count: int, seed: int) -> PoseSet:
    drawn = prior.sample_coordinates(count, torch.Generator().manual_seed(seed))
    pose = torch.nn.functional.pad(drawn, (3, 0)).float()
    return PoseSet(pose, torch.full((count,), 1 / count), torch.zeros(count))


MEANS = torch.tensor([[-0.5], [0.5]], dtype=torch.float64).expand(2, 69).contiguous()
TRUE = GaussianMixture.from_moments(
    MEANS,
    0.1**2 * torch.eye(69, dtype=torch.float64).expand(2, 69, 69),
    torch.tensor([0.25, 0.75], dtype=torch.float64),
)
CONFIG = GmmConfig(modes=2, floor=1e-3, draws=4000, steps=30, seed=1)
TRAIN, UNSEEN = poses_of(TRUE, 2000, 0), poses_of(TRUE, 200, 1)


def test_it_finds_the_mixture_that_made_the_poses():
    said: list[str] = []
    found = train_gmm(TRAIN, UNSEEN, CONFIG, said.append)
    order = found.means[:, 0].argsort()
    assert torch.allclose(found.means[order], MEANS, atol=0.03)
    assert torch.allclose(found.log_weights.exp()[order], TRUE.log_weights.exp(), atol=0.03)
    likelihood = float(found.log_prob_at(UNSEEN.pose[:, 3:].double()).mean())
    assert said[-1].endswith(f"validation {likelihood:.2f}")
    again = train_gmm(TRAIN, UNSEEN, CONFIG, said.append)
    assert torch.equal(again.means, found.means)


def test_weights_count():
    weight = torch.where(TRAIN.pose[:, 3] > 0, 1.0, 0.0)
    found = train_gmm(PoseSet(TRAIN.pose, weight / weight.sum(), TRAIN.clip), UNSEEN, CONFIG, lambda _: None)
    assert (found.means > 0.3).all(), "poses without weight are never drawn"


def test_steps_in_portions_are_the_steps_at_once(monkeypatch):
    once = train_gmm(TRAIN, UNSEEN, CONFIG, lambda _: None)
    monkeypatch.setattr("bodyloop.train.gmm.REPORT_EVERY", 2)
    assert torch.allclose(train_gmm(TRAIN, UNSEEN, CONFIG, lambda _: None).means, once.means, atol=1e-6)


def test_what_cannot_be_trained(monkeypatch):
    with pytest.raises(InputError, match="8 modes need at least as many poses, got 3"):
        train_gmm(poses_of(TRUE, 3, 0), UNSEEN)
    monkeypatch.setitem(sys.modules, "sklearn.mixture", None)
    with pytest.raises(InputError, match="pip install scikit-learn"):
        train_gmm(TRAIN, UNSEEN)
