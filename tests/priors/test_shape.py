"""Laws of the Gaussian over the shape."""

import torch

from bodyloop.priors.shape import ShapePrior

G = torch.Generator().manual_seed(0)
SPREAD = torch.randn(10, 10, generator=G) * 0.15 + torch.eye(10)
SAMPLES = torch.randn(30_000, 10, generator=G) @ SPREAD + 0.7
FITTED = ShapePrior.from_samples(SAMPLES, floor=0.0)


def test_the_unit_prior_is_half_the_squared_betas():
    betas = torch.randn(4, 3, 10, generator=G)
    assert torch.allclose(ShapePrior.unit().energy(betas), 0.5 * betas.square().sum(-1))


def test_density_against_torchs_gaussian():
    betas = torch.randn(20, 10, generator=G)
    twin = torch.distributions.MultivariateNormal(SAMPLES.mean(0), torch.cov(SAMPLES.T))
    assert torch.allclose(FITTED.log_prob(betas), twin.log_prob(betas), rtol=1e-3, atol=1e-2)
    shift = FITTED.log_prob(betas) + FITTED.energy(betas)
    assert torch.allclose(shift, shift[:1].expand(20), atol=1e-3)


def test_draws_have_the_moments_fitted_to():
    drawn = FITTED.sample(60_000, torch.Generator().manual_seed(1))
    covariance = torch.cov(SAMPLES.T)
    assert torch.allclose(drawn.mean(0), SAMPLES.mean(0), atol=0.05)
    assert torch.allclose(torch.cov(drawn.T), covariance, atol=0.04 * float(covariance.max()))
    assert torch.equal(drawn, FITTED.sample(60_000, torch.Generator().manual_seed(1)))


def test_the_floor_keeps_flat_samples_proper():
    """Bodies that differ in one number alone still give a density."""
    flat = torch.zeros(50, 10)
    flat[:, 0] = torch.linspace(-2, 2, 50)
    prior = ShapePrior.from_samples(flat, floor=0.1)
    off = torch.zeros(10)
    off[5] = 0.1
    assert torch.isfinite(prior.log_prob(flat)).all()
    assert torch.allclose(prior.energy(off) - prior.energy(torch.zeros(10)), torch.tensor(0.5), atol=1e-3)


def test_a_moved_prior_leaves_the_old_one_alone():
    unit = ShapePrior.unit(4)
    moved = unit.to(torch.float64)
    assert unit.mean.dtype == torch.float32
    assert moved.energy(torch.ones(4, dtype=torch.float64)).dtype == torch.float64
