"""Table 1 of Zanfir et al. 2020: fits to true 2D joints under each pose prior.

The paper's protocol (section 3): 500 frames, the true 2D joints under a known perspective camera, the energy of
eq. 11 (keypoints, prior, |betas|^2), four global orientations from zeros, the lowest energy wins. Ours: frames of
the test subjects, the 24 joints of the built-in body with random shapes, and a second-order solver instead of
BFGS, which stands in rows of its own. Weights are tuned on the validation subjects, with the same search for every
prior. Rows with body parts (KA + BA, eq. 7) also see the true map of DensePose's 14 parts.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch

from bodyloop.body import Bodies, BodyModel, builtin_body, get_skeleton
from bodyloop.body.parts import face_parts
from bodyloop.data.mocap import load_split
from bodyloop.data.motion import Motion
from bodyloop.data.poses import distinct_poses
from bodyloop.data.splits import HELD_OUT_ANGLE, SplitName
from bodyloop.errors import InputError
from bodyloop.evaluate.claims import Claim
from bodyloop.evaluate.heldout import HeldOut, draw_people, errors
from bodyloop.evaluate.tables import Figures, Row, Table
from bodyloop.evaluate.zanfir_claims import METHODS, WITH_PARTS, Method, claims
from bodyloop.fit import MATCHED, TUNED, EnergyWeights, FitConfig, Fitter, Start, Surface, mean_pose_starts
from bodyloop.geometry import Camera, square_boxes
from bodyloop.priors import load_prior
from bodyloop.priors.prior import PosePrior
from bodyloop.priors.representation import to_rotations
from bodyloop.priors.separation import impossible_poses, separation
from bodyloop.raster import part_map, rasterize

Tell = Callable[[str], None]

POSE_WEIGHTS = (1.0, 2.0, 4.0, 8.0)
SHAPE_WEIGHTS = (2.0, 0.5, 1.0)
"""Weights, before squaring, that the search tries: all of the prior at the first one of the shape, then the others
of the shape at the best of the prior. 0.5 and 16 of the prior and 4 of the shape were tried too, and never the best."""
UNTUNED = replace(TUNED, bend=0.0, anchor=0.0)
"""Weights of the methods that estimate the joints' noise: those of ``bodyloop fit``, without its other terms."""
NOISE_FACTORS = (2.0, 4.0, 8.0)
"""Factors of both weights that are tried for noisy joints, which deserve less belief than exact ones."""
PART_WEIGHTS = (0.03, 0.1, 0.3)
"""Weights of part alignment that the search tries for every row with body parts."""
PARTS, PART_MAP_PX = "densepose", 224
"""Partition and side of the maps of parts, which are drawn of the box around the keypoints, enlarged."""
BATCH = 50
"""People fitted at once."""
TUNING_FRAMES, FEWER_FRAMES = 100, 50
"""Of the search, and of those for noisy joints and for parts, which begin from its weights."""
MISSING, NOISE = 0.3, 0.03
"""Robustness: share of joints that are missing; noise as a share of the box's longer side."""
SOME_FRAMES = 100
"""Frames of the rows with missing and noisy joints, and of those by L-BFGS."""
PART_STEPS = 3
"""Most iterations of a round with parts but the last (`FitConfig.part_steps`): a quarter less time on 30 validation
people, and the same errors to a tenth of a millimetre, or lower."""
CHUNK = 50
"""Frames of a task of a worker, so that both cores have work to the end."""
SEPARATION_POSES = 5000


@dataclass(frozen=True)
class Task:
    """People to be fitted with one method and one choice of weights; what a worker process gets.

    Attributes:
        method, weights, people: as they say.
        parts: weight of part alignment; without it the fit sees keypoints alone.
    """

    method: Method
    weights: EnergyWeights
    people: HeldOut
    parts: float | None = None


class _Rest(PosePrior):
    """Stands in for a prior where fits start: its middle is the pose of zero angles."""

    def energy_at(self, coordinates: torch.Tensor) -> torch.Tensor:
        """Nothing is charged."""
        return torch.zeros_like(coordinates[..., 0])

    def to(self, *_: object) -> "_Rest":
        """Nothing to move."""
        return self


@lru_cache(maxsize=16)
def _prior(name: str) -> PosePrior:
    return load_prior(name)


def fitted(task: Task, body: BodyModel) -> Bodies:
    """The people of a task from four orientations each, the lowest energy of each.

    A batch at a time: the Jacobians of all people at once are slower, as they do not fit the processor's caches.
    """
    return Bodies.cat(
        [
            _fitted(replace(task, people=task.people[i : i + BATCH]), body)
            for i in range(0, len(task.people), BATCH)
        ]
    )


def _fitted(task: Task, body: BodyModel) -> Bodies:
    method, people = task.method, task.people
    prior = _prior(method.prior)
    resting = method.start == "zero" and method.space == "ambient"
    start = _Rest() if resting else prior
    starts = [
        Start(str(i), bodies)
        for i, bodies in enumerate(mean_pose_starts(body, start, people.evidence, people.camera))
    ]
    config = FitConfig(
        weights=task.weights,
        rounds=method.rounds,
        matched=replace(MATCHED, bend=0.0),
        backend=method.backend,
        space=method.space,
        parts=task.parts or 0.0,
        part_steps=PART_STEPS,
    )
    surfaces = None if task.parts is None else true_parts(people, body)
    return Fitter(body, prior, config)(people.evidence, people.camera, starts, surfaces=surfaces).bodies


def true_parts(people: HeldOut, body: BodyModel) -> list[Surface]:
    """The map of parts of each person, drawn from the true body in a crop of its own."""
    count = len(people.truth.betas)
    middle, side = square_boxes(people.evidence.boxes, 1.2)
    scale = side / PART_MAP_PX
    corner = middle - side[:, None] / 2
    camera = people.camera.expand(count)
    crop = Camera(
        camera.focal / scale[:, None],
        (camera.center - corner) / scale[:, None],
        (PART_MAP_PX, PART_MAP_PX),
    )
    faces, surfaces = face_parts(body, PARTS), []
    for i in range(count):
        own = Camera(crop.focal[i], crop.center[i], crop.size)
        seen = rasterize(body.vertices(people.truth[i]), body.faces, own)
        labels = part_map(seen, faces) + 1
        surfaces.append(Surface.none().with_parts(labels, PARTS, tuple(corner[i].tolist()), float(scale[i])))
    return surfaces


@torch.no_grad()
def measured(task: Task) -> Figures:
    """Errors and time of one task, on one core."""
    body = builtin_body()
    began = time.perf_counter()
    bodies = fitted(task, body)
    taken = time.perf_counter() - began
    found = errors(bodies, task.people, body)
    return Figures(
        mpjpe_mm=found["mpjpe_mm"],
        mpvpe_mm=found["pve_mm"],
        pa_mpjpe_mm=found["pa_mpjpe_mm"],
        ms_per_frame=1000 * taken / len(task.people.truth.betas),
        failures=found["failures"],
    )


def _begin_worker() -> None:
    """One core a worker."""
    torch.set_num_threads(1)
    import numba

    numba.set_num_threads(1)


def table1(
    mocap: Path, cache: Path | None, count: int, seed: int, quick: bool, tell: Tell
) -> tuple[Table, list[Claim]]:
    """Tune on validation subjects, measure on test subjects.

    Args:
        mocap: folder with motion capture.
        cache: folder for the converted clips.
        count: frames of the test subjects.
        seed: of frames, shapes and cameras.
        quick: a run of seconds on a few frames, whose figures say little.
        tell: called with a line of progress.

    Returns:
        the table, the paper's figures beside ours, and the paper's claims, judged.

    Raises:
        InputError: motion capture or weights are missing.
    """
    for name in {method.prior for method in METHODS} | {"limits"}:
        _prior(name)
    body = builtin_body()
    for_tuning, fewer, count = (8, 8, min(count, 10)) if quick else (TUNING_FRAMES, FEWER_FRAMES, count)
    tuning = _people(_clips(mocap, "validation", cache, body, tell), body, for_tuning, seed)
    clips = _clips(mocap, "test", cache, body, tell)
    test = _people(clips, body, count, seed)
    some = test[:SOME_FRAMES]  # they are in random order
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _begin_worker) as pool:
        weights = _tune(tuning, pool, tell)
        for_noise = _tune_for_noise(tuning[:fewer].disturbed(NOISE, seed), weights, pool, tell)
        conditions = {
            "": (test, weights),
            f", {MISSING:.0%} missing": (some.thinned(MISSING, seed), weights),
            f", {NOISE:.0%} noise": (some.disturbed(NOISE, seed), for_noise),
        }
        tasks = {
            m.name + condition: Task(m, chosen[m.name], some if m.backend == "lbfgs" else people)
            for condition, (people, chosen) in conditions.items()
            for m in METHODS
            if not condition or m.robust
        }
        parts = _tune_parts(tuning[:fewer], weights, pool, tell)
        tasks |= {
            f"{m.name}{WITH_PARTS}": Task(m, weights[m.name], test, parts[m.name])
            for m in METHODS
            if m.paper_parts is not None
        }
        figures = _run_all(tasks, pool, tell)
    tell("judging possible and impossible poses")
    areas = _areas(clips, 200 if quick else SEPARATION_POSES, seed)
    table = Table(
        "Zanfir et al. 2020, table 1 (optimisation with different priors)",
        tuple(_rows(figures, areas)),
        _notes(count, for_tuning, weights, for_noise, parts, len(clips)),
    )
    return table, claims(figures, _scale(count), seed)


def _clips(mocap: Path, split: SplitName, cache: Path | None, body: BodyModel, tell: Tell) -> list[Motion]:
    tell(f"reading {split} clips")
    stored = None
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        stored = cache / f"{split}.npz"
    try:
        return load_split(mocap, split, body, stored).motions
    except FileNotFoundError as error:
        raise InputError(f"--mocap {mocap}: {error}; expected a folder with CMU motion capture") from None


def _people(clips: list[Motion], body: BodyModel, count: int, seed: int) -> HeldOut:
    try:
        return draw_people(clips, body, get_skeleton("smpl24"), count, seed)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"--count: {error}") from None


def _run_all(tasks: dict[str, Task], pool: ProcessPoolExecutor, tell: Tell) -> dict[str, Figures]:
    """Figures of all tasks, told as they come."""
    waiting = {
        name: [
            (len(people.truth.betas), pool.submit(measured, replace(task, people=people)))
            for people in _chunks(task.people)
        ]
        for name, task in tasks.items()
    }
    found = {}
    for done, (name, futures) in enumerate(waiting.items(), 1):
        found[name] = f = _together([(count, future.result()) for count, future in futures])
        tell(
            f"measured {done}/{len(waiting)}  {name}: MPJPE {f.mpjpe_mm:.1f}, PA-MPJPE {f.pa_mpjpe_mm:.1f} mm"
        )
    return found


def _chunks(people: HeldOut) -> list[HeldOut]:
    """`CHUNK` people each."""
    return [people[i : i + CHUNK] for i in range(0, len(people.truth.betas), CHUNK)]


def _together(parts: list[tuple[int, Figures]]) -> Figures:
    """Means over all people from means over some."""
    total = sum(count for count, _ in parts)
    names = ("mpjpe_mm", "mpvpe_mm", "pa_mpjpe_mm", "ms_per_frame", "failures")
    return Figures(**{name: sum(count * getattr(f, name) for count, f in parts) / total for name in names})


def _tune(people: HeldOut, pool: ProcessPoolExecutor, tell: Tell) -> dict[str, EnergyWeights]:
    """Weights of every method with the least MPJPE, by the same search for each (`POSE_WEIGHTS`)."""
    tuned = [m for m in METHODS if m.backend == "auto" and not m.rounds]
    base = EnergyWeights(bend=0.0, shape=SHAPE_WEIGHTS[0])
    tried: dict[str, list[tuple[EnergyWeights, float]]] = {m.name: [] for m in tuned}

    def search(choices: dict[str, list[EnergyWeights]]) -> None:
        for name, found in _tried("tuning", choices, people, pool, tell).items():
            tried[name] += found

    search({m.name: [replace(base, pose=p) for p in POSE_WEIGHTS] for m in tuned})
    best = {name: _best(found) for name, found in tried.items()}
    search(
        {name: [replace(w, shape=s) for s in SHAPE_WEIGHTS if s != base.shape] for name, w in best.items()}
    )
    weights = {name: _best(found) for name, found in tried.items()}
    same = {m.name: next(o.name for o in tuned if (o.prior, o.space) == (m.prior, m.space)) for m in METHODS}
    untuned = {m.name: UNTUNED if m.rounds else weights[same[m.name]] for m in METHODS}
    return {m.name: weights.get(m.name, untuned[m.name]) for m in METHODS}


def _tune_for_noise(
    people: HeldOut, weights: dict[str, EnergyWeights], pool: ProcessPoolExecutor, tell: Tell
) -> dict[str, EnergyWeights]:
    """Weights for noisy joints: those for exact ones times the best of `NOISE_FACTORS`."""
    choices = {
        m.name: [
            replace(w, pose=factor * w.pose, shape=factor * w.shape)
            for w in [weights[m.name]]
            for factor in NOISE_FACTORS
        ]
        for m in METHODS
        if m.robust and not m.rounds
    }
    found = _tried("tuning for noise", choices, people, pool, tell)
    return weights | {name: _best(tried) for name, tried in found.items()}


def _tune_parts(
    people: HeldOut, weights: dict[str, EnergyWeights], pool: ProcessPoolExecutor, tell: Tell
) -> dict[str, float]:
    """Weight of part alignment with the least MPJPE, of every method that has a row with body parts."""
    waiting = [
        (m.name, p, pool.submit(measured, Task(m, weights[m.name], people, p)))
        for m in METHODS
        if m.paper_parts is not None
        for p in PART_WEIGHTS
    ]
    found: dict[str, list[tuple[float, float]]] = {}
    for done, (name, p, future) in enumerate(waiting, 1):
        error = future.result().mpjpe_mm or 0.0
        found.setdefault(name, []).append((error, p))
        tell(f"tuning for parts {done}/{len(waiting)}  {name}: weight {p:g}: MPJPE {error:.1f} mm")
    return {name: min(tried)[1] for name, tried in found.items()}


def _tried(
    what: str,
    choices: dict[str, list[EnergyWeights]],
    people: HeldOut,
    pool: ProcessPoolExecutor,
    tell: Tell,
) -> dict[str, list[tuple[EnergyWeights, float]]]:
    """MPJPE in mm of every method with every choice of its weights, told as they come."""
    methods = {m.name: m for m in METHODS}
    waiting = [
        (name, w, pool.submit(measured, Task(methods[name], w, people)))
        for name, several in choices.items()
        for w in several
    ]
    found: dict[str, list[tuple[EnergyWeights, float]]] = {name: [] for name in choices}
    for done, (name, w, future) in enumerate(waiting, 1):
        error = future.result().mpjpe_mm
        assert error is not None, "measured always fills it in"
        found[name].append((w, error))
        tell(
            f"{what} {done}/{len(waiting)}  {name}: weight of the prior {w.pose:g}, of the shape {w.shape:g}: "
            f"MPJPE {error:.1f} mm"
        )
    return found


def _best(tried: Iterable[tuple[EnergyWeights, float]]) -> EnergyWeights:
    return min(tried, key=lambda pair: pair[1])[0]


@torch.no_grad()
def _areas(clips: list[Motion], count: int, seed: int) -> dict[str, float]:
    """For every prior, the share of pairs in which an impossible pose has the higher energy (AUC)."""
    poses = distinct_poses(clips, HELD_OUT_ANGLE, mirror=True).pose[:, 3:].float()
    generator = torch.Generator().manual_seed(seed)
    chosen = poses[torch.randperm(len(poses), generator=generator)[:count]]
    real = to_rotations(chosen, "axis_angle")
    false = impossible_poses(real, generator)
    names = {method.prior for method in METHODS} | {"limits"}
    return {name: separation(_prior(name).energy(real), _prior(name).energy(false)) for name in sorted(names)}


def _rows(figures: dict[str, Figures], areas: dict[str, float]) -> Iterable[Row]:
    """The paper's rows, then ours that explain them, then those with missing and noisy joints."""
    told: set[str] = set()
    for m in METHODS:
        paper = None if m.paper is None else Figures(*m.paper)
        area = None if m.prior in told else areas[m.prior]
        told.add(m.prior)
        yield Row(f"{m.name}, KA", paper, replace(figures[m.name], auc=area))
        if m.paper_parts is not None:
            with_parts = f"{m.name}{WITH_PARTS}"
            yield Row(with_parts, Figures(*m.paper_parts), figures[with_parts])
    names = {m.name for m in METHODS} | {f"{m.name}{WITH_PARTS}" for m in METHODS}
    for name, found in figures.items():
        if name not in names:
            yield Row(name, None, found)
    yield Row("joint limits (energy alone)", None, Figures(auc=areas["limits"]))


def _scale(count: int) -> str:
    return (
        f"{count} frames of the test subjects' motion capture (CMU), 24 true 2D joints, known camera, built-in body "
        "with random shapes"
    )


def _notes(
    count: int,
    tuning: int,
    weights: dict[str, EnergyWeights],
    for_noise: dict[str, EnergyWeights],
    parts: dict[str, float],
    clips: int,
) -> tuple[str, ...]:
    shown = "; ".join(f"{name} {w.pose:g} and {w.shape:g}" for name, w in weights.items())
    factors = "; ".join(
        f"{name} {w.pose / weights[name].pose:g}" for name, w in for_noise.items() if w != weights[name]
    )
    trials = len(POSE_WEIGHTS) + len(SHAPE_WEIGHTS) - 1
    return (
        f"Ours: {_scale(count)}, {clips} clips. The paper's: 500 frames of H80K; its priors were trained on CMU, and "
        "on AMASS (VPoser, light flow) and H3.6M (HMR), ours all on the same CMU subjects.",
        "Second-order fits (rows with L-BFGS: by that) from four orientations and zero pose, the lowest energy wins; "
        "energy of eq. 11 with robust keypoints and no other terms.",
        f"Weights of prior and shape, before squaring, the best of {trials} trials for each row on {tuning} frames of "
        f"the validation subjects (L-BFGS: those of the same prior; rounds: none is tuned): {shown}. "
        "Missing joints: the same weights. "
        f"Noisy joints: both times the best of {len(NOISE_FACTORS)} factors on {min(tuning, FEWER_FRAMES)} of them "
        f"with noise: {factors}. "
        f"Missing and noisy joints, and rows by L-BFGS, on the first {min(count, SOME_FRAMES)} frames.",
        "Rows with rounds, ours: as `bodyloop fit`, the noise of each frame's joints is estimated and the fit goes on "
        "with weights that match it.",
        "KA + BA: the fit goes on with the true map of DensePose's 14 parts, in rounds; weight of the alignment, the "
        f"best of {len(PART_WEIGHTS)} trials for each row on {min(tuning, FEWER_FRAMES)} of these frames: "
        f"{'; '.join(f'{name} {p:g}' for name, p in parts.items())}.",
        "AUC: share of pairs of a real pose of the test "
        "subjects and one with a joint bent impossibly in which the latter has the higher energy, once a prior. "
        "ms a frame: one core, four starts, "
        f"{BATCH} frames in a batch.",
    )
