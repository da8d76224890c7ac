"""The candidate pool: the compiled search is the plain one, places meet the keypoints, choices are far apart."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from people import CAMERA, observed

from bodyloop.body import BodyModel
from bodyloop.data.cameras import camera_rotations
from bodyloop.errors import InputError
from bodyloop.fit import FitProblem
from bodyloop.fit.pool import CandidatePool, _Person, save_pool
from bodyloop.fit.pool_tensors import candidate_errors, turned_points
from bodyloop.fit.problem import CROP
from pretend_gpu import DEVICE, PretendedGpu

POSES, TURNS, PEOPLE = 60, 13, 4


@pytest.fixture(scope="module")
def pool() -> CandidatePool:
    g = torch.Generator().manual_seed(0)
    pose = 0.3 * torch.randn(POSES, 72, generator=g)
    return CandidatePool(pose, camera_rotations(TURNS, g))


@pytest.fixture(scope="module")
def problem(body: BodyModel) -> FitProblem:
    _, evidence = observed(body, PEOPLE)
    problem = FitProblem.build(body, evidence, CAMERA)
    problem.weight[1, 3:7] = 0
    problem.weight[2] *= torch.rand(problem.weight.shape[1])
    return problem


def plain(
    pool: CandidatePool, body: BodyModel, problem: FitProblem, i: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Errors (N, R) and places (N, R, 3) of all candidates by least squares, one after the other."""
    joints = torch.from_numpy(pool._joints(body, problem)).double()
    weight, focal = problem.weight[i].double(), problem.focal[i].double()
    rays = problem.target[i].double() / focal
    errors, places = torch.zeros(POSES, TURNS).double(), torch.zeros(POSES, TURNS, 3).double()
    one, zero = torch.ones(len(rays)).double(), torch.zeros(len(rays)).double()
    rows = torch.cat([torch.stack([one, zero, -rays[:, 0]], 1), torch.stack([zero, one, -rays[:, 1]], 1)])
    root = weight.sqrt().repeat(2)[:, None]
    for n in range(POSES):
        for r in range(TURNS):
            p = joints[n] @ pool.turns[r].double().T
            wanted = torch.cat([rays[:, 0] * p[:, 2] - p[:, 0], rays[:, 1] * p[:, 2] - p[:, 1]])
            place = torch.linalg.lstsq(root * rows, root * wanted[:, None]).solution[:, 0]
            seen = p + place
            off = (seen[:, :2] / seen[:, 2:] - rays) * focal
            errors[n, r] = (weight * off.square().sum(1)).sum() if (seen[weight > 0, 2] > 0.1).all() else 1e12
            places[n, r] = place
    return errors, places


def test_the_search_is_the_plain_one(pool: CandidatePool, body: BodyModel, problem: FitProblem):
    found = pool.search(body, problem, 1)
    for i in range(PEOPLE):
        errors, places = plain(pool, body, problem, i)
        best = int(errors.argmin())
        assert float(found.error[i, 0]) == pytest.approx(float(errors.min()), rel=1e-3)
        assert (int(found.pose[i, 0]), int(found.turn[i, 0])) == divmod(best, TURNS)
        here = body.points(found.bodies[i], problem.points)[0].double()
        joints = torch.from_numpy(pool._joints(body, problem)).double()
        n, r = divmod(best, TURNS)
        torch.testing.assert_close(
            here, joints[n] @ pool.turns[r].double().T + places[n, r], atol=2e-3, rtol=1e-3
        )


def test_a_person_of_the_pool_is_found(pool: CandidatePool, body: BodyModel, problem: FitProblem):
    """Seen exactly, it is the best, with its own pose and nearly no error."""
    own = pool.search(body, problem, 1)
    points = body.points(own.bodies, problem.points)[:, 0]
    pixels = points[..., :2] / points[..., 2:] * problem.focal[:, None]

    exact = replace(problem, target=pixels, weight=torch.ones_like(problem.weight))
    again = pool.search(body, exact, 1)
    assert torch.equal(again.pose, own.pose)
    assert torch.equal(again.turn, own.turn)
    assert float(again.error.max()) < 1e-2 * CROP
    assert float((again.bodies.translation - own.bodies.translation).norm(dim=-1).max()) < 0.05


def test_several_are_far_apart(pool: CandidatePool, body: BodyModel, problem: FitProblem):
    many = pool.search(body, problem, 6, threshold=1e9)
    one = pool.search(body, problem, 1)
    assert torch.equal(many.error[:, :1], one.error), "the best comes first"
    for i in range(PEOPLE):
        chosen = set(zip(many.pose[i].tolist(), many.turn[i].tolist(), strict=True))
        assert len(chosen) == 6
        entries = many.bodies.rotations[i].flatten(1)
        apart = torch.cdist(entries, entries)
        nearest = [float(apart[k, :k].min()) for k in range(1, 6)]
        assert nearest == sorted(nearest, reverse=True), "each is the farthest that is left"


def test_too_few_under_the_threshold(pool: CandidatePool, body: BodyModel, problem: FitProblem):
    found = pool.search(body, problem, 5, threshold=0.0)
    errors, _ = plain(pool, body, problem, 0)
    lowest = errors.flatten().sort().values[:5]
    torch.testing.assert_close(found.error[0].double().sort().values, lowest, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 1), (0.0, 7), (4000.0, 3), (1e9, 5)])
def test_what_is_dropped_on_the_way_does_not_matter(
    threshold: float, count: int, pool: CandidatePool, body: BodyModel, problem: FitProblem
):
    joints = pool._joints(body, problem)
    for i in range(PEOPLE):
        person = _Person.of(problem, i)
        whole = pool._errors(joints, person)
        found = pool._errors(joints, person, count, threshold)
        matters = (whole < threshold) | (whole <= np.sort(whole, axis=None)[count - 1])
        assert np.array_equal(found[matters], whole[matters])
        assert (found[~matters] >= whole[~matters]).all()
        if threshold < 1e9:
            assert (found > whole).any(), "most are dropped"


def test_threads_do_not_matter(pool: CandidatePool, body: BodyModel, problem: FitProblem):
    together = pool.search(body, problem, 3)
    alone = [pool.search(body, problem[i : i + 1], 3) for i in range(PEOPLE)]
    assert torch.equal(together.pose, torch.cat([a.pose for a in alone]))
    assert torch.equal(together.turn, torch.cat([a.turn for a in alone]))


@pytest.mark.parametrize(("threshold", "count"), [(0.0, 1), (0.0, 7), (4000.0, 3), (1e9, 5)])
def test_the_search_on_another_device_is_the_same(
    threshold: float, count: int, pool: CandidatePool, body: BodyModel, problem: FitProblem
):
    here = pool.search(body, problem, count, threshold)
    with PretendedGpu():
        there = pool.search(body.to(DEVICE), problem.to(DEVICE), count, threshold)
        assert there.bodies.rotations.device.type == DEVICE
        bodies = there.bodies.to("cpu")
    if threshold:  # otherwise they are the lowest, in the order of how far they are apart
        assert torch.equal(there.pose, here.pose)
        assert torch.equal(there.turn, here.turn)
    torch.testing.assert_close(there.error.sort().values, here.error.sort().values, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(bodies.translation[:, 0], here.bodies.translation[:, 0], rtol=1e-3, atol=2e-3)


def test_unseen_points_do_not_matter_to_tensors(pool: CandidatePool, body: BodyModel, problem: FitProblem):
    """Wherever they are, behind the camera too."""
    turned = turned_points(torch.from_numpy(pool._joints(body, problem)), pool.turns)
    person = _Person.of(problem, 1)
    numbers = [torch.from_numpy(n).float() for n in (person.rays, person.spread, person.weight, person.focal)]
    errors = candidate_errors(turned, *numbers)
    elsewhere = turned.clone()
    elsewhere[:, ~person.seen] -= 1e3
    assert torch.equal(candidate_errors(elsewhere, *numbers), errors)


def test_nobody_seen(pool: CandidatePool, body: BodyModel, problem: FitProblem):

    unseen = replace(problem, weight=torch.zeros_like(problem.weight))
    assert torch.isfinite(pool.search(body, unseen, 2).bodies.translation).all()


def test_files(pool: CandidatePool, tmp_path: Path):
    save_pool(tmp_path / "pool.npz", pool)
    again = CandidatePool.load(tmp_path / "pool.npz")
    torch.testing.assert_close(again.pose, pool.pose, atol=1e-3, rtol=1e-3)
    assert torch.equal(again.turns, pool.turns)
    np.savez(tmp_path / "other.npz", pose=np.zeros((3, 4)))
    for name in ("other.npz", "none.npz"):
        with pytest.raises(InputError, match="bodyloop pool build"):
            CandidatePool.load(tmp_path / name)
    (tmp_path / "text.npz").write_text("no pool")
    with pytest.raises(InputError, match="bodyloop pool build"):
        CandidatePool.load(tmp_path / "text.npz")


@pytest.mark.parametrize("count", [0, POSES * TURNS + 1])
def test_impossible_counts(count: int, pool: CandidatePool, body: BodyModel, problem: FitProblem):
    with pytest.raises(ValueError, match="count should be"):
        pool.search(body, problem, count)
