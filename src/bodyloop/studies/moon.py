"""Moon, Choi, Chun, Lee, Yun, "Three Recipes for Better 3D Pseudo-GTs of 3D Human Mesh Estimation in the Wild", 2023.

The studio plays Human3.6M and MPI-INF-3DHP, the wild COCO, the bridge 3DPW. Judged on people of the wild's test split
(the paper: 3DPW's) and on another wild, with other places, cameras and motion subjects (MuPoTS).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from bodyloop.evaluate.claims import Claim, Rule, lower
from bodyloop.evaluate.tables import AXES, Figures
from bodyloop.studies.networks import STEPS, Cell, for_table, test_people
from bodyloop.studies.study import Asked, Study, StudyRow, Values
from bodyloop.train.config import (
    CandidateLabels,
    FitLabels,
    LoopLabels,
    NetworkLabels,
    Pose2dRecipe,
    Recipe,
    Teacher,
)
from bodyloop.train.moon import NO_RECIPES, Estimating, Recipes, moon_f, moon_g, pose2d, pose3d, tuned
from bodyloop.train.recipes import SIZES
from bodyloop.train_jobs import with_mocap

Judge = Callable[..., Claim]
Make = Callable[[Asked, int], Recipe]
"""A row's network, by seed."""

TIMES = 2
"""Each network trains for so many times `STEPS`."""
TIMES_2D = 4
"""The 2D pose network for so many: in the paper it was trained long before, for 140 epochs."""
SECOND = ", second wild"
ALL = Recipes()
NO_BRIDGE, NO_2D, NO_CODE = (
    replace(ALL, bridge="none"),
    replace(ALL, begin="random"),
    replace(ALL, pose="rotations"),
)


# Networks: the same ones in all tables


def _pose2d(asked: Asked, seed: int) -> Pose2dRecipe:
    recipe = replace(pose2d(asked.scale), seed=seed, steps=TIMES_2D * STEPS[asked.scale])
    return with_mocap(recipe) if asked.mocap else recipe


def _as_asked(recipe: Recipe, asked: Asked, seed: int) -> Recipe:
    """With a table's seed, steps and poses, and with those of the networks that it begins with."""
    begin = recipe.begin
    if isinstance(begin, Pose2dRecipe):
        begin = _pose2d(asked, seed)
    elif begin is not None:
        begin = _pose3d(asked, seed)
    return for_table(replace(recipe, begin=begin), asked.scale, asked.mocap, seed, TIMES)


def _pose3d(asked: Asked, seed: int) -> Recipe:
    return _as_asked(pose3d(asked.scale), asked, seed)


def _f(recipes: Recipes, more: bool = False) -> Make:
    return lambda asked, seed: _as_asked(moon_f(asked.scale, recipes, more), asked, seed)


def _by(f: Make) -> Callable[[Asked, int], Teacher]:
    """Labels of an annotation network."""
    return lambda asked, seed: NetworkLabels(f(asked, seed))


def _g(teacher: Callable[[Asked, int], Teacher], recipes: Recipes | None = None) -> Make:
    """An estimation network; without recipes of its own unless they are named.

    At scale cpu one without recipes is HMR's, which sees by the landmarks' backbone: small networks from random weights
    hardly leave the mean pose in a table's steps, whatever the labels.
    """

    def make(asked: Asked, seed: int) -> Recipe:
        kind: Estimating = "hmr" if asked.scale == "cpu" and recipes is None else "pose2pose"
        recipe = moon_g(asked.scale, teacher(asked, seed), kind, recipes or NO_RECIPES)
        return _as_asked(recipe, asked, seed)

    return make


def _tuned(f: Make) -> Make:
    def make(asked: Asked, seed: int) -> Recipe:
        first = f(asked, seed)
        both = tuned(first, NetworkLabels(first))
        return replace(both, validate_every=both.steps)

    return make


def _fits(start: Literal["lifter", "mean", "flow"]) -> Callable[[Asked, int], Teacher]:
    return lambda asked, seed: FitLabels(start)


def _spin_labels(asked: Asked, seed: int) -> Teacher:
    return LoopLabels(_pose3d(asked, seed))


# Rows


def _rows(name: str, make: Make, paper: tuple[float, ...] = ()) -> tuple[StudyRow, ...]:
    """A network on both test sets.

    Args:
        name: of the first row.
        make: its recipe.
        paper: PA-MPJPE on 3DPW; then on MuPoTS, or along x, y, z on 3DPW.
    """
    figures = [Figures(pa_mpjpe_mm=paper[0]) if paper else None, None]
    if len(paper) == 2:
        figures[1] = Figures(pa_mpjpe_mm=paper[1])
    elif len(paper) == 4:
        figures[0] = Figures(pa_mpjpe_mm=paper[0], pa_x_mm=paper[1], pa_y_mm=paper[2], pa_z_mm=paper[3])

    def row(title: str, domain: str, known: Figures | None) -> StudyRow:
        def cell(asked: Asked, seed: int) -> Cell:
            people = test_people(domain, asked.scale, asked.mocap, SIZES[asked.scale].picture)
            return Cell(make(asked, seed), people)

        return StudyRow(title, known, cell)

    return row(name, "wild", figures[0]), row(name + SECOND, "wild2", figures[1])


def _measured(values: Values, measure: str, *names: str) -> dict[str, float]:
    found = {name: getattr(values[name], measure) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _lowest(name: str, others: tuple[str, ...]) -> Rule:
    """A figure is lower than all others."""
    rule = lower(name, others[0])
    for other in others[1:]:
        rule = rule & lower(name, other)
    return rule


def _paper_of(rows: tuple[StudyRow, ...], *names: str, measure: str = "pa_mpjpe_mm") -> dict[str, float]:
    known = {row.name: row.paper for row in rows}
    return {n: v for n in names if (f := known[n]) is not None and (v := getattr(f, measure)) is not None}


_UNIT = "mm PA-MPJPE"
_MEASURES = ("pa_mpjpe_mm", "mpjpe_mm", "mpvpe_mm")
_DEPTH = ("pa_mpjpe_mm", *AXES)
_SETS = "Rows of the second wild are judged on people in other places, seen otherwise, in poses of other subjects."
_BEGINNINGS = (
    "Where the paper begins with ImageNet's weights, small networks f begin with random ones, since no classifier fits "
    "them, and small networks g without recipes are HMR's, which see by the landmarks' backbone."
)
_SUFFIXES = (("", "", ""), (SECOND, "-second-wild", " On the second wild."))
"""Of rows, of claims' ids, of their statements: of both test sets."""


# Table 2

FIT, FLOW_FIT, _SPIN = "fits from the mean pose", "our fits, flow prior", "SPIN"
_WITHOUT_1, _WITHOUT_2, _WITHOUT_3 = (f"f without the {nth} recipe" for nth in ("first", "second", "third"))
CANDIDATES = "candidates, fitted, chosen by CEN"
F_LABELS, _VPOSER_ALONE, _FLOW = "f, all recipes", "f, VPoser without L2", "f, flow code with L2"

_ROWS_2 = (
    *_rows(FIT, _g(_fits("mean")), (64.76, 87.42)),
    *_rows(_SPIN, _g(_spin_labels), (60.70, 80.24)),
    *_rows(_WITHOUT_1, _g(_by(_f(NO_BRIDGE))), (50.82, 75.63)),
    *_rows(_WITHOUT_2, _g(_by(_f(NO_2D))), (48.84, 75.72)),
    *_rows(_WITHOUT_3, _g(_by(_f(NO_CODE))), (48.31, 75.70)),
    *_rows(F_LABELS, _g(_by(_f(ALL))), (47.52, 74.55)),
    *_rows(FLOW_FIT, _g(_fits("flow"))),
    *_rows(CANDIDATES, _g(lambda asked, seed: CandidateLabels())),
    *_rows(_VPOSER_ALONE, _g(_by(_f(replace(ALL, pose="vposer"))))),
    *_rows(_FLOW, _g(_by(_f(replace(ALL, pose="flow + L2"))))),
)


def _claims_2(values: Values, judge: Judge) -> list[Claim]:
    where = "section 3.3 and table 2"

    def compared(id: str, best: str, others: tuple[str, ...], statement: str) -> Claim:
        return judge(
            f"moon-t2-{id}",
            where,
            _lowest(best, others),
            statement=statement,
            unit=_UNIT,
            paper_values=_paper_of(_ROWS_2, best, *others),
            our_values=_measured(values, "pa_mpjpe_mm", best, *others),
        )

    found = []
    for suffix, more, said in _SUFFIXES:
        others = tuple(n + suffix for n in (FIT, _SPIN, _WITHOUT_1, _WITHOUT_2, _WITHOUT_3))
        best = (
            "An estimation network is best with the labels of an annotation network with all three recipes."
        )
        found.append(compared(f"all-recipes-best{more}", F_LABELS + suffix, others, best + said))
    for i, without in enumerate((_WITHOUT_1, _WITHOUT_2, _WITHOUT_3), 1):
        hurts = f"Labels of an annotation network without recipe {i} make a worse estimation network."
        found.append(compared(f"recipe-{i}-counts", F_LABELS, (without,), hurts))
    network = (
        "Labels of the annotation network train a better network than fits do; here our own, with a flow prior, and of "
        "candidates."
    )
    found.append(compared("network-beats-our-fits", F_LABELS, (FLOW_FIT, CANDIDATES), network))
    return found


TABLE_2 = Study(
    "Moon et al. 2023, table 2",
    _ROWS_2,
    _claims_2,
    (
        "Rows are labels of the people in the wild; the network that they train is the same one, without recipes.",
        "Fits from the mean pose are in the place of SMPLify's, but of second order; the last four are ours. What the "
        "paper says of EFT, CLIFF, NeuralAnnot and SMPLify-X has no row.",
        _BEGINNINGS,
        _SETS,
    ),
    measures=_MEASURES,
)


# Table 6

_F, _TUNED, _SEPARATE = "annotation network f", "f, fine-tuned with its labels", "separate network g"
_G_6 = Recipes("3d", "2d pose", "rotations")
_ROWS_6 = (
    *_rows(_F, _f(ALL), (48.21, 75.55)),
    *_rows(_TUNED, _tuned(_f(ALL)), (47.93, 75.13)),
    *_rows(_SEPARATE, _g(_by(_f(ALL)), _G_6), (46.21, 74.40)),
)


def _claims_6(values: Values, judge: Judge) -> list[Claim]:
    return [
        judge(
            f"moon-t6-separate-beats-f{more}",
            "section 3.4 and table 6",
            _lowest(_SEPARATE + suffix, (_F + suffix, _TUNED + suffix)),
            statement=f"A separate estimation network beats the annotation network, fine-tuned or not.{said}",
            unit=_UNIT,
            paper_values=_paper_of(_ROWS_6, *(n + suffix for n in (_SEPARATE, _F, _TUNED))),
            our_values=_measured(values, "pa_mpjpe_mm", *(n + suffix for n in (_SEPARATE, _F, _TUNED))),
        )
        for suffix, more, said in _SUFFIXES
    ]


TABLE_6 = Study("Moon et al. 2023, table 6", _ROWS_6, _claims_6, (_SETS,), measures=_MEASURES)


# Table 7

_RECIPES_7: dict[str, tuple[Recipes, tuple[tuple[float, float], ...]]] = {
    "bridge with 3D": (NO_BRIDGE, ((50.82, 75.63), (47.13, 74.43), (48.33, 74.84))),
    "2D pose network": (NO_2D, ((48.84, 75.72), (46.99, 74.58), (48.13, 74.73))),
    "VPoser with L2": (NO_CODE, ((48.31, 75.70), (46.21, 74.40), (48.13, 75.72))),
}


def _name_7(recipe: str, where: str) -> str:
    return f"{recipe}: {where}"


def _cells_7(recipe: str) -> tuple[StudyRow, ...]:
    """A recipe on neither network, on f, on g; the row with it on both is the same for all recipes."""
    without, paper = _RECIPES_7[recipe]
    chosen = {"none": (without, without), "f": (ALL, without), "g": (without, ALL)}
    rows: list[StudyRow] = []
    for (where, (f, g)), figures in zip(chosen.items(), paper, strict=True):
        rows += _rows(_name_7(recipe, where), _g(_by(_f(f)), g), figures)
    return tuple(rows)


_BOTH = "all recipes on both"
_ROWS_7 = (
    *(row for recipe in _RECIPES_7 for row in _cells_7(recipe)),
    *_rows(_BOTH, _g(_by(_f(ALL)), ALL), (45.98, 73.97)),
)


def _claims_7(values: Values, judge: Judge) -> list[Claim]:
    found = []
    for i, recipe in enumerate(_RECIPES_7, 1):
        none, on_f, on_g = (_name_7(recipe, where) for where in ("none", "f", "g"))
        found.append(
            judge(
                f"moon-t7-recipe-{i}-helps-f-more",
                "section 3.4 and table 7",
                _lowest(on_f, (on_g, none)),
                statement=f"The recipe '{recipe}' helps more on the annotation than on the estimation network.",
                unit=_UNIT,
                paper_values=_paper_of(_ROWS_7, on_f, on_g, none),
                our_values=_measured(values, "pa_mpjpe_mm", on_f, on_g, none),
            )
        )
    names = (_BOTH, *(_name_7(recipe, "f") for recipe in _RECIPES_7))
    found.append(
        judge(
            "moon-t7-both-best",
            "section 3.4 and table 7",
            _lowest(_BOTH, names[1:]),
            statement="Recipes on both networks are best.",
            unit=_UNIT,
            paper_values=_paper_of(_ROWS_7, *names),
            our_values=_measured(values, "pa_mpjpe_mm", *names),
        )
    )
    return found


TABLE_7 = Study(
    "Moon et al. 2023, table 7",
    _ROWS_7,
    _claims_7,
    (
        "The other two recipes are on both networks. The row with a recipe on both is the same for all three.",
        _SETS,
    ),
    measures=_MEASURES,
)


# Table 8

_FIRST_8, _MORE_8, _BRIDGE_8 = "no bridge", "95 times more 2D", "bridge with 3D"
_F_8 = Recipes("none", "random", "vposer + L2")
_ROWS_8 = (
    *_rows(_FIRST_8, _g(_by(_f(_F_8))), (53.02, 77.04)),
    *_rows(_MORE_8, _g(_by(_f(_F_8, more=True))), (53.86, 78.49)),
    *_rows(_BRIDGE_8, _g(_by(_f(replace(_F_8, bridge="3d")))), (51.61, 75.37)),
)


def _claims_8(values: Values, judge: Judge) -> list[Claim]:
    return [
        judge(
            f"moon-t8-little-3d-beats-more-2d{more}",
            "section 3.4 and table 8",
            _lowest(_BRIDGE_8 + suffix, (_MORE_8 + suffix, _FIRST_8 + suffix)),
            statement=f"A little 3D in the wild makes better labels than 95 times as many people with 2D labels.{said}",
            unit=_UNIT,
            paper_values=_paper_of(_ROWS_8, *(n + suffix for n in (_BRIDGE_8, _MORE_8, _FIRST_8))),
            our_values=_measured(
                values, "pa_mpjpe_mm", *(n + suffix for n in (_BRIDGE_8, _MORE_8, _FIRST_8))
            ),
        )
        for suffix, more, said in _SUFFIXES
    ]


TABLE_8 = Study(
    "Moon et al. 2023, table 8",
    _ROWS_8,
    _claims_8,
    (
        "Rows are training sets of f, which begins with random weights (the paper's: ImageNet's), with VPoser and L2.",
        _BEGINNINGS,
        _SETS,
    ),
    measures=_MEASURES,
)


# Table 9

_FLAT_9 = "bridge without its 3D"
_ROWS_9 = (
    *_rows(_FIRST_8, _g(_by(_f(_F_8))), (53.02, 18.7, 19.4, 38.1)),
    *_rows(_FLAT_9, _g(_by(_f(replace(_F_8, bridge="2d")))), (53.66, 18.8, 19.6, 38.6)),
    *_rows(_BRIDGE_8, _g(_by(_f(replace(_F_8, bridge="3d")))), (51.61, 18.4, 19.2, 36.9)),
)


def _gains(figures: dict[str, dict[str, float]], first: str, second: str) -> dict[str, float]:
    """By how much each axis' error falls from one row to another."""
    return {f"gain in {axis}": figures[axis][first] - figures[axis][second] for axis in figures}


def _axes_claim(
    rows: tuple[StudyRow, ...],
    values: Values,
    judge: Judge,
    id: str,
    where: str,
    names: tuple[str, str],
    text: str,
) -> Claim:
    """The gain of the second row over the first is mostly in z."""
    ours = {axis: _measured(values, f"pa_{axis}_mm", *names) for axis in "xyz"}
    papers = {axis: _paper_of(rows, *names, measure=f"pa_{axis}_mm") for axis in "xyz"}
    return judge(
        id,
        where,
        lower("gain in x", "gain in z") & lower("gain in y", "gain in z"),
        statement=text,
        unit="mm",
        paper_values=_gains(papers, *names),
        our_values=_gains(ours, *names),
    )


def _claims_9(values: Values, judge: Judge) -> list[Claim]:
    where = "section 3.4 and table 9"
    names = (_BRIDGE_8, _FLAT_9, _FIRST_8)
    return [
        judge(
            "moon-t9-the-3d-counts",
            where,
            _lowest(_BRIDGE_8, names[1:]),
            statement="The gain is not from the bridge's pictures but from their 3D labels.",
            unit=_UNIT,
            paper_values=_paper_of(_ROWS_9, *names),
            our_values=_measured(values, "pa_mpjpe_mm", *names),
        ),
        _axes_claim(
            _ROWS_9,
            values,
            judge,
            "moon-t9-gain-in-depth",
            where,
            (_FLAT_9, _BRIDGE_8),
            "Most of the gain of the bridge's 3D labels is along z.",
        ),
    ]


TABLE_9 = Study("Moon et al. 2023, table 9", _ROWS_9, _claims_9, TABLE_8.notes, measures=_DEPTH)


# Table 10

_RANDOM, _POSE_3D, _POSE_2D = "random weights", "3D pose network", "2D pose network"
_ROWS_10 = (
    *_rows(_RANDOM, _g(_by(_f(NO_2D))), (51.61, 18.4, 19.2, 36.9)),
    *_rows(_POSE_3D, _g(_by(_f(replace(ALL, begin="3d pose")))), (51.62, 18.4, 19.0, 37.0)),
    *_rows(_POSE_2D, _g(_by(_f(ALL))), (47.52, 17.4, 18.4, 33.0)),
)


def _claims_10(values: Values, judge: Judge) -> list[Claim]:
    where = "section 3.4 and table 10"
    names = (_POSE_2D, _RANDOM, _POSE_3D)
    return [
        judge(
            "moon-t10-2d-pose-start",
            where,
            _lowest(_POSE_2D, names[1:]),
            statement="An annotation network that begins with a 2D pose network makes better labels than one that "
            "begins with a classifier (here: with random weights) or with a 3D pose network.",
            unit=_UNIT,
            paper_values=_paper_of(_ROWS_10, *names),
            our_values=_measured(values, "pa_mpjpe_mm", *names),
        ),
        _axes_claim(
            _ROWS_10,
            values,
            judge,
            "moon-t10-gain-in-depth",
            where,
            (_RANDOM, _POSE_2D),
            "The gain of beginning with a 2D pose network is mostly along z.",
        ),
    ]


TABLE_10 = Study(
    "Moon et al. 2023, table 10",
    _ROWS_10,
    _claims_10,
    (
        _BEGINNINGS,
        "The 3D pose network is SPIN, as EFT's, the 2D one trains four times a table's steps on the "
        "wild's 2D labels.",
        _SETS,
    ),
    measures=_DEPTH,
)
