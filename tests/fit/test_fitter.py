import pytest
import torch
from people import CAMERA, observed

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, Fits, Fitter, Start, mean_pose_starts
from bodyloop.priors.gmm import default_mixture


def fit(body: BodyModel, evidence: Evidence) -> Fits:
    prior = default_mixture()
    starts = [Start(str(i), b) for i, b in enumerate(mean_pose_starts(body, prior, evidence, CAMERA))]
    return Fitter(body, prior)(evidence, CAMERA, starts)


def changed(evidence: Evidence, keypoints: torch.Tensor, confidence: torch.Tensor) -> Evidence:
    return Evidence.from_keypoints(COCO17, keypoints, confidence, labels=evidence.labels)


def finite(bodies: Bodies) -> bool:
    return all(bool(torch.isfinite(x).all()) for x in (bodies.rotations, bodies.betas, bodies.translation))


def test_good_evidence_is_trusted_and_met(body: BodyModel):
    _, evidence = observed(body, 8)
    fits = fit(body, evidence)
    assert fits.trusted.all()
    assert (fits.error_box < 0.03).all()
    assert torch.allclose(fits.energy, torch.stack(list(fits.terms.values())).sum(0))
    assert (fits.seen == 17).all()


def test_the_lowest_energy_wins(body: BodyModel):
    truth, evidence = observed(body, 5)
    prior = default_mixture()
    good = Start("good", truth, oriented=True)
    back = Start("back", mean_pose_starts(body, prior, evidence, CAMERA)[2])
    fitter = Fitter(body, prior, FitConfig(rounds=0))
    both = fitter(evidence, CAMERA, [back, good])
    single = [fitter(evidence, CAMERA, [s]) for s in (good, back)]
    assert torch.allclose(both.energy, torch.minimum(single[0].energy, single[1].energy), rtol=1e-4)
    assert set(both.start) == {
        "good",
        "back",
    }  # neither wins always: seen from afar, front and back look alike


@pytest.mark.parametrize("seen", [0, 1, 2, 3, 4])
def test_few_keypoints_give_a_finite_doubtful_body(body: BodyModel, seen: int):
    _, evidence = observed(body, 2)
    confidence = torch.zeros(2, 17)
    confidence[:, 5 : 5 + seen] = 1
    fits = fit(body, changed(evidence, evidence.keypoints, confidence))
    assert finite(fits.bodies)
    assert not fits.trusted.any()
    assert f"only {seen} keypoints seen" in fits.doubts[0][0]


def test_nan_keypoints_count_as_unseen(body: BodyModel):
    _, evidence = observed(body, 2)
    keypoints = evidence.keypoints.clone()
    keypoints[0, 3], keypoints[1] = torch.nan, torch.inf
    fits = fit(body, changed(evidence, keypoints, torch.ones(2, 17)))
    assert finite(fits.bodies)
    assert fits.seen.tolist() == [16, 0]
    assert fits.trusted.tolist() == [True, False]


def test_nonsense_is_not_trusted(body: BodyModel):
    g = torch.Generator().manual_seed(0)
    keypoints = torch.rand(4, 17, 2, generator=g) * 1000
    fits = fit(body, Evidence.from_keypoints(COCO17, keypoints, torch.ones(4, 17)))
    assert finite(fits.bodies)
    assert not fits.trusted.any()


def test_unseen_legs_are_plausible(body: BodyModel):
    """Half a body in the picture: the legs follow the prior and do not bend the wrong way."""
    _, evidence = observed(body, 8)
    confidence = torch.ones(8, 17)
    confidence[:, 11:] = 0
    fits = fit(body, changed(evidence, evidence.keypoints, confidence))
    pose = fits.bodies.pose
    knees = pose[:, [12, 15]]
    assert (knees > -0.35).all()
    assert (pose[:, 3:].abs() < 2.6).all()


def test_nobody(body: BodyModel):
    _, evidence = observed(body, 2)
    fits = fit(body, evidence[:0])
    assert len(fits) == 0
    assert len(fits.trusted) == 0


def test_at_least_one_start(body: BodyModel):
    _, evidence = observed(body, 1)
    with pytest.raises(ValueError, match="at least one start"):
        Fitter(body, default_mixture())(evidence, CAMERA, [])
