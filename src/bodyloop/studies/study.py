"""What a table of trained networks is: rows of cells, and what the paper claimed of them."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

from bodyloop.evaluate.claims import Claim
from bodyloop.evaluate.tables import AXES, TITLES, Curve, Figures, Row, Table
from bodyloop.studies.networks import Cell, Tell, Workshop, from_classifier, measure_cells
from bodyloop.train.config import Scale

Values = dict[str, Figures]
"""Figures by the row's name."""


@dataclass(frozen=True)
class Asked:
    """What a study is asked for.

    Attributes:
        scale: of its networks.
        mocap: whether people take poses of motion capture.
        seeds: each row is the mean over these.
        classifier: whether networks that would begin with random weights begin with a classifier's, as the papers' do.
    """

    scale: Scale = "cpu"
    mocap: bool = False
    seeds: tuple[int, ...] = (0,)
    classifier: bool = False


@dataclass(frozen=True)
class StudyRow:
    """One row.

    Attributes:
        name: of the row.
        paper: the paper's figures.
        cell: by seed.
    """

    name: str
    paper: Figures | None
    cell: Callable[[Asked, int], Cell]


@dataclass(frozen=True)
class Study:
    """A table of a paper whose rows are trained networks.

    Attributes:
        title: "Rong et al. 2019, table 3".
        rows: in the paper's order.
        claims: the paper's findings, judged on our figures; date and command are filled in by who asks.
        notes: what one should know to read it.
        curves: plots of some rows.
        measures: of `Figures`, those that are shown; all but the errors along each axis if None.
    """

    title: str
    rows: tuple[StudyRow, ...]
    claims: Callable[[Values, Callable[..., Claim]], list[Claim]]
    notes: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()
    measures: tuple[str, ...] | None = None


def measure_study(study: Study, asked: Asked, shop: Workshop, tell: Tell) -> tuple[Table, list[Claim]]:
    """Train and measure all networks of a study that are not there yet.

    Raises:
        InputError: see `measure_cells`.
    """
    cells = {(row.name, seed): row.cell(asked, seed) for row in study.rows for seed in asked.seeds}
    if asked.classifier:
        cells = {key: replace(cell, recipe=from_classifier(cell.recipe)) for key, cell in cells.items()}
    found = measure_cells(cells.values(), shop, tell)
    each = {row.name: [found[cells[row.name, seed]] for seed in asked.seeds] for row in study.rows}
    values = {name: _mean(figures) for name, figures in each.items()}
    shown = tuple(n for n in TITLES if n not in AXES) if study.measures is None else study.measures
    hidden: dict[str, None] = dict.fromkeys(name for name in TITLES if name not in shown)
    rows = tuple(Row(row.name, row.paper, replace(values[row.name], **hidden)) for row in study.rows)
    first = next(iter(cells.values()))
    poses = "motion capture" if asked.mocap else "the flow prior that ships"
    scale = (
        f"synthetic people, {first.people.domain}, {first.people.count} of the test split, poses of {poses}; "
        f"networks of scale {asked.scale}, {first.recipe.phases[-1].steps:,} steps a phase"
    )
    notes = (f"Ours: {scale}.", *_spread(each), *study.notes)

    def judged(id: str, where: str, rule: object, **others: object) -> Claim:
        paper = study.title.partition(",")[0]
        return Claim.judge(
            rule,  # type: ignore[arg-type]
            id=id,
            paper=paper,
            where=where,
            scale=scale,
            seeds=asked.seeds,
            command="",
            date="",
            **others,  # type: ignore[arg-type]
        )

    return Table(study.title, rows, notes, study.curves), study.claims(values, judged)


def _mean(figures: Sequence[Figures]) -> Figures:
    """Measure by measure."""
    means = {}
    for field in fields(Figures):
        values = [v for f in figures if (v := getattr(f, field.name)) is not None]
        means[field.name] = statistics.fmean(values) if len(values) == len(figures) else None
    return Figures(**means)


def _spread(each: dict[str, list[Figures]]) -> tuple[str, ...]:
    """How far seeds are apart."""
    if any(len(figures) < 2 for figures in each.values()):
        return ()
    spreads = {
        name: statistics.stdev([f.mpvpe_mm for f in figures if f.mpvpe_mm is not None])
        for name, figures in each.items()
    }
    mean = statistics.fmean(spreads.values())
    worst = max(spreads, key=lambda name: spreads[name])
    return (
        f"Rows are means over {len(next(iter(each.values())))} seeds; PVE differs by a standard deviation of "
        f"{mean:.1f} mm on average, {spreads[worst]:.1f} mm at most ({worst}).",
    )
