"""Zanfir, Bazavan, Xu, Freeman, Sukthankar, Sminchisescu, "Weakly Supervised 3D Human Pose and Shape Reconstruction
with Normalizing Flows", 2020.

The studio plays H80K, the wild COCO. Full supervision (FS) here is L_fs alone, on the pictures of a share of the
studio, as section 4 says of table 2; weak supervision (WS) is L_ws on all of its pictures.
"""

from collections.abc import Callable
from dataclasses import replace

from bodyloop.data.labels import Labels
from bodyloop.evaluate.claims import Claim, Rule, at_least, lower
from bodyloop.evaluate.tables import Figures
from bodyloop.studies.networks import Cell, for_table, test_people
from bodyloop.studies.study import Asked, Study, StudyRow, Values
from bodyloop.train.config import Phase, Recipe, Scale, Supervision, SyntheticData
from bodyloop.train.recipes import SIZES, zanfir

Judge = Callable[..., Claim]


def _share(data: SyntheticData, share: float) -> SyntheticData:
    """The first pictures of a data set."""
    return replace(data, count=max(2, round(share * data.count)))


def _parts_of(recipe: Recipe) -> tuple[Phase, Phase, SyntheticData, SyntheticData]:
    """Both phases, the studio and the wild."""
    full, weak = recipe.phases
    studio, wild = full.data[0], weak.data[0]
    assert isinstance(studio, SyntheticData), "the recipe's data are synthetic"
    assert isinstance(wild, SyntheticData), "the recipe's data are synthetic"
    return full, weak, studio, wild


def _l_fs(losses: Supervision) -> Supervision:
    """L_fs (eq. 10) alone; heatmaps and part maps still learn."""
    return replace(losses, keypoints=0.0, parts=0.0, prior=0.0, shape=0.0)


def _row(name: str, paper: Figures | None, domain: str, make: Callable[[Scale], Recipe | None]) -> StudyRow:
    """A row; without a recipe the network is not trained at all."""

    def cell(asked: Asked, seed: int) -> Cell:
        people = test_people(domain, asked.scale, asked.mocap, SIZES[asked.scale].picture)
        recipe = make(asked.scale)
        chosen = zanfir(asked.scale) if recipe is None else recipe
        return Cell(for_table(chosen, asked.scale, asked.mocap, seed), people, recipe is not None)

    return StudyRow(name, paper, cell)


# Table 2

SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_PAPER_2 = {
    "FS": ((649, 677), (117, 136), (101, 118), (93, 109), (86, 102), (83, 97.15)),
    "WS": ((123, 140), (97, 111), (92, 108), (90, 106), (85, 101), (84, 98.85)),
}


def _table_2(regime: str, share: float) -> Callable[[Scale], Recipe | None]:
    def make(scale: Scale) -> Recipe | None:
        recipe = zanfir(scale)
        full, weak, studio, _ = _parts_of(recipe)
        first = replace(full, data=(_share(studio, share),), losses=_l_fs(full.losses))
        second = replace(weak, data=(replace(studio, labels=Labels(dense=0.0, three_d=0.0)),))
        phases = (first,) if regime == "FS" else (first, second)
        if not share:
            if regime == "FS":
                return None
            phases = (second,)
        return replace(recipe, phases=phases)

    return make


def _name_2(regime: str, share: float) -> str:
    return f"{regime}, {share:.0%} supervised"


def _mpjpe(values: Values, *names: str) -> dict[str, float]:
    found = {name: values[name].mpjpe_mm for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _claims_2(values: Values, judge: Judge) -> list[Claim]:
    paper = {
        _name_2(r, s): float(f[0]) for r, row in _PAPER_2.items() for s, f in zip(SHARES, row, strict=True)
    }
    pairs = [(_name_2("WS", share), _name_2("FS", share)) for share in SHARES]
    some = [name for pair in pairs[:-1] for name in pair]
    rule: Rule | None = None
    for weak, full in pairs[:-1]:
        rule = lower(weak, full) if rule is None else rule & lower(weak, full)
    assert rule is not None, "there are shares"
    none, fifth = pairs[0][0], pairs[1][1]
    return [
        judge(
            "zanfir-t2-weak-never-hurts",
            "section 4, table 2",
            rule,
            statement="Weak supervision improves performance whenever additional pictures are available.",
            unit="mm MPJPE",
            paper_values={name: paper[name] for name in some},
            our_values=_mpjpe(values, *some),
        ),
        judge(
            "zanfir-t2-weak-rescues-none",
            "section 4, table 2",
            lower(none, fifth, 1.06),
            statement="Without any 3D label weak supervision comes close to full supervision with 20 % (123, 117).",
            unit="mm MPJPE",
            paper_values={name: paper[name] for name in (none, fifth)},
            our_values=_mpjpe(values, none, fifth),
        ),
    ]


TABLE_2 = Study(
    "Zanfir et al. 2020, table 2",
    tuple(
        _row(
            _name_2(regime, share),
            Figures(mpjpe_mm=figures[0], mpvpe_mm=figures[1]),
            "studio",
            _table_2(regime, share),
        )
        for regime, row in _PAPER_2.items()
        for share, figures in zip(SHARES, row, strict=True)
    ),
    _claims_2,
    ("FS with 0 % is the network before any training.",),
)


# Figure 4

AMOUNTS = (0.2, 1.0)
_FS, _ONLY = "FS on the studio", "WS only, KA + BA"


def _figure_4(phases: str, parts: bool = True, amount: float = 1.0) -> Callable[[Scale], Recipe]:
    """FS, WS or both."""

    def make(scale: Scale) -> Recipe:
        recipe = zanfir(scale, parts=parts)
        _, weak, _, wild = _parts_of(recipe)
        # Without part alignment the network still learns to see parts: the beginning is the same for all.
        full = _parts_of(zanfir(scale))[0]
        first = replace(full, losses=_l_fs(full.losses))
        second = replace(weak, data=(_share(wild, amount),))
        chosen = [phase for phase, name in ((first, "FS"), (second, "WS")) if name in phases]
        return replace(recipe, phases=tuple(chosen))

    return make


def _name_4(kind: str, amount: float) -> str:
    return f"FS + WS ({kind}), {amount:.0%} of the wild"


def _claims_4(values: Values, judge: Judge) -> list[Claim]:
    ka, ba = _name_4("KA", 1.0), _name_4("KA + BA", 1.0)
    pixels = {name: values[name].keypoint_px for name in (_FS, ka, ba)}
    iou = {name: values[name].part_iou for name in (_FS, ka, ba)}
    return [
        judge(
            "zanfir-f4-pixels",
            "section 4, figure 4",
            lower(ka, _FS) & lower(ba, _FS),
            statement="Weakly supervised fine-tuning in the wild lowers the pixel error of the projected joints.",
            unit="px",
            paper_values={},
            our_values={k: v for k, v in pixels.items() if v is not None},
        ),
        judge(
            "zanfir-f4-parts",
            "section 4, figure 4",
            at_least(ba, ka) & at_least(ba, _FS),
            statement="With body part alignment the IoU of body parts grows, and more than with keypoints alone.",
            unit="IoU",
            paper_values={},
            our_values={k: v for k, v in iou.items() if v is not None},
        ),
    ]


FIGURE_4 = Study(
    "Zanfir et al. 2020, figure 4",
    (
        _row(_FS, None, "wild", _figure_4("FS")),
        _row(_ONLY, None, "wild", _figure_4("WS")),
        *(
            _row(_name_4(kind, amount), None, "wild", _figure_4("FS, WS", "BA" in kind, amount))
            for kind in ("KA", "KA + BA")
            for amount in AMOUNTS
        ),
    ),
    _claims_4,
    ("Part IoU has a ceiling below 1 here, since maps are small and people in the wild are partly hidden.",),
)
