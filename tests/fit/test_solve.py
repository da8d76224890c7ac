"""Laws of the two solvers: one energy, one result, true derivatives."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from people import CAMERA, nudged, observed, toy_mixture

from bodyloop.body import Bodies, BodyModel, load_body
from bodyloop.body.skeletons import COCO17, OPENPOSE25, UNION45
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.fit import TUNED, EnergyWeights, FitProblem, Stage, solve
from bodyloop.fit.batched import TURNS, State, System
from bodyloop.fit.energy import energy_terms, reprojection, total_energy
from bodyloop.fit.solve import Backend, torso_weight
from bodyloop.fit.spaces import AmbientSpace, LatentSpace, PoseSpace, SpaceKind
from bodyloop.priors.flow import Flow
from bodyloop.priors.representation import Representation, to_coordinates

WEIGHTS = EnergyWeights()
STAGES = (Stage(False, WEIGHTS, 8), Stage(True, WEIGHTS, 40))
DOUBLE = torch.float64


def double_problem(body: BodyModel, evidence: Evidence) -> FitProblem:
    return FitProblem.build(body, evidence, CAMERA).to(DOUBLE)


@pytest.mark.parametrize("skeleton", [COCO17, OPENPOSE25])
def test_back_ends_agree(body: BodyModel, skeleton):
    truth, evidence = observed(body, 12, skeleton=skeleton)
    problem, start = double_problem(body, evidence), nudged(truth, 0.25).to(DOUBLE)
    compiled = solve(body, problem, toy_mixture(), start, STAGES, "compiled")
    batched = solve(body, problem, toy_mixture(), start, STAGES, "batched", chunk=5)
    assert torch.equal(compiled.iterations, batched.iterations)
    assert torch.allclose(compiled.energy, batched.energy, rtol=1e-6)
    assert torch.allclose(compiled.bodies.rotations, batched.bodies.rotations, atol=1e-3)
    assert torch.allclose(compiled.bodies.translation, batched.bodies.translation, atol=1e-3)


def test_back_ends_agree_with_pose_correctives(tmp_path, smpl_arrays):
    np.savez(tmp_path / "small.npz", **smpl_arrays)
    small = load_body(tmp_path / "small.npz")
    truth, evidence = observed(small, 6, skeleton=OPENPOSE25)
    problem, start = double_problem(small, evidence), nudged(truth, 0.1).to(DOUBLE)
    a, b = (solve(small, problem, toy_mixture(), start, STAGES, x) for x in ("compiled", "batched"))
    assert torch.allclose(a.energy, b.energy, rtol=1e-3)


@pytest.mark.parametrize("backend", ["compiled", "batched"])
@pytest.mark.parametrize("anchored", [False, True])
def test_the_reported_energy_is_the_defined_one(body: BodyModel, backend: Backend, anchored: bool):
    """Also where the weights ask for an anchor and the problem has none."""
    truth, evidence = observed(body, 6)
    problem, prior = double_problem(body, evidence), toy_mixture()
    if anchored:
        problem = dataclasses.replace(
            problem,
            anchor=torch.full((6, 69), 0.1, dtype=DOUBLE),
            anchor_scale=torch.full((69,), 0.2, dtype=DOUBLE),
        )
    stages = (Stage(True, TUNED, 40),)
    found = solve(body, problem, prior, nudged(truth, 0.2).to(DOUBLE), stages, backend)
    terms = energy_terms(body.to(DOUBLE), problem, AmbientSpace(prior), TUNED, found.bodies)
    assert ("anchor" in terms) == anchored
    assert torch.allclose(found.energy, total_energy(terms), rtol=1e-5)


def test_fits_never_end_above_their_start_and_meet_exact_keypoints(body: BodyModel):
    truth, evidence = observed(body, 20)
    problem, prior = double_problem(body, evidence), toy_mixture()
    start = nudged(truth, 0.2).to(DOUBLE)
    found = solve(body, problem, prior, start, (Stage(True, WEIGHTS, 40),))
    before = total_energy(energy_terms(body.to(DOUBLE), problem, AmbientSpace(prior), WEIGHTS, start))
    assert (found.energy <= before).all()
    keypoints = CAMERA.project(body.points(found.bodies.to(torch.float32), problem.to(torch.float32).points))
    assert (keypoints - evidence.keypoints).norm(dim=-1).mean() < 8  # pixels, of people about 400 tall


def toy_flow(representation: Representation) -> Flow:
    """Random, around the body at rest."""
    torch.manual_seed(0)
    flow = Flow(representation, 2, (6,)).double()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.01)
    flow.mixings[0].packed.data.diagonal().fill_(1.0)  # a latent of 1 is e^-1 of a coordinate
    flow.mixings[0].center.data += to_coordinates(torch.eye(3).expand(23, 3, 3), representation)
    return flow.requires_grad_(False)


SPACES: dict[str, Callable[[], PoseSpace]] = {
    "mixture": lambda: AmbientSpace(toy_mixture()),
    "mixture, sum": lambda: AmbientSpace(dataclasses.replace(toy_mixture(), form="sum")),
    "ambient axis-angle flow": lambda: AmbientSpace(toy_flow("axis_angle")),
    "ambient 6D flow": lambda: AmbientSpace(toy_flow("rot6d")),
    "latent axis-angle flow": lambda: LatentSpace(toy_flow("axis_angle")),
    "latent 6D flow": lambda: LatentSpace(toy_flow("rot6d")),
}


@pytest.mark.parametrize("anchored", [False, True])
@pytest.mark.parametrize("name", SPACES)
def test_gradient_against_autograd(body: BodyModel, name: str, anchored: bool):
    truth, evidence = observed(body, 4, skeleton=OPENPOSE25)
    problem, space = double_problem(body, evidence), SPACES[name]()
    weights = EnergyWeights(anchor=2.0 if anchored else 0.0, bend=15.2 if anchored else 0.0, sigma=20)
    if anchored:
        problem = dataclasses.replace(
            problem,
            anchor=torch.randn(4, 69, dtype=DOUBLE) * 0.1,
            anchor_scale=torch.rand(69, dtype=DOUBLE) + 0.1,
        )
    big = body.to(DOUBLE)
    system = System(big, problem, space, Stage(True, weights, 1))
    rough = nudged(truth, 0.2)
    start = Bodies.from_smpl(rough.pose.double(), rough.betas.double(), rough.translation.double())
    state = State.of(start, space)
    frames, pieces = system.frames(state)
    hessian, half = system.normal_equations(state, frames, pieces, problem, problem.weight, state.trans[:, 2])
    step = torch.zeros_like(half, requires_grad=True)
    moved = state.moved(step)
    terms = energy_terms(big, problem, space, weights, moved.bodies(space), moved.pose)
    (exact,) = torch.autograd.grad(total_energy(terms).sum(), step)
    assert torch.allclose(2 * half, exact, rtol=1e-5, atol=1e-5)
    assert torch.allclose(hessian, hessian.mT)
    assert (torch.linalg.eigvalsh(hessian) > -1e-6).all()
    energy = system.energy(state, pieces, problem, problem.weight, state.trans[:, 2])
    assert torch.allclose(energy, total_energy(terms), rtol=1e-9)


@pytest.mark.parametrize("name", SPACES)
def test_residual_jacobian_against_finite_differences(body: BodyModel, name: str):
    truth, evidence = observed(body, 2)
    problem, big, space = double_problem(body, evidence), body.to(DOUBLE), SPACES[name]()
    system = System(big, problem, space, Stage(True, WEIGHTS, 1))
    state = State.of(truth.to(DOUBLE), space)
    jacobian = system.jacobian(state, *system.frames(state), problem)

    def residual(step: torch.Tensor) -> torch.Tensor:
        pieces = system.frames(state.moved(step))[1]
        return reprojection(problem.points.collect(pieces), problem).flatten(1)

    h = 1e-6
    for column in range(0, 16 + space.size, 5):
        step = torch.zeros(2, 16 + space.size, dtype=DOUBLE)
        step[:, column] = h
        slope = (residual(step) - residual(-step)) / (2 * h)
        assert torch.allclose(slope, jacobian[..., column], atol=1e-3 * max(1.0, float(slope.abs().max())))


@pytest.mark.parametrize("name", SPACES)
def test_many_residuals_summed_up_by_turns_are_the_same(body: BodyModel, name: str):
    truth, evidence = observed(body, 2, skeleton=UNION45)
    problem, big, space = double_problem(body, evidence), body.to(DOUBLE), SPACES[name]()
    bare = EnergyWeights(pose=0.0, shape=0.0, bend=0.0)
    system = System(big, problem, space, Stage(True, bare, 1))
    state = State.of(nudged(truth, 0.1).to(DOUBLE), space)
    frames, pieces = system.frames(state)
    assert problem.target[0].numel() > 16 + TURNS
    hessian, gradient = system.normal_equations(
        state, frames, pieces, problem, problem.weight, state.trans[:, 2]
    )
    rows = system.jacobian(state, frames, pieces, problem)
    residual = reprojection(problem.points.collect(pieces), problem)
    share = (bare.sigma**2 / (bare.sigma**2 + residual.square())).square() * problem.weight[..., None]
    weighted = rows * share.flatten(1)[..., None]
    assert torch.allclose(hessian, weighted.mT @ rows, rtol=1e-9, atol=1e-6)
    assert torch.allclose(
        gradient, (weighted.mT @ residual.flatten(1)[..., None])[..., 0], rtol=1e-9, atol=1e-6
    )


@pytest.mark.parametrize("name", SPACES)
def test_first_and_second_order_solvers_meet(body: BodyModel, name: str):
    """Each goes on from where the other ends and finds little left to gain."""
    truth, evidence = observed(body, 5)
    problem, space = double_problem(body, evidence), SPACES[name]()
    start = nudged(truth, 0.1).to(DOUBLE)
    kind: SpaceKind = "latent" if isinstance(space, LatentSpace) else "ambient"
    stages = (Stage(True, EnergyWeights(bend=2.0), 40),)
    ends = {}
    for first, second in (("batched", "lbfgs"), ("lbfgs", "batched")):
        found = solve(body, problem, space.prior, start, stages, first, kind)
        again = solve(body, problem, space.prior, found.bodies, stages, second, kind)
        # 6D numbers are lost on the way through rotations, so that a restart may begin a little higher
        assert (again.energy <= found.energy + 0.01 * found.energy.abs()).all()
        assert (again.energy > found.energy - 0.03 * found.energy.abs()).all()
        ends[first] = found.energy
    assert torch.allclose(ends["batched"], ends["lbfgs"], rtol=0.1)


def test_only_some_priors_fit_everywhere(body: BodyModel):
    truth, evidence = observed(body, 1)
    problem = FitProblem.build(body, evidence, CAMERA)
    with pytest.raises(InputError, match="no latent space"):
        solve(body, problem, toy_mixture(), truth, STAGES, space="latent")
    with pytest.raises(ValueError, match="backend='batched'"):
        solve(body, problem, toy_flow("rot6d"), truth, STAGES, "compiled")


def test_the_image_resolution_does_not_matter(body: BodyModel):
    truth, evidence = observed(body, 5)
    start = nudged(truth, 0.2)
    doubled = Evidence.from_keypoints(COCO17, evidence.keypoints * 2, evidence.confidence)
    camera = type(CAMERA)(CAMERA.focal * 2, CAMERA.center * 2, (2000, 2000))
    first = solve(body, FitProblem.build(body, evidence, CAMERA), toy_mixture(), start, STAGES)
    second = solve(body, FitProblem.build(body, doubled, camera), toy_mixture(), start, STAGES)
    assert torch.allclose(first.energy, second.energy, rtol=1e-3)


def test_unseen_keypoints_do_not_matter(body: BodyModel):
    truth, evidence = observed(body, 5)
    confidence = evidence.confidence.clone()
    confidence[:, 9:11] = 0
    spoiled = evidence.keypoints.clone()
    spoiled[:, 9:11] = 1e6
    start, boxes = nudged(truth, 0.2), evidence.boxes
    results = [
        solve(body, FitProblem.build(body, Evidence.from_keypoints(COCO17, k, confidence, boxes), CAMERA),
              toy_mixture(), start, STAGES)
        for k in (evidence.keypoints, spoiled)
    ]  # fmt: skip
    assert torch.equal(results[0].energy, results[1].energy)


def test_a_person_does_not_depend_on_the_others(body: BodyModel):
    truth, evidence = observed(body, 6)
    problem, start = FitProblem.build(body, evidence, CAMERA), nudged(truth, 0.2)
    for backend in ("compiled", "batched"):
        together = solve(body, problem, toy_mixture(), start, STAGES, backend)
        alone = solve(body, problem[2:3], toy_mixture(), start[2:3], STAGES, backend)
        assert torch.allclose(together.energy[2:3], alone.energy, rtol=1e-3)


def test_a_start_behind_the_camera_has_infinite_energy(body: BodyModel):
    truth, evidence = observed(body, 3)
    behind = Bodies(truth.rotations, truth.betas, truth.translation - torch.tensor([0, 0, 9.0]))
    for backend in ("compiled", "batched"):
        found = solve(
            body, FitProblem.build(body, evidence, CAMERA), toy_mixture(), behind, STAGES[1:], backend
        )
        assert torch.isinf(found.energy).all()


def test_the_torso_or_else_everything(body: BodyModel):
    _, evidence = observed(body, 2)
    confidence = evidence.confidence.clone()
    confidence[1, [5, 6]] = 0  # without shoulders, two hips are left
    problem = FitProblem.build(
        body, Evidence.from_keypoints(COCO17, evidence.keypoints, confidence, evidence.boxes), CAMERA
    )
    used = torso_weight(problem) > 0
    assert used[0].nonzero()[:, 0].tolist() == [5, 6, 11, 12]
    assert torch.equal(used[1], problem.weight[1] > 0)


def test_wrong_number_of_starts(body: BodyModel):
    truth, evidence = observed(body, 3)
    with pytest.raises(ValueError, match="3 people need as many starts"):
        solve(body, FitProblem.build(body, evidence, CAMERA), toy_mixture(), truth[:2], STAGES)


def test_the_compiled_solver_leaves_torch_its_threads(body: BodyModel):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        bodies, evidence = observed(body, 2)
        problem = FitProblem.build(body, evidence, CAMERA)
        solve(
            body, problem, toy_mixture(), nudged(bodies, 0.1), (Stage(True, EnergyWeights(), 2),), "compiled"
        )
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_hessian_that_serves_several_iterations_leads_to_the_same_place(body: BodyModel):
    truth, evidence = observed(body, 4)
    problem, start = double_problem(body, evidence), nudged(truth, 0.1).to(DOUBLE)
    energies = []
    for refresh in (1, 3):
        flow = toy_flow("rot6d")
        flow.refresh = refresh
        stages = (Stage(True, WEIGHTS, 200),)
        energies.append(solve(body, problem, flow, start, stages, "batched", "ambient").energy)
    assert torch.allclose(*energies, rtol=1e-2)
