"""Laws of fits over time: one energy, true derivatives, the dense solution, bridged gaps, equivariance."""

import pytest
import torch
from people import CAMERA, toy_mixture
from test_solve import toy_flow
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.fit import EnergyWeights, FitProblem, Stage
from bodyloop.fit.banded import BandedStep
from bodyloop.fit.batched import State
from bodyloop.fit.frames import CompiledFrames, Frames, TensorFrames
from bodyloop.fit.smoothness import REFERENCE_FPS
from bodyloop.fit.spaces import AmbientSpace, LatentSpace
from bodyloop.fit.temporal import Smoothness, TrackSolution, _Chains, solve_tracks
from bodyloop.geometry import axis_angle_to_rotmat

DOUBLE = torch.float64
WEIGHTS = EnergyWeights(pose=1.0, bend=0.5, shape=1.0)
SMOOTH = Smoothness(latent=1.0, joints=0.1, place=0.2)
FRAMES = 8


def walk(body: BodyModel, frames: int = FRAMES, seed: int = 0) -> Bodies:
    """Somebody who turns, bends and moves on evenly, (T,)."""
    g = torch.Generator().manual_seed(seed)
    begin, end = torch.randn(2, 72, generator=g, dtype=DOUBLE) * 0.15
    share = torch.linspace(0, 1, frames, dtype=DOUBLE)[:, None]
    pose = begin + share * (end - begin)
    pose[:, 0] += torch.pi
    place = torch.tensor([[-0.3, 0.1, 4.0]], dtype=DOUBLE) + share * torch.tensor(
        [[0.6, 0.0, 0.4]], dtype=DOUBLE
    )
    betas = (torch.randn(10, generator=g, dtype=DOUBLE) * 0.7).expand(frames, 10)
    return Bodies.from_smpl(pose, betas, place)


def times_of(frames: int = FRAMES) -> Tensor:
    return torch.arange(frames, dtype=DOUBLE)[None] / REFERENCE_FPS


def seen(body: BodyModel, truth: Bodies, noise: float = 0.0, hidden: list[int] | None = None) -> FitProblem:
    """Keypoints with noise in pixels, of all frames but the hidden ones."""
    keypoints = CAMERA.project(body.points(truth.to(torch.float32), body.keypoints(COCO17)[0]))
    g = torch.Generator().manual_seed(7)
    keypoints = keypoints + torch.randn(keypoints.shape, generator=g) * noise
    confidence = torch.ones(keypoints.shape[:2])
    confidence[hidden or []] = 0
    boxes = torch.tensor([[200.0, 100.0, 700.0, 900.0]]).expand(len(keypoints), 4)
    return FitProblem.build(body, Evidence.from_keypoints(COCO17, keypoints, confidence, boxes), CAMERA).to(
        DOUBLE
    )


def disturbed(truth: Bodies, amount: float = 0.1, seed: int = 3) -> Bodies:
    """(1, T) starts."""
    g = torch.Generator().manual_seed(seed)
    pose = truth.pose + torch.randn(truth.pose.shape, generator=g, dtype=DOUBLE) * amount
    start = Bodies.from_smpl(pose, truth.betas * 0, truth.translation + amount * 0.3)
    return Bodies(start.rotations[None], start.betas[None], start.translation[None])


def fit(body: BodyModel, problem: FitProblem, start: Bodies, **changes: object) -> TrackSolution:
    settings = {"weights": WEIGHTS, "smoothness": SMOOTH, "steps": 60} | changes
    space = AmbientSpace(toy_mixture())
    return solve_tracks(body, problem, times_of(start.betas.shape[1]), space, start, **settings)  # type: ignore[arg-type]


def chains(body: BodyModel, kind: str) -> tuple[_Chains, State]:
    """Two short tracks, with all terms."""
    truth = walk(body)
    problem = seen(body, truth, 3.0)
    stage = Stage(True, EnergyWeights(1.0, 0.5, 0.0, 100.0, 0.0), 1)
    times = torch.tensor([[0.0, 0.03, 0.09, 0.1], [0.0, 0.04, 0.08, 0.12]], dtype=DOUBLE)
    mixture, big = toy_mixture(), body.to(DOUBLE)
    frames: Frames
    if kind == "compiled":
        frames = CompiledFrames(body, problem, mixture, AmbientSpace(mixture), stage)
    else:
        prior = toy_flow("rot6d") if kind == "latent" else mixture
        space = LatentSpace(prior) if kind == "latent" else AmbientSpace(prior)  # type: ignore[arg-type]
        frames = TensorFrames(big, problem, space, stage)
    distance = torch.tensor([4.0, 4.5], dtype=DOUBLE)
    one = disturbed(truth)
    state = State.of(Bodies(one.rotations[0], one.betas[0], one.translation[0]), frames.space)
    state.betas = torch.randn(2, 10, generator=torch.Generator().manual_seed(1), dtype=DOUBLE) * 0.3
    return _Chains(frames, times, distance, 1.5, SMOOTH, False), state


@pytest.mark.parametrize("kind", ["compiled", "tensors", "latent"])
def test_gradients_are_those_of_the_energy(body: BodyModel, kind: str):
    tracks, state = chains(body, kind)
    system = tracks.system(state)
    g = torch.Generator().manual_seed(2)
    frames = torch.randn(system.gradient.shape, generator=g, dtype=DOUBLE)
    shared = torch.randn(2, 10, generator=g, dtype=DOUBLE)

    def energy(h: float) -> Tensor:
        good = torch.ones(2, dtype=torch.bool)
        return tracks.energy(tracks.moved(state, BandedStep(h * frames, h * shared, shared, good)))

    slope = (energy(1e-5) - energy(-1e-5)) / 2e-5
    half = (system.gradient * frames).sum((1, 2)) + (system.shared_gradient * shared).sum(1)
    assert torch.allclose(slope, 2 * half, rtol=1e-5)


def test_back_ends_agree(body: BodyModel):
    (compiled, state), (tensors, _) = chains(body, "compiled"), chains(body, "tensors")
    assert torch.allclose(compiled.energy(state), tensors.energy(state), rtol=1e-5)
    first, second = compiled.system(state), tensors.system(state)
    for name in ("band", "border", "corner", "gradient", "shared_gradient"):
        a, b = getattr(first, name), getattr(second, name)
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max())), name


def test_smoothness_charges_nothing_for_even_motion(body: BodyModel):
    """Whatever stands, and a place that moves on evenly in the picture."""
    truth = walk(body)
    still = Bodies(
        truth.rotations[:1].expand(8, -1, -1, -1), truth.betas, truth.translation[:1].expand(8, -1)
    )
    tracks, _ = chains(body, "compiled")
    state = State.of(still, tracks.frames.space)
    state.betas = still.betas[:2]
    free = tracks.energy(state)
    bare = _Chains(tracks.frames, tracks.times, tracks.distance, 1.5, Smoothness(), False).energy(state)
    assert torch.allclose(free, bare, rtol=1e-12)
    even = tracks.times.flatten()[:, None] * torch.tensor([[1.0, -0.5, 0.0]], dtype=DOUBLE)
    state.trans = state.trans + even
    free = tracks.energy(state)
    bare = _Chains(tracks.frames, tracks.times, tracks.distance, 1.5, Smoothness(), False).energy(state)
    assert torch.allclose(free, bare, rtol=1e-9)


def test_all_frames_have_one_shape_and_the_truth_is_met(body: BodyModel):
    truth = walk(body)
    found = fit(body, seen(body, truth), disturbed(truth))
    assert (found.bodies.betas == found.bodies.betas[:, :1]).all()
    assert found.energy.isfinite().all()
    joints, true = body.to(DOUBLE).joints(found.bodies)[0], body.to(DOUBLE).joints(truth)
    apart = ((joints - joints[:, :1]) - (true - true[:, :1])).norm(dim=-1).mean()
    before = body.to(DOUBLE).joints(disturbed(truth))[0]
    assert apart < 0.7 * ((before - before[:, :1]) - (true - true[:, :1])).norm(dim=-1).mean()


def test_energy_falls_and_the_solution_is_a_minimum(body: BodyModel):
    """The dense Newton step from the solution leads nowhere."""
    truth = walk(body)
    problem, start = seen(body, truth, 4.0), disturbed(truth)
    first = fit(body, problem, start, steps=2)
    last = fit(body, problem, start)
    assert last.energy < first.energy
    again = fit(body, problem, last.bodies)
    assert again.iterations < last.iterations
    assert torch.allclose(again.energy, last.energy, rtol=1e-3)
    assert again.energy <= last.energy * (1 + 1e-9)


def test_frames_without_keypoints_are_bridged(body: BodyModel):
    truth = walk(body)
    hidden = [3, 4]
    big = body.to(DOUBLE)
    start = disturbed(truth)
    smooth = Smoothness(joints=2.0, place=2.0)
    found = fit(body, seen(body, truth, hidden=hidden), start, smoothness=smooth)
    joints, true = big.joints(found.bodies)[0], big.joints(truth)
    off = ((joints - joints[:, :1]) - (true - true[:, :1])).norm(dim=-1).mean(1)
    assert off[hidden].mean() < 1.5 * off[[0, 1, 2, 5, 6, 7]].mean() + 0.01
    place = found.bodies.translation[0]
    between = (place[2] + place[5]) / 2
    assert (place[hidden].mean(0) - between).norm() < 0.05


def test_noise_over_time_is_smoothed(body: BodyModel):
    truth = walk(body, 16)
    problem, start = seen(body, truth, 8.0), disturbed(truth, 0.02)
    loose = fit(body, problem, start, smoothness=Smoothness())
    tied = fit(body, problem, start, smoothness=Smoothness(joints=1.0, place=1.0))
    curve = [body.to(DOUBLE).joints(f.bodies)[0].diff(n=2, dim=0).norm(dim=-1).mean() for f in (loose, tied)]
    assert curve[1] < 0.3 * curve[0]


def test_several_tracks_are_each_fitted_for_themselves(body: BodyModel):
    walks = [walk(body, seed=s) for s in (0, 1)]
    problems = [seen(body, w, 2.0) for w in walks]
    starts = [disturbed(w) for w in walks]
    alone = [fit(body, p, s) for p, s in zip(problems, starts, strict=True)]
    both = Bodies(
        torch.cat([s.rotations for s in starts]),
        torch.cat([s.betas for s in starts]),
        torch.cat([s.translation for s in starts]),
    )
    evidence = problems[0]
    joined = FitProblem(
        evidence.points,
        *(torch.cat([getattr(p, name) for p in problems]) for name in ("target", "weight", "focal", "scale")),
    )
    space = AmbientSpace(toy_mixture())
    found = solve_tracks(body, joined, times_of().expand(2, -1), space, both, WEIGHTS, SMOOTH, 60)
    assert torch.allclose(found.energy, torch.cat([a.energy for a in alone]), rtol=1e-4)


def test_a_mirrored_film_run_backwards_gives_the_same_bodies(body: BodyModel):
    """Time has no direction."""
    truth = walk(body)
    problem, start = seen(body, truth, 3.0), disturbed(truth)
    forwards = fit(body, problem, start)
    back = torch.arange(FRAMES - 1, -1, -1)
    turned = Bodies(start.rotations[:, back], start.betas, start.translation[:, back])
    backwards = fit(body, problem[back], turned)
    assert torch.allclose(forwards.energy, backwards.energy, rtol=1e-4)
    assert torch.allclose(forwards.bodies.translation[:, back], backwards.bodies.translation, atol=2e-3)


def test_a_turned_camera_turns_the_bodies(body: BodyModel):
    """About the optical axis: keypoints, start and solution turn alike."""
    truth = walk(body)
    turn = axis_angle_to_rotmat(torch.tensor([0.0, 0.0, 0.7], dtype=DOUBLE))
    problem, start = seen(body, truth, 3.0), disturbed(truth)
    turned_problem = FitProblem(
        problem.points, problem.target @ turn[:2, :2].T, problem.weight, problem.focal, problem.scale
    )
    pelvis = body.to(DOUBLE).rest_pelvis(start.betas)
    rotations = start.rotations.clone()
    rotations[:, :, 0] = turn @ rotations[:, :, 0]
    turned = Bodies(rotations, start.betas, (start.translation + pelvis) @ turn.T - pelvis)
    # The robust charge is by coordinate, so it is made square
    weights = EnergyWeights(1.0, 0.5, 1.0, sigma=1e6)
    plain, other = (fit(body, p, s, weights=weights) for p, s in ((problem, start), (turned_problem, turned)))
    assert torch.allclose(plain.energy, other.energy, rtol=1e-4)
    joints = body.to(DOUBLE).joints(plain.bodies) @ turn.T
    assert torch.allclose(joints, body.to(DOUBLE).joints(other.bodies), atol=5e-3)


def test_a_shape_that_is_held_stays(body: BodyModel):
    truth = walk(body)
    start = disturbed(truth)
    given = Bodies(start.rotations, truth.betas[None] * 0.5, start.translation)
    found = fit(body, seen(body, truth), given, fixed_shape=True)
    assert torch.allclose(found.bodies.betas, given.betas)
    assert found.information.eq(0).all()
    assert fit(body, seen(body, truth), given).information.diagonal(dim1=1, dim2=2).gt(0).all()


@pytest.mark.parametrize("frames", [1, 2])
def test_short_tracks(body: BodyModel, frames: int):
    truth = walk(body, frames)
    found = fit(body, seen(body, truth), disturbed(truth))
    assert found.energy.isfinite().all()
    assert found.frame_energy.shape == (1, frames)


def test_what_does_not_go_together_is_refused(body: BodyModel):
    truth = walk(body)
    problem, start = seen(body, truth), disturbed(truth)
    space = AmbientSpace(toy_mixture())
    with pytest.raises(ValueError, match="need starts"):
        solve_tracks(body, problem[:4], times_of(), space, start, WEIGHTS, SMOOTH)
    with pytest.raises(ValueError, match="should rise"):
        solve_tracks(body, problem, times_of() * 0, space, start, WEIGHTS, SMOOTH)
