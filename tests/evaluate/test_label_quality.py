"""People as annotators label them, and what is made of their scores."""

import numpy as np
import pytest
import torch

from bodyloop.annotate.methods import Settings
from bodyloop.annotate.swaps import LIMBS, exchanged
from bodyloop.body import builtin_body
from bodyloop.body.skeletons import COCO17
from bodyloop.data.synthetic import SyntheticPeople, SyntheticSample
from bodyloop.evaluate.label_quality import (
    EXACT,
    Annotators,
    LabelledPeople,
    Measured,
    figures,
    fit_quality,
    labelled_by,
    measure,
)


@pytest.fixture(scope="module")
def people() -> SyntheticPeople:
    return SyntheticPeople("studio", seed=3, size=128)


@pytest.fixture(scope="module")
def sample(people: SyntheticPeople) -> SyntheticSample:
    return people.sample(0)


def test_exact_annotators_tell_the_truth(people: SyntheticPeople, sample: SyntheticSample):
    found, truth = labelled_by(EXACT, sample, people, 0), sample.keypoints(people.body, COCO17)
    assert len(found) == 1
    assert np.array_equal(found.crowd.seen[0], truth.visible.numpy())
    seen = found.crowd.seen[0]
    assert np.allclose(found.crowd.keypoints[0, seen, :2], truth.image.numpy()[seen], atol=1e-3)
    assert torch.equal(found.truth.rotations[0], sample.bodies.rotations)
    assert found.swapped == ("",)


def test_annotators_err_as_they_are_told(people: SyntheticPeople, sample: SyntheticSample):
    clean = labelled_by(EXACT, sample, people, 0).crowd
    sure = Annotators((0.0, 0.0), 0.0, 1.0, 1.0, 0.0)
    swapped = labelled_by(sure, sample, people, 0)
    order = list(exchanged(COCO17, LIMBS[swapped.swapped[0]]))
    assert np.allclose(swapped.crowd.keypoints[0], clean.keypoints[0][order])
    blunder = labelled_by(Annotators((0.0, 0.0), 0.0, 1.0, 0.0, 1.0), sample, people, 0).crowd
    moved = np.linalg.norm(blunder.keypoints[0, :, :2] - clean.keypoints[0, :, :2], axis=1)
    assert (moved > 1e-3).sum() == 1
    noise = Annotators((0.02, 0.02), 0.0, 1.0, 0.0, 0.0)
    noisy = [labelled_by(noise, sample, people, seed).crowd.keypoints[0] for seed in range(20)]
    off = np.stack([(x - clean.keypoints[0])[clean.seen[0], :2] for x in noisy])
    side = float((clean.boxes[0, 2:] - clean.boxes[0, :2]).max())
    assert off.std() / side == pytest.approx(0.02, rel=0.15)
    every = labelled_by(Annotators((0.0, 0.0), 1.0, 1.0, 0.0, 0.0), sample, people, 0).crowd
    assert every.seen[0].tolist() == sample.keypoints(people.body, COCO17).inside.tolist()
    again = labelled_by(Annotators(), sample, people, 5).crowd
    assert np.array_equal(again.keypoints, labelled_by(Annotators(), sample, people, 5).crowd.keypoints)


def test_measured(people: SyntheticPeople, sample: SyntheticSample):
    one = labelled_by(EXACT, sample, people, 0)
    found = measure(LabelledPeople.cat([one, one]), Settings(starts=("lifter",)))
    assert found.pve_mm.shape == found.error_box.shape == (2,)
    assert float(found.pve_mm[0]) == pytest.approx(float(found.pve_mm[1]), rel=1e-3)
    body = builtin_body()
    off = body.vertices(found.fits.bodies[:1]) - body.joints(found.fits.bodies[:1])[:, :1]
    truth = body.vertices(one.truth) - body.joints(one.truth)[:, :1]
    assert float(found.pve_mm[0]) == pytest.approx(1000 * float((off - truth).norm(dim=-1).mean()), rel=1e-4)


def made_up(count: int, noise: float) -> Measured:
    """Errors that follow from one sign of two, but for noise."""
    g = torch.Generator().manual_seed(0)
    telling, idle = torch.randn(count, generator=g), torch.randn(count, generator=g)
    error = (4.5 + 0.4 * telling + noise * torch.randn(count, generator=g)).exp()
    return Measured(None, idle.exp(), {"telling": telling, "idle": 5 + idle}, error)  # type: ignore[arg-type]


def test_a_law_is_found():
    people = made_up(2000, 0.0)
    model = fit_quality(people, ridge=1e-6)
    assert torch.allclose(model.expected_mm(people.signs)[people.signs["telling"].abs() < 2.5].log(),
                          people.pve_mm[people.signs["telling"].abs() < 2.5].log(), atol=0.05)  # fmt: skip
    assert abs(model.weights[1]) < 0.02
    found = figures(people, model)
    assert found["rank_correlation"] > 0.99
    assert found["mean_pve_of_kept_mm"] == pytest.approx(
        float(people.pve_mm.sort().values[:1600].mean()), rel=0.01
    )
    assert found["lower_by"] == pytest.approx(found["lower_by_at_best"], abs=0.01)
    assert abs(found["rank_correlation_of_reprojection"]) < 0.1


def test_noise_is_not_learnt_by_heart():
    people = made_up(2000, 0.4)
    model = fit_quality(people.some(slice(0, 1000)))
    found = figures(people.some(slice(1000, None)), model)
    assert 0.6 < found["rank_correlation"] < 0.8
    assert found["people"] == 1000
    assert 0 < found["lower_by"] < found["lower_by_at_best"]
