import torch

from bodyloop.priors.gmm import GaussianMixture, default_mixture

G = torch.Generator().manual_seed(0)
SPREAD = torch.randn(3, 4, 4, generator=G, dtype=torch.float64)
COVARIANCE = SPREAD @ SPREAD.mT + 0.1 * torch.eye(4, dtype=torch.float64)
MEANS = torch.randn(3, 4, generator=G, dtype=torch.float64)
WEIGHTS = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
MIXTURE = GaussianMixture.from_moments(MEANS, COVARIANCE, WEIGHTS)
X = torch.randn(50, 4, generator=G, dtype=torch.float64) * 2


def test_log_sum_is_the_density_up_to_a_constant():
    single = [torch.distributions.MultivariateNormal(m, c) for m, c in zip(MEANS, COVARIANCE, strict=True)]
    log_p = torch.logsumexp(torch.stack([s.log_prob(X) for s in single], -1) + WEIGHTS.log(), -1)
    shift = MIXTURE.log_sum_energy(X) + log_p
    assert torch.allclose(shift, shift[0].expand(50))


def test_nearest_mode_bounds_the_sum():
    nearest, summed = MIXTURE.nearest_mode_energy(X), MIXTURE.log_sum_energy(X)
    assert (nearest >= summed - 1e-12).all()
    assert (nearest <= summed + torch.tensor(3.0).log() + 1e-12).all()


def test_energy_is_least_at_a_mean():
    at_means = MIXTURE.nearest_mode_energy(MEANS)
    assert (at_means <= MIXTURE.nearest_mode_energy(MEANS + 0.5) + 1e-9).any()
    assert torch.allclose(MIXTURE.precisions @ COVARIANCE, torch.eye(4, dtype=torch.float64).expand(3, 4, 4))


def test_log_prob_is_the_density():
    single = [torch.distributions.MultivariateNormal(m, c) for m, c in zip(MEANS, COVARIANCE, strict=True)]
    log_p = torch.logsumexp(torch.stack([s.log_prob(X) for s in single], -1) + WEIGHTS.log(), -1)
    assert torch.allclose(MIXTURE.log_prob_at(X), log_p)


def test_samples_have_the_mixtures_moments():
    drawn = MIXTURE.sample_coordinates(200_000, torch.Generator().manual_seed(0))
    mean = (WEIGHTS[:, None] * MEANS).sum(0)
    off = MEANS - mean
    covariance = (WEIGHTS[:, None, None] * (COVARIANCE + off[:, :, None] * off[:, None])).sum(0)
    assert torch.allclose(drawn.mean(0), mean, atol=0.03)
    assert torch.allclose(drawn.T.cov(), covariance, atol=0.03 * float(covariance.abs().max()))


def test_samples_come_from_the_components_by_weight():
    cold = MIXTURE.sample_coordinates(100_000, torch.Generator().manual_seed(0), temperature=0.0)
    hits = (cold[:, None] == MEANS).all(-1)
    assert torch.allclose(hits.double().mean(0), WEIGHTS, atol=0.01)
    assert hits.any(1).all(), "without temperature, means alone"
    one = GaussianMixture.from_moments(MEANS[:1], COVARIANCE[:1], WEIGHTS[:1])
    half = one.sample_coordinates(100_000, torch.Generator().manual_seed(0), temperature=0.5)
    assert torch.allclose(half.T.cov(), COVARIANCE[0] / 4, atol=0.02 * float(COVARIANCE[0].max()))


def test_pose_samples_are_rotations_and_repeat():
    poses = default_mixture().sample(5, torch.Generator().manual_seed(1))
    assert poses.shape == (5, 23, 3, 3)
    assert torch.allclose(poses @ poses.mT, torch.eye(3).expand_as(poses), atol=1e-5)
    assert torch.equal(poses, default_mixture().sample(5, torch.Generator().manual_seed(1)))


def test_save_and_load(tmp_path):
    MIXTURE.save(tmp_path / "m.safetensors")
    back = GaussianMixture.load(tmp_path / "m.safetensors")
    assert torch.allclose(back.log_sum_energy(X.float()), MIXTURE.log_sum_energy(X).float(), atol=1e-4)


def test_the_shipped_mixture_knows_a_standing_person_from_a_broken_one():
    prior = default_mixture()
    assert prior.means.shape == (8, 69)
    standing = torch.zeros(69)
    standing[[47, 50]] = torch.tensor([-1.2, 1.2])  # arms down
    broken = standing.clone()
    broken[[9, 12]] = -1.5  # knees bent forward
    assert prior.nearest_mode_energy(standing) < prior.nearest_mode_energy(broken) - 10
