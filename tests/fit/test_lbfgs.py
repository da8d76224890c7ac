"""Laws of the first-order solver: minima, batches, starts that cannot be saved."""

import numpy as np
import pytest
import torch
from people import CAMERA, nudged, observed, toy_mixture

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import SMPL24
from bodyloop.evidence import Evidence
from bodyloop.fit import EnergyWeights, FitProblem, Stage, solve
from bodyloop.fit.energy import energy_terms, total_energy
from bodyloop.fit.lbfgs import MEMORY, _Memory, _People
from bodyloop.fit.spaces import AmbientSpace, LatentSpace, pose_space
from bodyloop.priors.flow import Flow
from bodyloop.priors.prior import PosePrior
from bodyloop.priors.representation import to_coordinates

DOUBLE = torch.float64
WEIGHTS = EnergyWeights()
WHOLE = (Stage(True, WEIGHTS, 15),)
SHORT = (Stage(True, WEIGHTS, 3),)
BOTH = (Stage(False, WEIGHTS, 4), *SHORT)


class Bowl(PosePrior):
    """Steep walls about the rest pose, and no residual: only the first-order solver can use it."""

    def energy_at(self, coordinates: torch.Tensor) -> torch.Tensor:
        return (2 * coordinates).square().cosh().sum(-1) - 69

    def to(self, *_: object) -> "Bowl":
        return self


def toy_flow() -> Flow:
    """Random, around the body at rest."""
    torch.manual_seed(0)
    flow = Flow("rot6d", 2, (6,)).double()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.01)
    flow.mixings[0].packed.data.diagonal().fill_(1.0)
    flow.mixings[0].center.data += to_coordinates(torch.eye(3).expand(23, 3, 3), "rot6d")
    return flow.requires_grad_(False)


def double_problem(body: BodyModel, evidence: Evidence) -> FitProblem:
    return FitProblem.build(body, evidence, CAMERA).to(DOUBLE)


def energy_of(body: BodyModel, problem: FitProblem, prior: PosePrior, bodies: Bodies) -> torch.Tensor:
    space = AmbientSpace(prior)
    return total_energy(energy_terms(body.to(DOUBLE), problem, space, WEIGHTS, bodies.to(DOUBLE)))


def test_it_reaches_the_second_order_solvers_minimum(body: BodyModel):
    """Or a lower one; where the energies are the same, the people are too."""
    truth, evidence = observed(body, 3, skeleton=SMPL24)
    problem, start = double_problem(body, evidence), nudged(truth, 0.1).to(DOUBLE)
    second = solve(body, problem, toy_mixture(), start, (Stage(True, WEIGHTS, 40),), "batched")
    first = solve(body, problem, toy_mixture(), start, (Stage(True, WEIGHTS, 25),), "lbfgs")
    assert (first.energy < 1.02 * second.energy).all()
    same = torch.isclose(first.energy, second.energy, rtol=0.02)
    assert same.any()
    off = body.to(DOUBLE).joints(first.bodies) - body.to(DOUBLE).joints(second.bodies)
    assert (off - off[:, :1]).norm(dim=-1)[same].mean() < 0.03


def test_scipy_finds_no_way_on(body: BodyModel):
    """The same energy, minimised further by somebody else's solver, has little left to lose."""
    optimize = pytest.importorskip("scipy.optimize")
    truth, evidence = observed(body, 1)
    problem, space = double_problem(body, evidence), AmbientSpace(toy_mixture())
    found = solve(body, problem, space.prior, nudged(truth, 0.1).to(DOUBLE), WHOLE, "lbfgs")
    people = _People(body.to(DOUBLE), problem, space, WHOLE[0], found.bodies)

    def slope(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, gradient = people.slope(torch.from_numpy(x)[None])
        return float(energy), gradient[0].numpy()

    start = people.pack(found.pose)[0].numpy()
    assert slope(start)[0] == pytest.approx(float(found.energy), rel=1e-6)
    further = optimize.minimize(slope, start, jac=True, method="L-BFGS-B", options={"maxiter": 30})
    assert further.fun > 0.98 * float(found.energy)


def test_without_keypoints_everybody_ends_as_the_prior_wants(body: BodyModel):
    truth, evidence = observed(body, 3)
    unseen = Evidence.from_keypoints(
        evidence.skeleton, evidence.keypoints, evidence.confidence * 0, evidence.boxes
    )
    start, stages = truth.to(DOUBLE), (Stage(True, EnergyWeights(bend=0), 10),)
    found = solve(body, double_problem(body, unseen), Bowl(), start, stages, "lbfgs")
    assert torch.allclose(found.energy, torch.zeros(3, dtype=DOUBLE), atol=1e-3)
    assert found.bodies.betas.abs().max() < 0.01
    assert torch.allclose(found.bodies.translation, start.translation), "nothing says where they are"


def test_a_batch_is_as_good_as_one_by_one(body: BodyModel):
    """Each has steps and curvature of their own, and those that have converged do not disturb the others."""
    truth, evidence = observed(body, 3)
    problem, start = double_problem(body, evidence), nudged(truth, 0.1).to(DOUBLE)
    calm = solve(body, problem[:1], toy_mixture(), start[:1], WHOLE, "batched").bodies
    start = Bodies.cat([calm, start[1:]])  # one is there already
    together = solve(body, problem, toy_mixture(), start, BOTH, "lbfgs")
    assert together.iterations[0] < together.iterations[1:].min()
    for i in range(3):
        alone = solve(body, problem[i : i + 1], toy_mixture(), start[i : i + 1], BOTH, "lbfgs")
        assert torch.equal(alone.iterations, together.iterations[i : i + 1])
        assert torch.allclose(alone.energy, together.energy[i : i + 1], rtol=1e-4)
        assert torch.allclose(alone.bodies.rotations, together.bodies.rotations[i : i + 1], atol=1e-3)
        assert torch.allclose(alone.bodies.translation, together.bodies.translation[i : i + 1], atol=1e-3)


def test_chunks_do_not_matter(body: BodyModel):
    truth, evidence = observed(body, 3)
    problem, start = double_problem(body, evidence), nudged(truth, 0.1).to(DOUBLE)
    once, twice = (
        solve(body, problem, toy_mixture(), start, SHORT, "lbfgs", chunk=chunk) for chunk in (3, 2)
    )
    assert torch.allclose(once.energy, twice.energy, rtol=1e-4)


@pytest.mark.parametrize("prior", [toy_mixture(), Bowl()])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("amount", [0.05, 0.8])
def test_the_energy_never_rises_over_the_start(body: BodyModel, prior: PosePrior, steps: int, amount: float):
    """However rough the start and however early the end, and what is told is the energy of the people given back."""
    truth, evidence = observed(body, 4)
    problem, start = double_problem(body, evidence), nudged(truth, amount, seed=5).to(DOUBLE)
    before = energy_of(body, problem, prior, start)
    found = solve(body, problem, prior, start, (Stage(True, WEIGHTS, steps),), "lbfgs")
    assert torch.isfinite(before).any()
    assert (found.energy <= before + 1e-9 * before.abs()).all()
    started = torch.isfinite(found.energy)
    after = energy_of(body, problem, prior, found.bodies)
    assert torch.allclose(found.energy[started], after[started], rtol=1e-5)
    assert (found.energy[started] < before[started]).all()


@pytest.mark.parametrize("space", ["ambient", "latent"])
def test_behind_the_camera(body: BodyModel, space):
    """Who starts there is given back as he was, with infinite energy; the others are fitted as if alone."""
    truth, evidence = observed(body, 4)
    prior = toy_flow()
    problem, start = double_problem(body, evidence), nudged(truth, 0.05).to(DOUBLE)
    aside = start.translation.clone()
    aside[[0, 2], 2] -= 9.0
    spoiled = Bodies(start.rotations, start.betas, aside)
    found = solve(body, problem, prior, spoiled, SHORT, "lbfgs", space)
    good = solve(body, problem[1:2], prior, start[1:2], SHORT, "lbfgs", space)
    assert torch.isinf(found.energy).tolist() == [True, False, True, False]
    for tensor in (found.bodies.rotations, found.bodies.betas, found.bodies.translation, found.pose):
        assert torch.isfinite(tensor).all()
    assert torch.allclose(found.bodies.translation[[0, 2]], aside[[0, 2]])
    assert torch.allclose(found.bodies.betas[[0, 2]], start.betas[[0, 2]])
    assert (found.iterations[[0, 2]] == 0).all()
    assert torch.allclose(found.energy[1:2], good.energy, rtol=1e-3)


def test_nobody_is_fitted_in_no_time(body: BodyModel):
    truth, evidence = observed(body, 2)
    found = solve(body, double_problem(body, evidence)[:0], toy_mixture(), truth[:0], BOTH, "lbfgs")
    assert found.energy.shape == (0,)


def test_in_latent_space_the_pose_is_that_of_the_latents(body: BodyModel):
    truth, evidence = observed(body, 2)
    space = pose_space(toy_flow(), "latent")
    assert isinstance(space, LatentSpace)
    problem, start = double_problem(body, evidence), nudged(truth, 0.05).to(DOUBLE)
    found = solve(body, problem, space.prior, start, (Stage(True, WEIGHTS, 5),), "lbfgs", "latent")
    assert found.pose.shape == (2, 138)
    assert torch.allclose(space.rotations(found.pose), found.bodies.rotations[:, 1:], atol=1e-6)


def test_directions_against_the_dense_update():
    """The two loops against BFGS's formula for the inverse Hessian (Nocedal and Wright 2006, eq. 6.17)."""
    g = torch.Generator().manual_seed(0)
    size, people = 6, 3
    memory = _Memory(torch.zeros(people, size, dtype=DOUBLE))
    root = torch.randn(people, size, size, generator=g, dtype=DOUBLE)
    hessian = root @ root.mT + torch.eye(size, dtype=DOUBLE)
    pairs = []
    for _ in range(MEMORY + 3):  # the first three are forgotten
        s = torch.randn(people, size, generator=g, dtype=DOUBLE)
        y = (hessian @ s[..., None])[..., 0]
        memory.add(s, y, torch.ones(people, dtype=torch.bool))
        pairs.append((s, y))
    bad = torch.randn(people, size, generator=g, dtype=DOUBLE)
    memory.add(bad, -bad, torch.ones(people, dtype=torch.bool))  # negative curvature is not remembered
    gradient = torch.randn(people, size, generator=g, dtype=DOUBLE)
    found = memory.direction(gradient)
    eye = torch.eye(size, dtype=DOUBLE)
    for i in range(people):
        s, y = pairs[-1][0][i], pairs[-1][1][i]
        inverse = eye * (s @ y) / (y @ y)
        for all_s, all_y in pairs[-MEMORY:]:
            s, y = all_s[i], all_y[i]
            rho = 1 / (s @ y)
            left = eye - rho * torch.outer(s, y)
            inverse = left @ inverse @ left.mT + rho * torch.outer(s, s)
        assert torch.allclose(found[i], -inverse @ gradient[i], rtol=1e-8)


def test_without_memory_the_direction_is_down_the_gradient():
    memory = _Memory(torch.zeros(2, 4))
    gradient = torch.tensor([[3.0, 0, 4.0, 0], [0, 0, 0, 0.1]])
    assert memory.empty().all()
    down = memory.direction(gradient)
    assert torch.allclose(down, -gradient / gradient.norm(dim=1, keepdim=True))
