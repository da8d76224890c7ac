"""Whether the score of a label tells its error: synthetic people in the wild, labelled as annotators would, and fitted.

The truth is known, so that the score can be tuned (on validation people) and judged (on test people).
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from bodyloop.annotate.methods import Settings, cameras_of, make_method
from bodyloop.annotate.quality import QualityModel, design, signs_of
from bodyloop.annotate.swaps import LIMBS, exchanged, swap_suspects
from bodyloop.body import Bodies, builtin_body, get_skeleton
from bodyloop.data.crowd import Crowd
from bodyloop.data.splits import SplitName, read_poses
from bodyloop.data.synthetic import MocapPoses, SyntheticPeople, SyntheticSample
from bodyloop.evaluate.metrics import pve
from bodyloop.fit import Fits
from bodyloop.priors.gmm import default_mixture

Tell = Callable[[str], None]

SKELETON = "coco17"
LEAST = 6
"""Keypoints that ``bodyloop annotate`` asks for."""
CHUNK = 50
POSES_APART = 8.0  # degrees, as the priors are trained
REJECTED = 0.2
"""Share of the people that is rejected, the lowest scores first."""


@dataclass(frozen=True)
class Annotators:
    """How labels differ from the truth. Every person's draws depend on the seed and the person alone.

    Attributes:
        noise: standard deviations of the keypoints as shares of the box, the least and the most; log-uniform over
        people.
        hidden: probability that a keypoint inside of the picture is labelled although it is hidden.
        hidden_noise: factor of the noise of those.
        swapped: probability that left and right of arms, legs or both are exchanged.
        blunder: probability that a person has one keypoint at a wrong place, a third of the box away.
    """

    noise: tuple[float, float] = (0.003, 0.03)
    hidden: float = 0.3
    hidden_noise: float = 3.0
    swapped: float = 0.03
    blunder: float = 0.05


EXACT = Annotators((0.0, 0.0), 0.0, 1.0, 0.0, 0.0)
"""Those who label what is seen, and where it is."""


@dataclass(frozen=True, eq=False)
class LabelledPeople:
    """People as annotators labelled them, with the truth.

    Attributes:
        crowd: N people.
        truth: their bodies, in the axes of the true camera.
        swapped: N names of limbs of `bodyloop.annotate.swaps.LIMBS`, or "".
    """

    crowd: Crowd
    truth: Bodies
    swapped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.crowd)

    @staticmethod
    def cat(parts: "list[LabelledPeople]") -> "LabelledPeople":
        """The people of several."""
        names = ("ids", "images", "sizes", "boxes", "keypoints")
        columns = (np.concatenate([getattr(p.crowd, name) for p in parts]) for name in names)
        return LabelledPeople(
            Crowd(parts[0].crowd.skeleton, *columns),
            Bodies.cat([p.truth for p in parts]),
            tuple(name for p in parts for name in p.swapped),
        )


@dataclass(frozen=True)
class Draw:
    """Which people; what a worker process gets.

    Attributes:
        mocap: folder with motion capture.
        cache: folder for the converted clips.
        split: of which subjects.
        seed: of everything.
        annotators: who label them.
    """

    mocap: Path
    cache: Path | None
    split: SplitName
    seed: int = 0
    annotators: Annotators = Annotators()


def labelled_by(
    annotators: Annotators, sample: SyntheticSample, people: SyntheticPeople, seed: int
) -> LabelledPeople:
    """One person as annotators label them: the box is around what they label; nobody, if that is too little."""
    skeleton, generator = get_skeleton(SKELETON), np.random.default_rng((seed, int(sample.index), 1))
    found = sample.keypoints(people.body, skeleton)
    hidden = found.inside.numpy() & ~found.visible.numpy()
    labelled = found.visible.numpy() | (hidden & (generator.random(len(skeleton)) < annotators.hidden))
    places = found.image.double().numpy()
    swapped = ""
    if labelled.sum() >= 2:
        side = float(np.ptp(places[labelled], axis=0).max())
        low, high = annotators.noise
        noise = 0.0 if high == 0 else float(np.exp(generator.uniform(np.log(low), np.log(high))))
        spread = side * noise * np.where(hidden, annotators.hidden_noise, 1.0)
        places = places + generator.standard_normal(places.shape) * spread[:, None]
        if generator.random() < annotators.blunder:
            angle = generator.uniform(0, 2 * np.pi)
            row = generator.choice(np.flatnonzero(labelled))
            places[row] += side / 3 * np.array([np.cos(angle), np.sin(angle)])
        if generator.random() < annotators.swapped:
            swapped = str(generator.choice(list(LIMBS)))
            order = list(exchanged(skeleton, LIMBS[swapped]))
            places, labelled = places[order], labelled[order]
    if labelled.sum() < LEAST:
        return _people(sample, np.zeros((0, len(skeleton), 3), np.float32), ())
    keypoints = np.concatenate([places, labelled[:, None]], 1).astype(np.float32)
    keypoints[~labelled] = 0
    return _people(sample, keypoints[None], (swapped,))


def _people(sample: SyntheticSample, keypoints: np.ndarray, swapped: tuple[str, ...]) -> LabelledPeople:
    count, number = len(keypoints), str(int(sample.index))
    seen = keypoints[..., 2:] > 0
    boxes = np.concatenate(
        [
            np.where(seen, keypoints[..., :2], np.inf).min(1),
            np.where(seen, keypoints[..., :2], -np.inf).max(1),
        ],
        1,
    )
    crowd = Crowd(
        get_skeleton(SKELETON),
        np.array([number] * count, dtype=str),
        np.array([f"{number}.jpg"] * count, dtype=str),
        np.array([sample.camera.size] * count, np.int32).reshape(-1, 2),
        boxes.astype(np.float32).reshape(-1, 4),
        keypoints,
    )
    bodies = sample.bodies
    truth = Bodies(*(x[None][:count] for x in (bodies.rotations, bodies.betas, bodies.translation)))
    return LabelledPeople(crowd, truth, swapped)


def draw_people(draw: Draw, count: int, tell: Tell) -> LabelledPeople:
    """The first `count` people in the wild with enough labels, drawn on all cores.

    Raises:
        InputError: motion capture is missing.
    """
    read_poses(draw.mocap, draw.split, POSES_APART, draw.cache, tell)
    context = multiprocessing.get_context("spawn")
    found: dict[int, LabelledPeople] = {}
    with ProcessPoolExecutor(os.cpu_count(), context, _begin_worker, (draw,)) as pool:
        first = 0
        while sum(map(len, found.values())) < count:
            still = count - sum(map(len, found.values()))
            chunks = [range(first + i, first + i + CHUNK) for i in range(0, still + CHUNK, CHUNK)]
            first += len(chunks) * CHUNK
            waiting = {pool.submit(_drawn, chunk): chunk.start for chunk in chunks}
            for future in as_completed(waiting):
                found[waiting[future]] = future.result()
                tell(f"drew {sum(map(len, found.values())):,} of {count:,} people")
    people = LabelledPeople.cat([found[start] for start in sorted(found)])
    return LabelledPeople(people.crowd[:count], people.truth[:count], people.swapped[:count])


_SOURCE: dict[str, tuple[SyntheticPeople, Draw]] = {}


def _begin_worker(draw: Draw) -> None:
    torch.set_num_threads(1)
    poses = read_poses(draw.mocap, draw.split, POSES_APART, draw.cache, lambda text: None)
    people = SyntheticPeople("wild", seed=draw.seed, split=draw.split, poses=MocapPoses(poses, draw.split))
    _SOURCE["people"] = people, draw


def _drawn(numbers: range) -> LabelledPeople:
    people, draw = _SOURCE["people"]
    return LabelledPeople.cat(
        [labelled_by(draw.annotators, people.sample(number), people, draw.seed) for number in numbers]
    )


@dataclass(frozen=True, eq=False)
class Measured:
    """Fitted people.

    Attributes:
        fits: N people.
        error_box: (N,) mean reprojection error as a share of the box.
        signs: of their errors (`signs_of`).
        pve_mm: (N,) vertex error, pelvis on pelvis, mm.
    """

    fits: Fits
    error_box: Tensor
    signs: dict[str, Tensor]
    pve_mm: Tensor

    def some(self, rows: slice) -> "Measured":
        """The figures of some of the people; the fits stay those of all."""
        return replace(
            self,
            error_box=self.error_box[rows],
            signs={name: values[rows] for name, values in self.signs.items()},
            pve_mm=self.pve_mm[rows],
        )


@torch.no_grad()
def measure(people: LabelledPeople, settings: Settings, chunk: int = 100) -> Measured:
    """Fit people as ``bodyloop annotate`` does: the focal length is the image's diagonal, not the true one."""
    method, body = make_method(settings)
    parts, errors = [], []
    for first in range(0, len(people), chunk):
        crowd, truth = people.crowd[first : first + chunk], people.truth[first : first + chunk]
        fits, _ = method(crowd, cameras_of(crowd.sizes, settings.focal))
        parts.append(fits)
        found = fits.bodies
        roots = body.joints(found)[:, 0], body.joints(truth)[:, 0]
        errors.append(pve(body.vertices(found), body.vertices(truth), *roots))
    fits = Fits.cat(parts)
    return Measured(fits, fits.error_box, signs_of(fits, body), torch.cat(errors))


def fit_quality(measured: Measured, ridge: float = 1e-2) -> QualityModel:
    """The model that predicts the errors best: least squares on their logarithms, with weights held small.

    Args:
        measured: people of validation subjects.
        ridge: how small, times the number of people.
    """
    names = tuple(measured.signs)
    values = torch.stack([measured.signs[name].double() for name in names], -1)
    mean, scale = values.mean(0), values.std(0).clamp_min(1e-6)
    x = design((values - mean) / scale)
    y = measured.pve_mm.double().log()
    middle = x.mean(0)
    centred = x - middle
    normal = centred.T @ centred + ridge * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(normal, centred.T @ (y - y.mean()))
    bias = float(y.mean() - middle @ weights)
    rounded = [tuple(round(v, 5) for v in t.tolist()) for t in (mean, scale, weights)]
    return QualityModel(names, rounded[0], rounded[1], rounded[2], round(bias, 5))


def figures(measured: Measured, model: QualityModel) -> dict[str, float]:
    """What the score is worth.

    Returns:
        ``rank_correlation``: Spearman's, of expected and true error; ``mean_pve_mm``; ``mean_pve_of_kept_mm`` after
        rejecting `REJECTED` of the people; ``lower_by``, a share; ``lower_by_at_best``, had the true error told whom to
        reject; ``lower_by_reprojection``, had the reprojection error told.
    """
    expected = model.expected_mm(measured.signs)
    error = measured.pve_mm
    mean = float(error.mean())

    def kept(judge: Tensor) -> float:
        order = judge.argsort()[: round(len(error) * (1 - REJECTED))]
        return float(error[order].mean())

    rank = spearmanr(expected.numpy(), error.numpy()).statistic
    return {
        "people": len(error),
        "rank_correlation": float(rank),
        "rank_correlation_of_reprojection": float(
            spearmanr(measured.error_box.numpy(), error.numpy()).statistic
        ),
        "mean_pve_mm": mean,
        "mean_pve_of_kept_mm": kept(expected),
        "lower_by": 1 - kept(expected) / mean,
        "lower_by_at_best": 1 - kept(error) / mean,
        "lower_by_reprojection": 1 - kept(measured.error_box) / mean,
    }


def swap_figures(people: LabelledPeople, measured: Measured, settings: Settings) -> dict[str, float]:
    """How well exchanged sides are found: share of those found, and share of suspects who are not exchanged at all."""
    local = measured.fits.bodies.rotations[:, 1:]
    prior = default_mixture().energy(local)
    fits = measured.fits
    suspects = swap_suspects(fits, builtin_body(), prior, settings.swaps, settings.fit)
    is_swapped = np.array([bool(name) for name in people.swapped])
    suspected = np.array([bool(name) for name in suspects])
    return {
        "swapped": int(is_swapped.sum()),
        "found": float(suspected[is_swapped].mean()) if is_swapped.any() else float("nan"),
        "suspected": int(suspected.sum()),
        "wrongly": float((~is_swapped[suspected]).mean()) if suspected.any() else float("nan"),
    }
