"""Liu et al., "Multi-Initialization Optimization Network for Accurate 3D Human Pose and Shape Estimation" (MION), 2021.

People in the wild play all of the paper's test sets. One measurement serves all tables: each person's candidates, each
made better by the transformer, and judged by the consistency network and by the energy of a fit. Keypoints are as exact
as a good detector's (`CandidateStart.noise`).
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.batch import Batch
from bodyloop.data.mixture import Draw
from bodyloop.data.synthetic.streams import stream
from bodyloop.evaluate.claims import Claim, at_least, at_most, lower
from bodyloop.evaluate.tables import Figures, Row, Table
from bodyloop.fit.pool import default_pool
from bodyloop.nets.cen import Cen, load_cen
from bodyloop.nets.estimator import Crops
from bodyloop.studies.mion_bench import (
    CHOSEN,
    Bench,
    Measured,
    cen_training,
    mion_recipe,
    plain_crops,
    spin_recipe,
)
from bodyloop.studies.networks import Tell, Workshop, train_all
from bodyloop.studies.study import Asked
from bodyloop.train.candidates import CandidateStock, find_candidates
from bodyloop.train.config import CandidateStart, Recipe, SyntheticData
from bodyloop.train.larder import Pantry
from bodyloop.train.regressor import Regressor
from bodyloop.writing import make_folder

Judge = Callable[..., Claim]

_CEN, _ENERGY, _RANDOM, _BEST = "CEN", "lowest energy", "random path", "best path"
Made = tuple[tuple[Row, ...], list[Claim], tuple[str, ...]]


def _table1(bench: Bench, judge: Judge) -> Made:
    paper = ((62.31, 45.48), (61.59, 44.75), (59.98, 42.81), (58.78, 41.86), (56.88, 41.59), (58.71, 42.02))
    found = bench.measured()
    rows = [
        Row(f"{n}-path", Figures(mpjpe_mm=p[0], pa_mpjpe_mm=p[1]), found.by("cen", n))
        for n, p in enumerate(paper, 1)
    ]
    rows.append(Row("candidate that meets the keypoints best, as it is", None, _starts(found)))
    one, five = (found.by("cen", n).mpjpe_mm or 0.0 for n in (1, CHOSEN))
    claim = judge(
        "mion-t1-five-paths",
        "table 1",
        at_most("5-path", "1-path", 0.913),
        statement="Five paths, chosen from by the consistency network, beat one by 8.7 % or more.",
        unit="mm MPJPE",
        paper_values={"1-path": 62.31, "5-path": 56.88},
        our_values={"1-path": one, "5-path": five},
    )
    return tuple(rows), [claim], ()


def _starts(found: Measured) -> Figures:
    return Figures(
        mpjpe_mm=float(found.start_mpjpe[:, 0].mean()), pa_mpjpe_mm=float(found.start_pa[:, 0].mean())
    )


def _table2(bench: Bench, judge: Judge) -> Made:
    with_pncc, without = (bench.measured(e).by("cen", CHOSEN) for e in ("pncc", "place"))  # type: ignore[arg-type]
    rows = (
        Row("without PNCC-PE", Figures(mpjpe_mm=61.14, pa_mpjpe_mm=43.01), without),
        Row("with PNCC-PE", Figures(mpjpe_mm=56.88, pa_mpjpe_mm=41.59), with_pncc),
    )
    claim = judge(
        "mion-t2-pncc",
        "table 2",
        at_most("PNCC", "place", 0.931),
        statement="Encoding the candidate's PNCC beats encoding the place by 6.9 % or more.",
        unit="mm MPJPE",
        paper_values={"place": 61.14, "PNCC": 56.88},
        our_values={"place": without.mpjpe_mm or 0.0, "PNCC": with_pncc.mpjpe_mm or 0.0},
    )
    note = (
        "Small networks correct the candidate's rotations, with either encoding; encoding the place, they see nothing "
        "else of it."
    )
    return rows, [claim], (note,) if bench.asked.scale == "cpu" else ()


def _table3(bench: Bench, judge: Judge) -> Made:
    found = bench.measured()
    ours = {
        _RANDOM: found.random(CHOSEN),
        _CEN: found.by("cen", CHOSEN),
        _BEST: found.by("mpjpe", CHOSEN),
        _ENERGY: found.by("energy", CHOSEN),
    }
    paper = {_RANDOM: (62.47, 44.71), _CEN: (56.88, 41.59), _BEST: (52.17, 39.82)}
    rows = tuple(
        Row(
            name,
            None if name not in paper else Figures(mpjpe_mm=paper[name][0], pa_mpjpe_mm=paper[name][1]),
            figures,
        )
        for name, figures in ours.items()
    )
    value = {name: figures.mpjpe_mm or 0.0 for name, figures in ours.items()}
    gap = max(value[_RANDOM] - value[_BEST], 1e-9)
    closed = {"closed by CEN": (value[_RANDOM] - value[_CEN]) / gap}
    claims = [
        judge(
            "mion-t3-cen-closes-the-gap",
            "table 3",
            at_least("closed by CEN", 0.54),
            statement="The consistency network closes 54 % of the gap between a random and the best path.",
            unit="share of the gap in MPJPE",
            paper_values={"closed by CEN": (62.47 - 56.88) / (62.47 - 52.17)},
            our_values=closed,
        ),
        judge(
            "mion-t3-cen-against-energy",
            "our question",
            lower(_CEN, _ENERGY),
            statement="The consistency network chooses better than the lowest energy of a fit.",
            unit="mm MPJPE",
            paper_values={},
            our_values={_CEN: value[_CEN], _ENERGY: value[_ENERGY]},
        ),
    ]
    return (
        rows,
        claims,
        ("Lowest energy: of the fit's terms, keypoints and pose prior, at the path's answer.",),
    )


def _table6(bench: Bench, judge: Judge) -> Made:
    found = bench.measured()
    ours = {
        "1-path": found.by("cen", 1),
        "SPIN": bench.network_figures(spin_recipe(bench.asked, bench.seed)),
        "5-path": found.by("cen", CHOSEN),
    }
    paper = {"1-path": (142.0, 5.383), "SPIN": (116.0, 4.398), "5-path": (94.0, 3.227)}
    rows = tuple(Row(n, Figures(mpvpe_mm=paper[n][0], betas_l2=paper[n][1]), ours[n]) for n in ours)
    value = {n: f.mpvpe_mm or 0.0 for n, f in ours.items()}
    claim = judge(
        "mion-t6-shape",
        "table 6",
        lower("5-path", "1-path") & lower("5-path", "SPIN"),
        statement="Five paths recover the mesh better than one, and than SPIN.",
        unit="mm, vertices",
        paper_values={n: p[0] for n, p in paper.items()},
        our_values=value,
    )
    return rows, [claim], ("SPIN is the network of its own table here, trained for as many steps.",)


def _speed(bench: Bench, judge: Judge) -> Made:
    """Section 4.4: stage by stage, one person at a time."""
    recipe = mion_recipe(bench.asked, bench.seed)
    train_all([recipe, spin_recipe(bench.asked, bench.seed)], bench.shop, bench.tell)
    cen, pantry = load_cen(bench.cen()).to(bench.shop.device), bench.shop.pantry(bench.tell)
    refiner = bench.refiner(recipe, pantry.body)
    other_recipe = spin_recipe(bench.asked, bench.seed)
    other = bench.refiner(other_recipe, pantry.body)
    times = _timed(refiner, cen, other, recipe, other_recipe, bench.people(), pantry)
    total = sum(times[name] for name in ("1 candidates", "2 transformer", "3 consistency"))
    paper = {"1 candidates": 18.0, "2 transformer": 63.0, "3 consistency": 47.0, "SPIN": 59.0, "all": 128.0}
    times["all"] = total
    rows = tuple(Row(n, Figures(ms_per_frame=paper[n]), Figures(ms_per_frame=times[n])) for n in paper)
    claim = judge(
        "mion-speed-candidates",
        "section 4.4",
        at_most("1 candidates", "all", 0.2),
        statement="Choosing candidates takes a small part of the time (14 % in the paper).",
        unit="ms a person",
        paper_values=paper,
        our_values={n: round(times[n], 2) for n in paper},
    )
    return rows, [claim], (f"Medians of one person at a time, {CHOSEN} paths.",)


def _chosen(cen: Cen, body: BodyModel, bodies: Bodies, picture: Batch) -> torch.Tensor:
    return cen(picture.image, cen.view(body, bodies, picture.camera)).mean(1).argmin()


@torch.no_grad()
def _timed(
    refiner: Regressor, cen: Cen, other: Regressor, recipe: Recipe, other_recipe: Recipe, people: SyntheticData,
    pantry: Pantry,
) -> dict[str, float]:  # fmt: skip
    """Milliseconds a person by stage, on the networks' device."""
    body, times = refiner.body, dict[str, list[float]]()
    device = body.v_template.device
    crops = {
        "own": plain_crops(people, recipe, recipe.network.resolution, pantry),
        "cen": plain_crops(people, recipe, cen.config.resolution, pantry),
        "spin": plain_crops(people, other_recipe, other_recipe.network.resolution, pantry),
    }
    pool = pantry.pool or default_pool()
    for network in (refiner.network, other.network):
        network.eval()

    def clock(name: str, do: Callable[[], object]) -> object:
        began = time.perf_counter()
        result = do()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.setdefault(name, []).append(1000 * (time.perf_counter() - began))
        return result

    for row in range(min(20, crops["own"].sizes[0])):
        lessons = (c.lesson([Draw(0, row, row)], stream(0)) for c in crops.values())
        batch, picture, whole = (lesson.to(device).batch for lesson in lessons)
        stock = clock(
            "1 candidates",
            lambda b=batch: find_candidates(pool, body, b.evidence(), b.camera, CHOSEN),  # type: ignore[misc]
        )
        assert isinstance(stock, CandidateStock)
        many, seen = (
            batch[torch.zeros(CHOSEN, dtype=torch.long)],
            picture[torch.zeros(CHOSEN, dtype=torch.long)],
        )
        paths = torch.arange(CHOSEN)
        start = stock.get(body, torch.zeros_like(paths), paths, many.crop_angle, many.flipped)
        found = clock("2 transformer", lambda m=many, s=start: refiner.refined(m, s))  # type: ignore[misc]
        assert isinstance(found, Bodies)
        answers: Bodies = found
        clock("3 consistency", lambda p=seen, b=answers: _chosen(cen, body, b, p))  # type: ignore[misc]
        clock("SPIN", lambda w=whole: other.placed(other.network(Crops(w.image)), w))  # type: ignore[misc]
    return {name: float(np.median(values)) for name, values in times.items()}


MION: dict[str, tuple[str, Callable[[Bench, Judge], Made]]] = {
    "mion-table1": ("Liu et al. 2021 (MION), table 1", _table1),
    "mion-table2": ("Liu et al. 2021 (MION), table 2", _table2),
    "mion-table3": ("Liu et al. 2021 (MION), table 3", _table3),
    "mion-table6": ("Liu et al. 2021 (MION), table 6", _table6),
    "mion-speed": ("Liu et al. 2021 (MION), section 4.4", _speed),
}
"""Title and maker of each table."""


def measure_mion(name: str, asked: Asked, shop: Workshop, tell: Tell) -> tuple[Table, list[Claim]]:
    """Train what is missing and make one of `MION`; of several seeds the first counts.

    Raises:
        InputError: no motion capture where there should be, or folders that cannot be written.
    """
    title, make = MION[name]
    bench = Bench(asked, asked.seeds[0], shop, tell)
    make_folder(shop.folder)
    people, recipe = bench.people(), mion_recipe(asked, bench.seed)
    poses = "motion capture" if asked.mocap else "the flow prior that ships"
    scale = (
        f"synthetic people, wild, {people.count} of the test split, poses of {poses}, keypoints off by "
        f"{(recipe.candidates or CandidateStart()).noise:.0%} of the box; networks of scale {asked.scale}, "
        f"{recipe.steps:,} steps, consistency network {cen_training(asked, bench.seed).steps:,}"
    )

    def judged(id: str, where: str, rule: object, **others: object) -> Claim:
        paper = title.partition(",")[0]
        return Claim.judge(
            rule,  # type: ignore[arg-type]
            id=id,
            paper=paper,
            where=where,
            scale=scale,
            seeds=(bench.seed,),
            command="",
            date="",
            **others,  # type: ignore[arg-type]
        )

    rows, claims, notes = make(bench, judged)
    return Table(title, rows, (f"Ours: {scale}.", *notes)), claims
