"""What holds of every prior that ships."""

from functools import cache
from importlib import resources

import pytest
import torch

from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.priors import load_prior
from bodyloop.priors.flow import Flow
from bodyloop.priors.prior import LatentPrior, PosePrior
from bodyloop.priors.representation import SIZES, to_coordinates
from bodyloop.priors.shipped import HOMES

DOUBLE = torch.float64


def there(name: str) -> bool:
    file = resources.files("bodyloop.priors").joinpath(f"weights/{name.replace('-', '_')}.safetensors")
    return file.is_file()


@cache
def shipped(name: str) -> PosePrior:
    return load_prior(name)


NAMES = [name for name in HOMES if there(name)]
LATENT = [name for name in NAMES if isinstance(shipped(name), LatentPrior)]
FLOWS = [name for name in NAMES if isinstance(shipped(name), Flow)]
G = torch.Generator().manual_seed(0)
POSES = axis_angle_to_rotmat(torch.randn(8, 23, 3, generator=G, dtype=DOUBLE) * 0.25)
"""Around the rest pose, with nothing so close to a limit that finite differences step over it."""


def numbers(prior: PosePrior) -> torch.Tensor:
    """The poses as the prior's numbers, and for 6D a little off the surface of rotations."""
    x = to_coordinates(POSES, prior.representation)
    return x + 0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


def test_the_mixture_ships():
    """Without it the tests below would test nothing."""
    assert "gmm" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_energy_a_pose_in_any_batch(name: str):
    prior = shipped(name)
    energy = prior.energy(POSES.float())
    assert energy.shape == (8,)
    assert torch.isfinite(energy).all()
    folded = prior.energy(POSES.float().unflatten(0, (2, 4)))
    assert torch.allclose(folded.flatten(), energy, rtol=1e-3, atol=1e-3)
    alone = torch.stack([prior.energy(pose) for pose in POSES.float()])
    assert torch.allclose(alone, energy, rtol=1e-3, atol=1e-3)
    assert prior.energy(POSES[:0].float()).shape == (0,)
    assert torch.allclose(prior.energy_at(to_coordinates(POSES.float(), prior.representation)), energy)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_against_finite_differences(name: str):
    prior = shipped(name).to(DOUBLE)
    x = numbers(prior).requires_grad_(True)
    (gradient,) = torch.autograd.grad(prior.energy_at(x).sum(), x)
    g, h = torch.Generator().manual_seed(2), 1e-7
    agreed = []
    with torch.no_grad():
        for _ in range(6):
            way = torch.randn(x.shape, generator=g, dtype=DOUBLE)
            here, ahead, behind = (
                prior.energy_at(x),
                prior.energy_at(x + h * way),
                prior.energy_at(x - h * way),
            )
            slope = (ahead - behind) / (2 * h)
            kink = ((ahead - here) - (here - behind)).abs() > 1e-3 * h * (1 + slope.abs())
            agrees = torch.isclose(slope, (gradient * way).sum(-1), rtol=1e-3, atol=1e-3)
            assert (agrees | kink).all()
            agreed.append(agrees)
    assert torch.stack(agreed).double().mean() > 0.9, "kinks, of leaky units or ranges, are rare"


@pytest.mark.parametrize("name", NAMES)
def test_the_quadratic_has_the_exact_gradient_and_never_bends_down(name: str):
    prior = shipped(name).to(DOUBLE)
    x = numbers(prior)
    hessian, gradient = prior.quadratic_at(x)
    y = x.clone().requires_grad_(True)
    (exact,) = torch.autograd.grad(prior.energy_at(y).sum(), y)
    assert torch.allclose(gradient, exact, rtol=1e-6, atol=1e-6)
    assert hessian.shape == (*x.shape, x.shape[-1])
    assert torch.allclose(hessian, hessian.mT, atol=1e-6)
    assert (torch.linalg.eigvalsh(hessian) > -1e-6 * float(hessian.abs().max() + 1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_middle_is_a_pose_and_no_unlikely_one(name: str):
    prior = shipped(name)
    middle = prior.middle()
    assert middle.shape == (23, 3, 3)
    assert torch.allclose(middle @ middle.mT, torch.eye(3).expand(23, 3, 3), atol=1e-4)
    strange = axis_angle_to_rotmat(torch.randn(50, 23, 3, generator=torch.Generator().manual_seed(3)))
    assert prior.energy(middle[None]) < prior.energy(strange).min()


@pytest.mark.parametrize("name", NAMES)
def test_a_moved_prior_leaves_the_old_one_alone(name: str):
    prior = load_prior(name)
    before = prior.energy(POSES.float())
    moved = prior.to(DOUBLE)
    assert moved is not prior
    assert moved.energy(POSES).dtype == DOUBLE
    assert torch.allclose(moved.middle().float(), prior.middle(), atol=1e-3)
    assert torch.allclose(moved.energy(POSES).float(), before, rtol=1e-3, atol=1e-2)
    assert moved.representation == prior.representation
    assert prior.to(torch.float32) is prior
    assert torch.equal(prior.energy(POSES.float()), before)


@pytest.mark.parametrize("name", FLOWS)
def test_flows_encode_and_decode(name: str):
    """There is a latent for every pose and a pose for every latent."""
    flow = shipped(name).to(DOUBLE)
    assert isinstance(flow, Flow)
    assert torch.allclose(flow.decode(flow.encode(POSES)), POSES, atol=1e-6)
    x = numbers(flow)
    assert torch.allclose(flow.decode_coordinates(flow.encode_coordinates(x)), x, atol=1e-6)
    z = torch.randn(8, flow.latent_size, generator=torch.Generator().manual_seed(4), dtype=DOUBLE)
    assert torch.allclose(flow.encode_coordinates(flow.decode_coordinates(z)), z, atol=1e-6)
    assert flow.latent_size == SIZES[flow.representation]


@pytest.mark.parametrize("name", LATENT)
@torch.no_grad()
def test_draws_are_rotations_and_repeat(name: str):
    prior = shipped(name)
    assert isinstance(prior, LatentPrior)
    poses = prior.sample(6, torch.Generator().manual_seed(5))
    assert poses.shape == (6, 23, 3, 3)
    assert torch.allclose(poses @ poses.mT, torch.eye(3).expand_as(poses), atol=1e-4)
    assert torch.allclose(torch.linalg.det(poses), torch.ones(6, 23), atol=1e-4)
    assert torch.equal(poses, prior.sample(6, torch.Generator().manual_seed(5)))
    cold = prior.sample(6, torch.Generator().manual_seed(5), temperature=0.0)
    assert torch.allclose(cold, prior.middle().expand_as(cold), atol=1e-5)
    moved = prior.to(DOUBLE).sample(6, torch.Generator().manual_seed(5))
    assert torch.allclose(moved.float(), poses, atol=1e-2), "the same draws in any precision"


@pytest.mark.parametrize("name", LATENT)
@torch.no_grad()
def test_interpolation_ends_at_its_ends(name: str):
    prior = shipped(name)
    assert isinstance(prior, LatentPrior)
    first, last = torch.randn(2, prior.latent_size, generator=torch.Generator().manual_seed(6))
    row = prior.interpolate(first, last, 7)
    assert row.shape == (7, 23, 3, 3)
    assert torch.allclose(row[0], prior.decode(first), atol=1e-4)
    assert torch.allclose(row[-1], prior.decode(last), atol=1e-4)
    assert torch.allclose(row[3], prior.decode((first + last) / 2), atol=1e-4)
    back = prior.interpolate(last, first, 7)
    assert torch.allclose(back.flip(0), row, atol=1e-3)
