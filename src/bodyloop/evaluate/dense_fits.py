"""What dense evidence is worth to a fit, on synthetic people in the wild with known truth.

Rong et al. 2019 ask it of networks (table 3, figures 5 and 6, section 4.3 on refinement), Zanfir et al. 2020 of fits
(eq. 7, table 1). Here every person is fitted once with each kind of evidence: keypoints that are seen (KA), dense
keypoints sampled from the IUV map, the map of parts (BA); and the dense keypoints are disturbed, thinned and taken
from maps with swapped limbs.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from bodyloop.annotate import fit_people
from bodyloop.body import Bodies, BodyModel, builtin_body, get_skeleton
from bodyloop.body.atlas import builtin_atlas
from bodyloop.body.parts import face_parts
from bodyloop.data.splits import SplitName, read_poses
from bodyloop.data.synthetic import MocapPoses, SyntheticPeople, SyntheticSample
from bodyloop.evaluate.claims import Claim, Rule, at_least, at_most, lower
from bodyloop.evaluate.heldout import FAILURE_MM
from bodyloop.evaluate.scores import Scores
from bodyloop.evaluate.synthetic import synthetic_scores
from bodyloop.evaluate.tables import Curve, Figures, Row, Table
from bodyloop.evidence import (
    DenseKeypoints,
    Evidence,
    IuvMap,
    disturbed,
    refine_iuv,
    sample_dense,
    swapped_limbs,
    thinned,
)
from bodyloop.fit import FitConfig, Surface
from bodyloop.raster.labels import iuv_map, part_map

Tell = Callable[[str], None]

SIGMAS = (5, 10, 20, 30, 40)
"""Noise on U and V, of 255 (Rong et al., figure 5)."""
SHARES = (0.8, 0.6, 0.4, 0.2, 0.05)
"""Of the dense keypoints (Rong et al., figure 6)."""
FEW = 12
"""Dense keypoints: the paper's "10 to 15"."""
KEYPOINT_NOISE = 0.03
"""Share of the box's longer side, for the rows with noisy keypoints."""
LEAST_SEEN = 6
"""Keypoints of a person that is taken: with fewer, `bodyloop fit` trusts nobody."""
CHUNK = 10
"""People a task."""
POSES_APART = 8.0


@dataclass(frozen=True)
class Condition:
    """What a fit is given.

    Attributes:
        name: of the row.
        dense: with dense keypoints.
        parts: with the map of this partition, "" without.
        sigma: noise on U and V.
        share: of the dense keypoints that stay.
        count: of dense keypoints, all if None.
        swapped: from a map in which limbs are taken for those of the other side.
        refine: "" for the map as it is, "paper" for the refinement of Rong et al. or "limbs" for whole limbs.
        noise: on keypoints, share of the box.
    """

    name: str
    dense: bool = False
    parts: str = ""
    sigma: float = 0.0
    share: float = 1.0
    count: int | None = None
    swapped: bool = False
    refine: str = ""
    noise: float = 0.0


KEYPOINTS, DENSE, RAW = "KA", "KA + dense", "KA + dense, limbs swapped, raw"
CONDITIONS = (
    Condition(KEYPOINTS),
    Condition("KA + BA", parts="densepose"),
    Condition("KA + BA, 24 parts", parts="smpl"),
    Condition(DENSE, dense=True),
    Condition("KA + dense + BA", dense=True, parts="densepose"),
    Condition("KA, 3% noise", noise=KEYPOINT_NOISE),
    Condition("KA + BA, 3% noise", parts="densepose", noise=KEYPOINT_NOISE),
    Condition("KA + dense, 3% noise", dense=True, noise=KEYPOINT_NOISE),
    *(Condition(f"KA + dense, sigma {s}", dense=True, sigma=s) for s in SIGMAS),
    *(Condition(f"KA + dense, {s:.0%} of the points", dense=True, share=s) for s in SHARES),
    Condition(f"KA + dense, {FEW} points", dense=True, count=FEW),
    Condition(RAW, dense=True, swapped=True),
    Condition("KA + dense, limbs swapped, refined", dense=True, swapped=True, refine="paper"),
    Condition("KA + dense, limbs swapped, refined by limb", dense=True, swapped=True, refine="limbs"),
)


@dataclass(frozen=True)
class Task:
    """Some people, all conditions; what a worker process gets.

    Attributes:
        samples: the people.
        seed: of all that is drawn; each person's draws depend on it and on the sample's number alone.
        conditions: to fit under.
        config: of the fits.
    """

    samples: SyntheticSample
    seed: int
    conditions: tuple[Condition, ...]
    config: FitConfig = field(default_factory=FitConfig)


@lru_cache(maxsize=4)
def _faces(partition: str) -> torch.Tensor:
    return face_parts(builtin_body(), partition)


def seen_keypoints(sample: SyntheticSample, body: BodyModel, noise: float, seed: int) -> Evidence:
    """COCO's keypoints of one person that are seen, with Gaussian noise as a share of the box."""
    skeleton = get_skeleton("coco17")
    found = sample.keypoints(body, skeleton)
    exact = Evidence.from_keypoints(skeleton, found.image[None], found.visible[None].float())
    if noise == 0:
        return exact
    generator = torch.Generator().manual_seed(_own_seed(sample, seed, 1))
    side = (exact.boxes[:, 2:] - exact.boxes[:, :2]).amax()
    off = torch.randn(exact.keypoints.shape, generator=generator) * noise * side
    return Evidence.from_keypoints(skeleton, exact.keypoints + off, exact.confidence)


def _own_seed(sample: SyntheticSample, seed: int, purpose: int) -> int:
    return (seed * 1_000_003 + int(sample.index)) * 8 + purpose


def surface_of(
    sample: SyntheticSample, condition: Condition, evidence: Evidence, seed: int
) -> Surface | None:
    """What a condition tells of one person's surface."""
    surface = Surface.none()
    if condition.dense:
        surface = Surface.from_dense(_dense(sample, condition, evidence, seed), builtin_atlas())
    if condition.parts:
        labels = part_map(sample.fragments, _faces(condition.parts)) + 1
        surface = surface.with_parts(labels, condition.parts)
    return surface or None


def _dense(sample: SyntheticSample, condition: Condition, evidence: Evidence, seed: int) -> DenseKeypoints:
    generators = [torch.Generator().manual_seed(_own_seed(sample, seed, k)) for k in (2, 3, 4, 5)]
    values = iuv_map(sample.fragments, builtin_atlas()).numpy()
    iuv = IuvMap(values[..., 0].astype(np.uint8), values[..., 1:].clip(0, 1))
    if condition.swapped:
        iuv, _ = swapped_limbs(iuv, generators[0])
    if condition.refine:
        iuv, _ = refine_iuv(iuv, evidence, whole_limbs=condition.refine == "limbs")
    points = sample_dense(iuv, generators[1])
    if condition.share < 1 or condition.count is not None:
        share = condition.share if condition.count is None else None
        points = thinned(points, generators[2], share, condition.count)
    return disturbed(points, condition.sigma, generators[3])


@torch.no_grad()
def measured(task: Task) -> dict[str, Scores]:
    """Scores of a task's people under each condition."""
    body = builtin_body()
    people = [task.samples[i] for i in range(len(task.samples.index))]
    found = {}
    for condition in task.conditions:
        bodies = [fitted(sample, condition, body, task.seed, task.config) for sample in people]
        found[condition.name] = synthetic_scores(Bodies.cat(bodies), task.samples, body)
    return found


def fitted(
    sample: SyntheticSample, condition: Condition, body: BodyModel, seed: int, config: FitConfig | None = None
) -> Bodies:
    """One person (1, ...), fitted under a condition."""
    evidence = seen_keypoints(sample, body, condition.noise, seed)
    surface = surface_of(sample, condition, evidence, seed)
    surfaces = None if surface is None else [surface]
    return fit_people(evidence, sample.camera, body, config, surfaces=surfaces).bodies


def _begin_worker() -> None:
    """One core a worker."""
    torch.set_num_threads(1)
    import numba

    numba.set_num_threads(1)


def wild_people(
    mocap: Path, cache: Path | None, split: SplitName, count: int, seed: int, tell: Tell
) -> list[SyntheticSample]:
    """The first `count` people in the wild of whom enough of COCO's keypoints are seen (`LEAST_SEEN`).

    Raises:
        InputError: motion capture is missing.
    """
    poses = MocapPoses(read_poses(mocap, split, POSES_APART, cache, tell), f"{split} subjects")
    people = SyntheticPeople("wild", seed=seed, split=split, poses=poses)
    tell(f"drawing {count} people")
    skeleton, index = get_skeleton("coco17"), 0
    found: list[SyntheticSample] = []
    while len(found) < count:
        sample = people.sample(index)
        index += 1
        if int(sample.keypoints(people.body, skeleton).visible.sum()) >= LEAST_SEEN:
            found.append(sample)
    return found


def scored(
    samples: list[SyntheticSample],
    conditions: tuple[Condition, ...],
    seed: int,
    tell: Tell,
    config: FitConfig | None = None,
) -> dict[str, Scores]:
    """Scores of all people under each condition, on all cores."""
    chunks = [samples[i : i + CHUNK] for i in range(0, len(samples), CHUNK)]
    tasks = [Task(SyntheticSample.stack(chunk), seed, conditions, config or FitConfig()) for chunk in chunks]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _begin_worker) as pool:
        waiting = {pool.submit(measured, task): number for number, task in enumerate(tasks)}
        parts: dict[int, dict[str, Scores]] = {}
        for done, future in enumerate(as_completed(waiting), 1):
            parts[waiting[future]] = future.result()
            tell(f"fitted {min(done * CHUNK, len(samples))} of {len(samples)} people under each condition")
    return {c.name: Scores.cat([parts[k][c.name] for k in range(len(tasks))]) for c in conditions}


def dense_fits(
    mocap: Path, cache: Path | None, count: int, seed: int, quick: bool, tell: Tell, split: SplitName = "test"
) -> tuple[Table, list[Claim]]:
    """Fit synthetic wild people under all conditions.

    Args:
        mocap: folder with motion capture, for the people's poses.
        cache: folder for the converted clips.
        count: people.
        seed: of everything.
        quick: a run of seconds on a few people, whose figures say little.
        tell: called with a line of progress.
        split: whose poses, looks and places.

    Returns:
        the table with its curves, and the papers' findings, judged.

    Raises:
        InputError: motion capture is missing.
    """
    samples = wild_people(mocap, cache, split, min(count, 4) if quick else count, seed, tell)
    count = len(samples)
    figures = {name: summed_up(found) for name, found in scored(samples, CONDITIONS, seed, tell).items()}
    rows = tuple(Row(name, None, found) for name, found in figures.items())
    scale = f"{count} synthetic people in the wild, poses of the {split} subjects' motion capture (CMU)"
    return Table("Fits to dense evidence", rows, _notes(scale), _curves()), claims(figures, scale, seed)


def summed_up(scores: Scores) -> Figures:
    """Means over people."""
    mean = {key: float(values.nanmean()) for key, values in scores.values.items()}
    return Figures(
        mpjpe_mm=mean["mpjpe_mm"],
        mpvpe_mm=mean["pve_mm"],
        pa_mpjpe_mm=mean["pa_mpjpe_mm"],
        failures=float((scores.values["pa_mpjpe_mm"] > FAILURE_MM).double().mean()),
        dkd_px=mean["dkd_px"],
        part_iou=mean["part_iou_14"],
    )


def _curves() -> tuple[Curve, ...]:
    sigmas = ((0.0, DENSE), *((float(s), f"KA + dense, sigma {s}") for s in SIGMAS))
    shares = ((0.0, KEYPOINTS), *((100 * s, f"KA + dense, {s:.0%} of the points") for s in reversed(SHARES)))
    return (
        Curve("Noise on U and V (Rong et al., fig. 5)", "sigma, of 255", sigmas, (KEYPOINTS,)),
        Curve("Fewer dense keypoints (Rong et al., fig. 6)", "% kept", (*shares, (100.0, DENSE))),
    )


def _notes(scale: str) -> tuple[str, ...]:
    return (
        f"{scale}; each of them has at least {LEAST_SEEN} of COCO's keypoints in sight, behind nothing.",
        "KA: the seen keypoints, exact. Dense: 100 to 150 pixels of the true IUV map; behind clothes, the skin. BA: "
        "the true map of DensePose's 14 parts (or SMPL's 24). Nothing is known of what is hidden.",
        "Limbs swapped: each person's arms and legs have the other side's labels with probability 1/2. Refined: as "
        "Rong et al., section 3.2; by limb: all charts of an accused limb are removed.",
        "The fit is that of `bodyloop fit`: the mixture, five starts, the noise of keypoints and of dense keypoints "
        "estimated. Camera known. MPVPE: PVE. DKD: L1 distance in pixels of a 224-pixel picture.",
    )


def claims(figures: dict[str, Figures], scale: str, seed: int) -> list[Claim]:
    """The papers' findings on dense evidence, judged by fits."""
    pve = {name: float(found.mpvpe_mm or 0.0) for name, found in figures.items()}
    rong = {"paper": "Rong et al. 2019", "unit": "mm PVE"}

    def judge(
        name: str, where: str, statement: str, rule: Rule, rows: dict[str, str], **more: object
    ) -> Claim:
        return Claim.judge(
            rule,
            statement=statement,
            our_values={key: round(pve[row], 2) for key, row in rows.items()},
            **{"id": name, "where": where, "paper_values": {}, "scale": scale, "seeds": (seed,), "command": "",
               "date": "", **rong, **more},
        )  # fmt: skip

    sparse, dense = {"sparse": KEYPOINTS}, {"dense": DENSE}
    return [
        judge(
            "rong-t3-fit-dense-beats-sparse",
            "table 3, of networks",
            "Dense correspondence beats sparse keypoints by 32 %.",
            at_most("dense", "sparse", round(137.7 / 203.2, 3)),
            sparse | dense,
            paper_values={"sparse": 203.2, "dense": 137.7},
        ),
        judge(
            "rong-fig6-fit-few-points-help",
            "figure 6, of networks",
            "10 to 15 dense keypoints are significantly better than none.",
            at_most("few points", "sparse", 0.9),
            sparse | {"few points": f"KA + dense, {FEW} points"},
        ),
        judge(
            "rong-fig6-fit-60-percent",
            "figure 6, of networks",
            "With more than 60 % of the dense keypoints the error grows gracefully.",
            at_most("60 %", "dense", 1.1),
            dense | {"60 %": f"KA + dense, {0.6:.0%} of the points"},
        ),
        judge(
            "rong-fig5-fit-noise-10",
            "figure 5, of networks",
            "With noise on U and V up to 10 of 255 the error grows gracefully.",
            at_most("sigma 10", "dense", 1.1),
            dense | {"sigma 10": "KA + dense, sigma 10"},
        ),
        judge(
            "rong-fig5-fit-noise-40",
            "figure 5, of networks",
            "Even with noise of 40 of 255 dense keypoints help considerably.",
            at_most("sigma 40", "sparse", 0.9),
            sparse | {"sigma 40": "KA + dense, sigma 40"},
        ),
        judge(
            "rong-s43-fit-refinement",
            "section 4.3, of networks",
            "Raw IUV maps instead of refined ones cost 20.1 %.",
            at_least("raw", "refined", 1.2),
            {"raw": RAW, "refined": "KA + dense, limbs swapped, refined"},
            paper_values={"raw / refined": 1.201},
        ),
        judge(
            "zanfir-eq7-parts-help",
            "table 1, KA + BA",
            "Part alignment lowers the error of fits to keypoints.",
            lower("KA + BA", "KA"),
            {"KA": KEYPOINTS, "KA + BA": "KA + BA"},
            paper="Zanfir et al. 2020",
            paper_values={"KA": 104.0, "KA + BA": 96.0},
        ),
    ]
