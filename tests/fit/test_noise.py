"""Keypoints that are off by more or less, and what a fit makes of it."""

from dataclasses import replace

import pytest
import torch
from people import CAMERA, observed

from bodyloop.body import BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, FitProblem, Fits, Fitter, Start
from bodyloop.fit.noise import FREEDOM, LEAST, REFERENCE, earned_weight, estimated_noise
from bodyloop.priors.gmm import default_mixture

PEOPLE = 24


def disturbed(evidence: Evidence, share: float) -> Evidence:
    side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(-1)[:, None, None]
    noise = share * side * torch.randn(evidence.keypoints.shape, generator=torch.Generator().manual_seed(1))
    return Evidence.from_keypoints(COCO17, evidence.keypoints + noise, evidence.confidence)


def fitted(body: BodyModel, share: float, config: FitConfig | None = None) -> Fits:
    truth, evidence = observed(body, PEOPLE)
    start = Start("truth", truth, oriented=True)
    return Fitter(body, default_mixture(), config or FitConfig())(disturbed(evidence, share), CAMERA, [start])


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_the_noise_is_found(body: BodyModel, share: float):
    noise = fitted(body, share).noise
    assert noise.median().item() == pytest.approx(share, rel=0.35)


def test_more_noise_is_more_noise(body: BodyModel):
    found = [float(fitted(body, share).noise.median()) for share in (0.0, 0.01, 0.02, 0.05)]
    assert found == sorted(found)


def test_the_estimate_is_that_of_gaussian_residuals():
    """Were nothing fitted (infinitely many keypoints), a Gaussian's mean distance is sqrt(pi / 2) sigma."""
    distance = 0.02 * torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0)).norm(dim=1).mean()
    many = torch.tensor([10**8])
    assert float(estimated_noise(distance[None], many)) == pytest.approx(0.02, rel=0.01)
    few = float(estimated_noise(distance[None], torch.tensor([17])))
    assert few == pytest.approx(0.02 * ((34 + FREEDOM) / 34) ** 0.5, rel=0.01)


def test_nothing_seen_and_nothing_off_are_no_reason_for_infinite_trust():
    noise = estimated_noise(torch.zeros(2), torch.tensor([0, 17]))
    assert noise.tolist() == pytest.approx([LEAST, LEAST])
    assert float(earned_weight(torch.tensor(REFERENCE))) == 1


def test_exact_keypoints_are_met_closely_and_noisy_ones_are_not(body: BodyModel):
    plain = FitConfig(rounds=0)
    exact, noisy = (fitted(body, share) for share in (0.0, 0.05))
    assert exact.error_box.mean() < 0.5 * fitted(body, 0.0, plain).error_box.mean()
    assert noisy.error_box.mean() > fitted(body, 0.05, plain).error_box.mean()


def test_the_energy_is_that_of_the_last_round(body: BodyModel):
    """A fit with the noise given, from where the rounds ended, has nothing left to do."""
    _, evidence = observed(body, PEOPLE)
    evidence = disturbed(evidence, 0.02)
    fits = fitted(body, 0.02)
    again = Fitter(body, default_mixture())(
        evidence, CAMERA, [Start("end", fits.bodies, oriented=True)], noise=fits.noise
    )
    assert torch.allclose(fits.energy, sum(fits.terms.values()), rtol=1e-4)
    assert torch.allclose(again.energy, fits.energy, rtol=0.02)
    assert torch.equal(again.noise, fits.noise)


def test_without_rounds_nobody_estimates(body: BodyModel):
    assert fitted(body, 0.0, FitConfig(rounds=0)).noise.isnan().all()


def test_trust_multiplies_squared_residuals(body: BodyModel):
    _, evidence = observed(body, 2)
    problem = FitProblem.build(body, evidence, CAMERA)
    twice = replace(evidence, confidence=evidence.confidence * 2)
    expected = FitProblem.build(body, twice, CAMERA).weight
    assert torch.allclose(problem.believed(torch.full((2,), 4.0)).weight, expected)
