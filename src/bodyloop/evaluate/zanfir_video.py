"""Table 3 of Zanfir et al. 2020: frames fitted together against frames fitted one by one.

The paper's protocol (section 3, "Temporal optimization"): from the best results of single frames, batches of 4, 8 and
16 consecutive frames of 3DPW are fitted together, the shape tied, with smoothness of the flow's latents (eq. 12) at 50
times the weight of the prior. Ours: motion of the test subjects, seen by a camera that stands, COCO's keypoints, exact
and with noise and drop-outs. Rows without a name of their own are `bodyloop fit` of a video, whose weights were chosen
on the validation subjects (``benchmarks/tune_temporal.py``); those with eq. 12 are the paper's way and weight.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from bodyloop.annotate import fit_people
from bodyloop.annotate.over_time import fit_over_time
from bodyloop.body import Bodies, BodyModel, builtin_body, get_skeleton
from bodyloop.data.mocap import load_split
from bodyloop.errors import InputError
from bodyloop.evaluate.claims import Claim, at_most, lower
from bodyloop.evaluate.moving import MovingPeople, draw_clips, errors_over_time
from bodyloop.evaluate.tables import Curve, Figures, Row, Table
from bodyloop.fit import MATCHED, FitProblem, Fits
from bodyloop.fit.noise import earned_weight
from bodyloop.fit.spaces import pose_space
from bodyloop.fit.temporal import Smoothness, solve_tracks
from bodyloop.priors import load_prior
from bodyloop.priors.prior import PosePrior

Tell = Callable[[str], None]

NOISE, MISSING = 0.02, 0.1
"""Of the disturbed condition: sigma of the keypoints as a share of the box's longer side, and how many are missing."""
CLIP = 64
"""Frames of a clip, which is cut into shorter ones: all rows are of the same frames."""
LENGTHS = (4, 8, 16, 32, 64)
PAPER_LENGTHS = (4, 8, 16)
PAPER = {1: (90.0, 57.1), 4: (84.5, 54.5), 8: (82.0, 51.4), 16: (80.2, 49.8)}
"""MPJPE and PA-MPJPE in mm: FS+WS (KA+BA), alone and with optimisation over so many frames."""
TIMES_PRIOR = 50.0
"""Weight of eq. 12 in weights of the prior."""
CHUNK = 4
"""Clips of a task of a worker."""
STATIC, FLOW, EXACT = "static", "flow z", ", exact"


def row_name(frames: int, latent: bool = False, exact: bool = False) -> str:
    """Of frames fitted together, 1 for static; in the paper's way, or ours."""
    name = STATIC if frames == 1 else f"{frames} frames"
    return (
        f"{FLOW}, {name}{'' if frames == 1 else ', eq. 12'}" if latent else f"{name}{EXACT if exact else ''}"
    )


@dataclass(frozen=True)
class Task:
    """Some clips, which a worker fits in every way that is asked for.

    Attributes:
        people: the clips.
        exact: whether their keypoints are exact; then only our own rows are measured.
    """

    people: MovingPeople
    exact: bool


@lru_cache(maxsize=1)
def _flow() -> PosePrior:
    return load_prior("flow")


@torch.no_grad()
def measured(task: Task) -> dict[str, Figures]:
    """Errors and time of every row, on one core."""
    body, people = builtin_body(), task.people
    found = {}

    def note(name: str, clips: MovingPeople, fit: Callable[[], Bodies]) -> None:
        began = time.perf_counter()
        bodies = fit()
        taken = 1000 * (time.perf_counter() - began) / len(people.evidence)
        errors = errors_over_time(bodies, clips, body)
        found[name] = Figures(
            mpjpe_mm=errors["mpjpe_mm"],
            pa_mpjpe_mm=errors["pa_mpjpe_mm"],
            acceleration=errors["acceleration"],
            ms_per_frame=taken,
        )

    note(row_name(1, exact=task.exact), people, partial(_static, people, body))
    for length in LENGTHS:
        clips = people.cut(length)
        note(row_name(length, exact=task.exact), clips, partial(_together, clips, body))
    if not task.exact:
        single = fit_people(people.evidence, people.camera, body, prior="flow")
        note(row_name(1, latent=True), people, partial(single.bodies.reshape, len(people), people.frames))
        for length in PAPER_LENGTHS:
            clips = people.cut(length)
            note(row_name(length, latent=True), clips, partial(latent_together, clips, single, body))
    return found


def _static(clips: MovingPeople, body: BodyModel) -> Bodies:
    return fit_people(clips.evidence, clips.camera, body).bodies.reshape(len(clips), clips.frames)


def _together(clips: MovingPeople, body: BodyModel) -> Bodies:
    return fit_over_time(clips.evidence, clips.camera, clips.times, body).bodies


def latent_together(clips: MovingPeople, single: Fits, body: BodyModel) -> Bodies:
    """The paper's way: from fits of single frames in the flow's latent space, tied shape and eq. 12.

    Args:
        clips: whose frames are fitted together.
        single: fits of all their frames, whose estimate of the keypoints' noise counts here too.
        body: the model.
    """
    weights = replace(MATCHED, bend=0.0, anchor=0.0)
    # The prior's energy is |z|^2 / 2, eq. 12 has no half
    smoothness = Smoothness(latent=weights.pose * (TIMES_PRIOR / 2) ** 0.5)
    problem = FitProblem.build(body, clips.evidence, clips.camera).believed(earned_weight(single.noise))
    space = pose_space(_flow(), "latent")
    start = single.bodies.reshape(len(clips), clips.frames)
    return solve_tracks(body, problem, clips.times, space, start, weights, smoothness).bodies


def _begin_worker() -> None:
    """One core a worker."""
    torch.set_num_threads(1)
    import numba

    numba.set_num_threads(1)


def table3(
    mocap: Path, cache: Path | None, count: int, seed: int, quick: bool, tell: Tell
) -> tuple[Table, list[Claim]]:
    """Measure on test subjects.

    Args:
        mocap: folder with motion capture.
        cache: folder for the converted clips.
        count: frames of the test subjects, in whole clips.
        seed: of frames, shapes, cameras and noise.
        quick: a run on two clips, whose figures say little.
        tell: called with a line of progress.

    Returns:
        the table, the paper's figures beside ours, and the paper's claims, judged.

    Raises:
        InputError: motion capture is missing, or too little of it for so many frames.
    """
    body = builtin_body()
    clips = 2 if quick else max(1, count // CLIP)
    exact = _clips(mocap, cache, clips, seed, body, tell)
    noisy = exact.disturbed(NOISE, MISSING, seed)
    tasks = [
        Task(people[i : i + CHUNK], people is exact)
        for people in (noisy, exact)
        for i in range(0, clips, CHUNK)
    ]
    context = multiprocessing.get_context("spawn")
    parts: dict[str, list[tuple[int, Figures]]] = {}
    with ProcessPoolExecutor(os.cpu_count(), context, _begin_worker) as pool:
        for done, (task, rows) in enumerate(zip(tasks, pool.map(measured, tasks), strict=True), 1):
            for name, row in rows.items():
                parts.setdefault(name, []).append((len(task.people), row))
            tell(f"fitted {done}/{len(tasks)} parts of {CHUNK} clips")
    figures = {name: _mean(found) for name, found in parts.items()}
    scale = (
        f"{clips * CLIP} frames of the test subjects' motion capture (CMU), {clips} clips of {CLIP} frames at 30 a "
        f"second, COCO's keypoints with {NOISE:.0%} noise and {MISSING:.0%} missing, camera known and standing, "
        "built-in body with random shapes"
    )
    table = Table(
        "Zanfir et al. 2020, table 3 (frames fitted together)",
        tuple(
            Row(name, _paper_of(name), figures[name])
            for name in (
                *(row_name(n) for n in (1, *LENGTHS)),
                *(row_name(n, latent=True) for n in (1, *PAPER_LENGTHS)),
                *(row_name(n, exact=True) for n in (1, *LENGTHS)),
            )
        ),
        _notes(scale),
        _curves(),
    )
    return table, claims(figures, scale, seed)


def _clips(
    mocap: Path, cache: Path | None, count: int, seed: int, body: BodyModel, tell: Tell
) -> MovingPeople:
    tell("reading test clips")
    stored = None
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        stored = cache / "test.npz"
    try:
        motions = load_split(mocap, "test", body, stored).motions
    except FileNotFoundError as error:
        raise InputError(f"--mocap {mocap}: {error}; expected a folder with CMU motion capture") from None
    try:
        return draw_clips(motions, body, get_skeleton("coco17"), count, CLIP, seed)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"--count: {error}") from None


def _mean(parts: list[tuple[int, Figures]]) -> Figures:
    """Means over all clips from means over some."""
    total = sum(count for count, _ in parts)
    names = ("mpjpe_mm", "pa_mpjpe_mm", "acceleration", "ms_per_frame")
    return Figures(**{name: sum(count * getattr(f, name) for count, f in parts) / total for name in names})


def _paper_of(name: str) -> Figures | None:
    """The paper's figures of a row; they stand beside `bodyloop fit`'s, noisy as its keypoints are a network's."""
    for frames, (mpjpe, pa_mpjpe) in PAPER.items():
        if name == row_name(frames):
            return Figures(mpjpe_mm=mpjpe, pa_mpjpe_mm=pa_mpjpe)
    return None


def _curves() -> tuple[Curve, ...]:
    """What more frames are worth."""
    points = tuple((float(n), row_name(n)) for n in (1, *LENGTHS))
    axis = "frames fitted together"
    titles = {"mpjpe_mm": "MPJPE", "pa_mpjpe_mm": "PA-MPJPE", "acceleration": "Acceleration error"}
    return tuple(
        Curve(f"{title}, {NOISE:.0%} noise", axis, points, (), measure) for measure, title in titles.items()
    )


def _notes(scale: str) -> tuple[str, ...]:
    return (
        f"Ours: {scale}; rows 'exact': without noise, nothing missing. The paper's: 3DPW's test set, a network's "
        "results (FS+WS) alone and optimised over 4, 8 and 16 frames with keypoints and body parts (KA+BA+S).",
        "Static: `bodyloop fit`, frame by frame. 4 to 64 frames: the same frames in pieces of that length, as "
        "`bodyloop fit` fits videos: one shape, smoothness of accelerations; weights chosen on validation subjects.",
        f"Rows with eq. 12: the paper's way, {TIMES_PRIOR:g} times the prior's weight on differences of the flow's "
        "latents, from the flow's fits of single frames; nothing is tuned.",
        "Acceleration error: of the joints against the root. ms a frame: one core; 4 to 64 frames with the fits of "
        "single frames where they start; eq. 12 without them.",
    )


def claims(figures: dict[str, Figures], scale: str, seed: int) -> list[Claim]:
    """The paper's findings, judged by our figures; its gains are ratios of its own."""
    common: dict[str, Any] = {
        "paper": "Zanfir et al. 2020",
        "scale": scale,
        "seeds": (seed,),
        "command": "",
        "date": "",
    }
    single, many = (row_name(n) for n in (1, 16))

    def values(measure: str, *names: str) -> dict[str, float]:
        return {name: round(float(getattr(figures[name], measure)), 2) for name in names}

    def paper(column: int, *frames: int) -> dict[str, float]:
        return {row_name(n): PAPER[n][column] for n in frames}

    flow = [row_name(n, latent=True) for n in (1, 16)]
    return [
        Claim.judge(
            at_most(many, single, 0.891),
            id="zanfir-t3-16-frames-mpjpe",
            where="table 3",
            statement="Fitting 16 frames together lowers MPJPE by 10.9 %.",
            paper_values=paper(0, 1, 16),
            our_values=values("mpjpe_mm", single, many),
            unit="mm MPJPE",
            **common,
        ),
        Claim.judge(
            at_most(many, single, 0.872),
            id="zanfir-t3-16-frames-pa-mpjpe",
            where="table 3",
            statement="Fitting 16 frames together lowers PA-MPJPE by 12.8 %.",
            paper_values=paper(1, 1, 16),
            our_values=values("pa_mpjpe_mm", single, many),
            unit="mm PA-MPJPE",
            **common,
        ),
        Claim.judge(
            lower(row_name(16), row_name(8)) & lower(row_name(8), row_name(4)) & lower(row_name(4), single),
            id="zanfir-t3-more-frames",
            where="table 3",
            statement="The more frames are fitted together, the better.",
            paper_values=paper(0, 1, 4, 8, 16),
            our_values=values("mpjpe_mm", *(row_name(n) for n in (1, 4, 8, 16))),
            unit="mm MPJPE",
            **common,
        ),
        Claim.judge(
            at_most(flow[1], flow[0], 0.891),
            id="zanfir-t3-latent-smoothness",
            where="table 3, eq. 12",
            statement="Over 16 frames, smoothness of latents at 50 times the prior's weight lowers MPJPE by 10.9 %.",
            paper_values={flow[0]: PAPER[1][0], flow[1]: PAPER[16][0]},
            our_values=values("mpjpe_mm", *flow),
            unit="mm MPJPE",
            **common,
        ),
        Claim.judge(
            at_most(many, single, 0.5),
            id="zanfir-t3-acceleration",
            where="table 3",
            statement="Fitting 16 frames together halves the error of accelerations, which the paper does not measure.",
            paper_values={},
            our_values=values("acceleration", single, many),
            unit="m/s^2",
            **common,
        ),
    ]
