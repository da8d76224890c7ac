"""The rows of table 1 of Zanfir et al. 2020, and what the paper finds by them."""

from dataclasses import dataclass
from typing import Any, Literal

from bodyloop.evaluate.claims import Claim, Rule, at_most, lower
from bodyloop.evaluate.tables import Figures
from bodyloop.fit.solve import Backend
from bodyloop.fit.spaces import SpaceKind

WITH_PARTS = ", KA + BA"
"""Ending of the names of rows with body parts."""


@dataclass(frozen=True)
class Method:
    """A way to fit.

    Attributes:
        name: of the row.
        prior: name for `load_prior`.
        space: ambient or latent.
        paper: MPJPE and MPVPE in mm of the paper's row with keypoints (KA), None where it has none.
        paper_parts: the same of the row with keypoints and body parts (KA + BA).
        start: pose to start from in four orientations: "zero" (the paper's: zero angles, the latent zero) or
            "middle", the prior's own mean.
        backend: "auto" for the second-order solvers, "lbfgs" for the paper's kind.
        robust: also measured with missing and noisy joints.
        rounds: of estimating the joints' noise and fitting on (`FitConfig.rounds`), for which no weight is tuned.
    """

    name: str
    prior: str
    space: SpaceKind
    paper: tuple[float, float] | None
    paper_parts: tuple[float, float] | None = None
    start: Literal["zero", "middle"] = "zero"
    backend: Backend = "auto"
    robust: bool = True
    rounds: int = 0


METHODS = (
    Method("mixture, AA", "gmm", "ambient", (79, 104), (69, 96)),
    Method("VPoser z, 6D", "vae", "latent", (46, 67)),
    Method("light flow z, 6D", "flow-light", "latent", (43, 60)),
    Method("HMR, RM", "adversarial", "ambient", (119, 153)),
    Method("flow ambient, AA", "flow-aa", "ambient", (62, 84), (60, 81)),
    Method("flow z, AA", "flow-aa", "latent", (50, 71), (49, 69)),
    Method("flow ambient, 6D", "flow", "ambient", (61, 84), (58, 80)),
    Method("flow z, 6D", "flow", "latent", (51, 68), (48, 66)),
    Method("PReLU flow z, 6D", "flow-prelu", "latent", None, robust=False),
    Method("mixture, AA, from its mean", "gmm", "ambient", None, start="middle"),
    Method("mixture, AA, mean, rounds", "gmm", "ambient", None, start="middle", rounds=2),
    Method("flow z, 6D, rounds", "flow", "latent", None, rounds=2),
    Method("light flow z, 6D, rounds", "flow-light", "latent", None, rounds=2),
    Method("mixture, AA, L-BFGS", "gmm", "ambient", None, backend="lbfgs", robust=False),
    Method("flow z, 6D, L-BFGS", "flow", "latent", None, backend="lbfgs", robust=False),
)
"""The paper's rows that need no data but motion capture, in its order, and ours that explain them."""


def claims(figures: dict[str, Figures], scale: str, seed: int) -> list[Claim]:
    """The paper's findings of section 3, judged by our figures."""
    paper = {m.name: m.paper for m in METHODS if m.paper is not None}
    common = {"paper": "Zanfir et al. 2020", "scale": scale, "seeds": (seed,), "command": "", "date": ""}

    def error(row: str, vertices: bool = False) -> float:
        return float((figures[row].mpvpe_mm if vertices else figures[row].mpjpe_mm) or 0.0)

    def judge(name: str, statement: str, rule: Rule, rows: dict[str, str], vertices: bool = False) -> Claim:
        return Claim.judge(
            rule,
            id=f"zanfir-t1-{name}",
            where="table 1",
            statement=statement,
            paper_values={key: float(paper[row][int(vertices)]) for key, row in rows.items()},
            our_values={key: round(error(row, vertices), 2) for key, row in rows.items()},
            unit="mm MPVPE" if vertices else "mm MPJPE",
            **common,
        )

    without_nvp = round(error("PReLU flow z, 6D") / error("flow z, 6D"), 3)

    return [
        judge(
            "latent-beats-ambient",
            "Fitting in the flow's latent space is better than in ambient space, in both representations.",
            lower("latent 6D", "ambient 6D") & lower("latent AA", "ambient AA"),
            {
                "latent 6D": "flow z, 6D",
                "ambient 6D": "flow ambient, 6D",
                "latent AA": "flow z, AA",
                "ambient AA": "flow ambient, AA",
            },
        ),
        judge(
            "light-flow-43-mm",
            "The light flow, fitted in latent space, reaches 43 mm.",
            at_most("light flow", 43),
            {"light flow": "light flow z, 6D"},
        ),
        judge(
            "flow-beats-vposer",
            "A light flow of about 93,000 numbers beats VPoser with about 344,000.",
            at_most("light flow", "VPoser", 0.93),
            {"light flow": "light flow z, 6D", "VPoser": "VPoser z, 6D"},
        ),
        judge(
            "flow-beats-mixture",
            "The flow in latent space has 0.65 of the mixture's error.",
            at_most("flow", "mixture", 0.65),
            {"flow": "flow z, 6D", "mixture": "mixture, AA"},
        ),
        judge(
            "6d-beats-axis-angle",
            "6D performs slightly better than axis-angle.",
            lower("6D", "AA"),
            {"6D": "flow z, 6D", "AA": "flow z, AA"},
            vertices=True,
        ),
        judge(
            "hmr-is-worst",
            "The adversarial prior has the largest error.",
            lower("mixture", "HMR") & lower("VPoser", "HMR") & lower("flow", "HMR"),
            {"mixture": "mixture, AA", "VPoser": "VPoser z, 6D", "flow": "flow z, 6D", "HMR": "HMR, RM"},
        ),
        _parts_claim(figures, common),
        Claim.judge(
            at_most("PReLU / NVP", 1.02),
            id="zanfir-s21-nvp-is-marginal",
            where="section 2.1",
            statement="A flow with parametric ReLUs instead of Real-NVP loses 2 %.",
            paper_values={"PReLU / NVP": 1.02},
            our_values={"PReLU / NVP": without_nvp},
            unit="ratio of errors",
            **common,
        ),
    ]


def _parts_claim(figures: dict[str, Figures], common: dict[str, Any]) -> Claim:
    """Whether every row is better with body parts."""
    rows = {m.name: m for m in METHODS if m.paper is not None and m.paper_parts is not None}
    rule: Rule | None = None
    paper: dict[str, float] = {}
    ours: dict[str, float] = {}
    for name, m in rows.items():
        assert m.paper is not None, "rows with body parts have one without"
        assert m.paper_parts is not None, "chosen so"
        with_parts, alone = f"{name} KA + BA", f"{name} KA"
        paper |= {alone: float(m.paper[0]), with_parts: float(m.paper_parts[0])}
        ours |= {
            alone: round(float(figures[name].mpjpe_mm or 0.0), 2),
            with_parts: round(float(figures[f"{name}{WITH_PARTS}"].mpjpe_mm or 0.0), 2),
        }
        one = lower(with_parts, alone)
        rule = one if rule is None else rule & one
    assert rule is not None, "the paper has such rows"
    return Claim.judge(
        rule,
        id="zanfir-t1-parts-help",
        where="table 1",
        statement="Body part alignment lowers the error under every prior.",
        paper_values=paper,
        our_values=ours,
        unit="mm MPJPE",
        **common,
    )
