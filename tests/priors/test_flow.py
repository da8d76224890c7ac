"""Laws of normalizing flows: invertible, exact determinants, densities that integrate to one."""

import math

import pytest
import torch

from bodyloop.priors.flow import Coupling, Flow, Mixing, ParametricReLU
from bodyloop.priors.prior import LatentPrior, PosePrior, latent_energy

DOUBLE = torch.float64
KINDS = ("nvp", "prelu")


def rough(size: int, kind: str = "nvp", steps: int = 3, seed: int = 0) -> Flow:
    """A flow over `size` numbers with random weights, far from the identity."""
    torch.manual_seed(seed)
    flow = Flow(steps=steps, hidden=(7,), kind=kind, size=size).double()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return flow.requires_grad_(False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [2, 7, 138])
def test_invertible(kind: str, size: int):
    flow = rough(size, kind) if size < 100 else Flow(kind=kind).double()
    x = torch.randn(4, 5, size, dtype=DOUBLE)
    z = flow.encode_coordinates(x)
    assert torch.allclose(flow.decode_coordinates(z), x, atol=1e-7)
    assert torch.allclose(flow.encode_coordinates(flow.decode_coordinates(x)), x, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_log_determinant_against_autograd(kind: str):
    flow = rough(6, kind)
    x = torch.randn(20, 6, dtype=DOUBLE)
    _, log_det = flow(x)
    jacobian = torch.func.vmap(torch.func.jacrev(flow.encode_coordinates))(x)
    assert torch.allclose(log_det, torch.linalg.slogdet(jacobian).logabsdet, atol=1e-9)
    assert not torch.allclose(log_det, log_det[:1].expand(20))


@pytest.mark.parametrize("kind", KINDS)
def test_density_integrates_to_one(kind: str):
    flow = rough(2, kind)
    side = torch.linspace(-40, 40, 2001, dtype=DOUBLE)
    grid = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1)
    mass = flow.log_prob_at(grid).exp().sum() * (side[1] - side[0]) ** 2
    assert abs(float(mass) - 1) < 0.01


def test_log_prob_is_the_change_of_variables_and_energy_its_negative():
    flow = rough(5)
    x = torch.randn(9, 5, dtype=DOUBLE)
    z, log_det = flow(x)
    gaussian = -latent_energy(z) - 2.5 * math.log(2 * math.pi)
    assert torch.allclose(flow.log_prob_at(x), gaussian + log_det)
    assert torch.allclose(flow.energy_at(x), -flow.log_prob_at(x))


def test_the_quadratic_has_the_exact_gradient_and_never_bends_down():
    flow = rough(5)
    x = torch.randn(9, 5, dtype=DOUBLE, requires_grad=True)
    hessian, gradient = flow.quadratic_at(x.detach())
    (exact,) = torch.autograd.grad(flow.energy_at(x).sum(), x)
    assert torch.allclose(gradient, exact, atol=1e-9)
    assert (torch.linalg.eigvalsh(hessian) > -1e-9).all()


def test_a_fresh_flow_is_the_identity_and_whitening_makes_unit_variance():
    flow = Flow("axis_angle")
    x = torch.randn(2000, 69) @ torch.randn(69, 69) * 0.1 + 1
    assert torch.allclose(flow.encode_coordinates(x), x, atol=1e-5)
    flow.mixings[0].whiten(x)
    z = flow.encode_coordinates(x)
    assert torch.allclose(torch.cov(z.T), torch.eye(69), atol=1e-2)
    assert torch.allclose(z.mean(0), torch.zeros(69), atol=1e-3)


def test_layers_invert_alone():
    torch.manual_seed(1)
    x = torch.randn(6, 5)
    layers = (Mixing(5), Coupling(5, (4,), False), Coupling(5, (4,), True), ParametricReLU(5))
    for layer in layers:
        for p in layer.parameters():
            torch.nn.init.normal_(p, std=0.3)
        assert torch.allclose(layer.inverse(layer(x)[0]), x, atol=1e-5), layer


def test_sizes_of_the_papers_variants():
    """About 93,000 numbers; the parametric ReLU needs fewer."""
    light = sum(p.numel() for p in Flow().parameters())
    plain = sum(p.numel() for p in Flow(kind="prelu").parameters())
    assert abs(light - 93_000) < 0.02 * 93_000
    assert plain < light


def test_kept_matrices_follow_the_weights():
    flow = rough(4)
    x = torch.randn(3, 4, dtype=DOUBLE)
    before = flow.encode_coordinates(x)
    with torch.no_grad():
        flow.mixings[0].packed.add_(0.1)
    after = flow.encode_coordinates(x)
    assert not torch.allclose(before, after)
    assert torch.allclose(flow.decode_coordinates(after), x)


def test_a_moved_flow_leaves_the_old_one_alone():
    flow = Flow("axis_angle").requires_grad_(False)
    moved = flow.to(DOUBLE)
    assert moved is not flow
    assert flow.to(torch.float32) is flow
    assert flow.mixings[0].packed.dtype == torch.float32
    assert moved.mixings[0].packed.dtype == DOUBLE


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(tmp_path, kind: str):
    torch.manual_seed(0)
    flow = Flow("axis_angle", 2, (6, 5), kind)
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.02)
    flow.save(tmp_path / "f.safetensors")
    back = Flow.load(tmp_path / "f.safetensors")
    x = torch.randn(5, 69) * 0.3
    assert back.representation == "axis_angle"
    assert not any(p.requires_grad for p in back.parameters())
    assert torch.allclose(back.encode_coordinates(x), flow.encode_coordinates(x), atol=1e-2)
    assert torch.allclose(back.decode_coordinates(back.encode_coordinates(x)), x, atol=1e-4)


def test_samples_and_interpolation_are_rotations():
    flow = Flow("rot6d").requires_grad_(False)
    flow.mixings[0].center += torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(23)
    g = torch.Generator().manual_seed(0)
    poses = flow.sample(6, g, 0.1)
    assert torch.allclose(poses @ poses.mT, torch.eye(3).expand_as(poses), atol=1e-5)
    first, last = torch.zeros(138), torch.full((138,), 0.1)
    between = flow.interpolate(first, last, 5)
    assert torch.allclose(between[0], flow.decode(first))
    assert torch.allclose(between[-1], flow.decode(last))


@pytest.mark.parametrize("kind", KINDS)
def test_derivatives_layer_by_layer_are_automatic_ones(kind: str):
    flow = rough(9, kind)
    x, rows = torch.randn(4, 9, dtype=DOUBLE), torch.randn(4, 6, 9, dtype=DOUBLE)
    torch.testing.assert_close(flow.pull_decoded(x, rows), LatentPrior.pull_decoded(flow, x, rows))
    for ours, automatic in zip(flow.quadratic_at(x), PosePrior.quadratic_at(flow, x), strict=True):
        torch.testing.assert_close(ours, automatic)
