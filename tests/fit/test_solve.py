"""Laws of the two solvers: one energy, one result, true derivatives."""

import dataclasses

import numpy as np
import pytest
import torch
from people import CAMERA, nudged, observed, toy_mixture

from bodyloop.body import Bodies, BodyModel, load_body
from bodyloop.body.skeletons import COCO17, OPENPOSE25
from bodyloop.evidence import Evidence
from bodyloop.fit import TUNED, EnergyWeights, FitProblem, Stage, solve
from bodyloop.fit.batched import _State, _System, right_jacobian
from bodyloop.fit.energy import energy_terms, total_energy
from bodyloop.fit.solve import Backend, torso_weight
from bodyloop.geometry import axis_angle_to_rotmat

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
    terms = energy_terms(body.to(DOUBLE), problem, prior, TUNED, found.bodies)
    assert ("anchor" in terms) == anchored
    assert torch.allclose(found.energy, total_energy(terms), rtol=1e-5)


def test_fits_never_end_above_their_start_and_meet_exact_keypoints(body: BodyModel):
    truth, evidence = observed(body, 20)
    problem, prior = double_problem(body, evidence), toy_mixture()
    start = nudged(truth, 0.2).to(DOUBLE)
    found = solve(body, problem, prior, start, (Stage(True, WEIGHTS, 40),))
    before = total_energy(energy_terms(body.to(DOUBLE), problem, prior, WEIGHTS, start))
    assert (found.energy <= before).all()
    keypoints = CAMERA.project(body.points(found.bodies.to(torch.float32), problem.to(torch.float32).points))
    assert (keypoints - evidence.keypoints).norm(dim=-1).mean() < 8  # pixels, of people about 400 tall


def _energy_of(system: _System, problem: FitProblem, body: BodyModel, anchor: bool):
    def energy(step: torch.Tensor, state: _State) -> torch.Tensor:
        moved = state.moved(step)
        return total_energy(
            energy_terms(body, problem, system.prior, system.stage.weights, moved.bodies(), moved.theta)
        )

    return energy


@pytest.mark.parametrize("anchored", [False, True])
def test_gradient_against_autograd(body: BodyModel, anchored: bool):
    truth, evidence = observed(body, 4, skeleton=OPENPOSE25)
    problem = double_problem(body, evidence)
    weights = EnergyWeights(anchor=2.0 if anchored else 0.0, sigma=20)
    if anchored:
        problem = dataclasses.replace(
            problem,
            anchor=torch.randn(4, 69, dtype=DOUBLE) * 0.1,
            anchor_scale=torch.rand(69, dtype=DOUBLE) + 0.1,
        )
    big = body.to(DOUBLE)
    system = _System(big, problem, toy_mixture(), Stage(True, weights, 1))
    rough = nudged(truth, 0.2)
    state = _State.of(Bodies.from_smpl(rough.pose.double(), rough.betas.double(), rough.translation.double()))
    frames, pieces = system.frames(state)
    _, mode = system.energy(state, pieces, problem, problem.weight, state.trans[:, 2])
    _, half = system.normal_equations(state, frames, pieces, mode, problem, problem.weight, state.trans[:, 2])
    step = torch.zeros(4, 85, dtype=DOUBLE, requires_grad=True)
    energy = _energy_of(system, problem, big, anchored)(step, state)
    (exact,) = torch.autograd.grad(energy.sum(), step)
    assert torch.allclose(2 * half, exact, rtol=1e-5, atol=1e-5)


def test_point_jacobian_against_finite_differences(body: BodyModel):
    truth, evidence = observed(body, 2)
    problem, big = double_problem(body, evidence), body.to(DOUBLE)
    system = _System(big, problem, toy_mixture(), Stage(True, WEIGHTS, 1))
    state = _State.of(truth.to(DOUBLE))
    frames, pieces = system.frames(state)
    jacobian = system.jacobian(state, frames, pieces)
    h = 1e-6
    for column in range(0, 85, 3):
        step = torch.zeros(2, 85, dtype=DOUBLE)
        step[:, column] = h
        ahead, behind = (problem.points.collect(system.frames(state.moved(s))[1]) for s in (step, -step))
        assert torch.allclose((ahead - behind) / (2 * h), jacobian[..., column], atol=1e-6)


def test_right_jacobian():
    theta = torch.randn(50, 3, dtype=DOUBLE)
    theta[0] = 1e-7
    d = torch.randn(50, 3, dtype=DOUBLE) * 1e-6
    exact = axis_angle_to_rotmat(theta + d)
    linear = axis_angle_to_rotmat(theta) @ axis_angle_to_rotmat(
        (right_jacobian(theta) @ d[..., None])[..., 0]
    )
    assert torch.allclose(exact, linear, atol=1e-10)


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
