"""The claims ledger: what the papers found, what we found on the same comparison, and whether it holds.

``docs/claims.json`` is a list of claims, ``docs/claims.md`` a page made from it. Both are written by
``bodyloop reproduce --docs`` alone. Whether a claim holds is never said by hand: its statement ends with a rule,
such as "Holds if latent < ambient.", and the rule judges our figures whenever a claim is made or read::

    Claim.judge(
        lower("latent", "ambient") & at_most("latent", 43),
        id="zanfir-t1-latent-beats-ambient",
        statement="Optimising in latent space beats ambient space.",
        our_values={"latent": 41.9, "ambient": 52.3},
        ...
    )
"""

import json
import math
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any

from bodyloop.errors import InputError
from bodyloop.writing import write_atomic

_SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_COMPARISON = re.compile(r"(?P<left>.+?) (?P<sign><=?|>=?) (?:(?P<share>[\d.]+) x )?(?P<right>.+)")
_HOLDS_IF = " Holds if "


@dataclass(frozen=True)
class Rule:
    """Comparisons of named figures, all of which must be true; made by `lower`, `at_most`, `at_least` and `&`.

    Attributes:
        text: as the page shows it: "latent < ambient and latent <= 43".
    """

    text: str

    def __and__(self, other: "Rule") -> "Rule":
        return Rule(f"{self.text} and {other.text}")

    def __call__(self, values: Mapping[str, float]) -> bool:
        """Whether figures satisfy the rule.

        Raises:
            ValueError: if a figure is missing, or the text is no rule.
        """
        return all([_is_true(comparison, values) for comparison in self.text.split(" and ")])


def lower(first: str, second: str, share: float = 1.0) -> Rule:
    """The first figure is lower than the second, or than a share of it."""
    return Rule(f"{first} < {second}" if share == 1 else f"{first} < {share:g} x {second}")


def at_most(name: str, limit: float | str, share: float = 1.0) -> Rule:
    """A figure is at most a number, or a share of another figure."""
    return Rule(f"{name} <= {_text_of(limit)}" if share == 1 else f"{name} <= {share:g} x {_text_of(limit)}")


def at_least(name: str, limit: float | str, share: float = 1.0) -> Rule:
    """A figure is at least a number, or a share of another figure."""
    return Rule(f"{name} >= {_text_of(limit)}" if share == 1 else f"{name} >= {share:g} x {_text_of(limit)}")


def _text_of(limit: float | str) -> str:
    return limit if isinstance(limit, str) else f"{limit:g}"


def _is_true(comparison: str, values: Mapping[str, float]) -> bool:
    """Judge "left < right", "left <= 0.9 x right" or "left >= 43"."""
    found = _COMPARISON.fullmatch(comparison)
    if found is None:
        raise ValueError(f"expected a rule such as 'latent < ambient', got {comparison!r}")
    left, sign, share, right = found.group("left", "sign", "share", "right")
    first = _figure(left, values)
    second = float(share or 1) * (_figure(right, values) if right in values else _number(right, values))
    return bool(_SIGNS[sign](first, second))


def _figure(name: str, values: Mapping[str, float]) -> float:
    if name not in values:
        raise ValueError(f"the rule speaks of {name!r}; our figures are {', '.join(values) or 'none'}")
    return values[name]


def _number(text: str, values: Mapping[str, float]) -> float:
    try:
        return float(text)
    except ValueError:
        return _figure(text, values)


@dataclass(frozen=True)
class Claim:
    """One finding of a paper, checked.

    Attributes:
        id: paper, table or figure, finding: "zanfir-t1-latent-beats-ambient".
        paper: "Zanfir et al. 2020".
        where: table, figure or section in the paper.
        statement: what the paper found, ending with the rule that judges our figures.
        paper_values: the paper's figures by name.
        our_values: ours by name; the rule speaks of these names.
        unit: of the figures.
        holds: what the rule says of our figures.
        scale: in words, what ours was measured on.
        seeds: of all random draws.
        command: that measures ours.
        date: of the measurement, "2026-11-21".
    """

    id: str
    paper: str
    where: str
    statement: str
    paper_values: dict[str, float]
    our_values: dict[str, float]
    unit: str
    holds: bool
    scale: str
    seeds: tuple[int, ...]
    command: str
    date: str

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (*self.paper_values.values(), *self.our_values.values()))):
            raise ValueError(f"claim {self.id}: figures that are not finite: {self.our_values}")
        if self.rule(self.our_values) != self.holds:
            raise ValueError(
                f"claim {self.id}: its rule, {self.rule.text!r}, says {not self.holds} of {self.our_values}, got "
                f"holds {self.holds}; run its command again: {self.command}"
            )

    @classmethod
    def judge(cls, rule: Rule, *, statement: str, our_values: Mapping[str, float], **others: Any) -> "Claim":
        """A claim that holds if the rule says so; `statement` is what the paper found, without the rule.

        Raises:
            ValueError: if the rule speaks of a figure that is missing, or a figure is not finite.
        """
        return cls(
            statement=f"{statement}{_HOLDS_IF}{rule.text}.",
            our_values=dict(our_values),
            holds=rule(our_values),
            **others,
        )

    @property
    def rule(self) -> Rule:
        """What the statement ends with."""
        finding, found, rule = self.statement.rpartition(_HOLDS_IF)
        if not found or not finding:
            raise ValueError(
                f"claim {self.id}: expected a statement that ends with '{_HOLDS_IF.strip()} ...'"
            )
        return Rule(rule.removesuffix("."))


@dataclass(frozen=True)
class Ledger:
    """All claims that were checked, in a folder.

    Attributes:
        folder: holds ``claims.json`` and ``claims.md``.
        claims: sorted by id.
    """

    folder: Path
    claims: tuple[Claim, ...] = ()

    @classmethod
    def read(cls, folder: str | Path) -> "Ledger":
        """The ledger of a folder; empty where nothing was recorded yet.

        Raises:
            InputError: no such folder, or a file that is no ledger.
        """
        folder = Path(folder)
        path = folder / "claims.json"
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; expected the documentation folder of the repository")
        if not path.exists():
            return cls(folder)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(stored, list):
                raise ValueError(f"the top is of type {type(stored).__name__}")
            return cls(folder, _sorted(_claim_from(entry) for entry in stored))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: expected a list of claims as 'bodyloop reproduce --docs' writes it, each with "
                f"{', '.join(f.name for f in fields(Claim))}, got: {error}"
            ) from None

    def record(self, claims: Iterable[Claim]) -> "Ledger":
        """Write new claims in place of those of the same id, keep the others, and renew the page.

        Returns:
            the ledger as it is now.

        Raises:
            InputError: if the files cannot be written.
        """
        kept = {claim.id: claim for claim in (*self.claims, *claims)}
        ledger = Ledger(self.folder, _sorted(kept.values()))
        entries = [asdict(claim) for claim in ledger.claims]
        text = json.dumps(entries, indent=1, ensure_ascii=False) + "\n"
        write_atomic(self.folder / "claims.json", text.encode())
        write_atomic(self.folder / "claims.md", page(ledger.claims).encode())
        return ledger


def _sorted(claims: Iterable[Claim]) -> tuple[Claim, ...]:
    return tuple(sorted(claims, key=lambda claim: claim.id))


def _claim_from(entry: Any) -> Claim:
    """A claim out of JSON.

    Raises:
        ValueError: missing or unknown fields, wrong types, or a verdict that is not the rule's.
    """
    names = {f.name for f in fields(Claim)}
    if not isinstance(entry, dict) or set(entry) != names:
        got = sorted(entry) if isinstance(entry, dict) else entry
        raise ValueError(f"an entry with {got}")
    texts = names - {"paper_values", "our_values", "seeds", "holds"}
    if not all(isinstance(entry[name], str) for name in texts) or not isinstance(entry["holds"], bool):
        raise ValueError(
            f"claim {entry['id']}: text that is no text, or 'holds' that is neither true nor false"
        )
    for name in ("paper_values", "our_values"):
        if not isinstance(entry[name], dict) or not all(map(_is_number, entry[name].values())):
            raise ValueError(f"claim {entry['id']}: {name} that are no numbers by name")
    if not isinstance(entry["seeds"], list) or not all(type(seed) is int for seed in entry["seeds"]):
        raise ValueError(f"claim {entry['id']}: seeds that are no whole numbers")
    return Claim(**{**entry, "seeds": tuple(entry["seeds"])})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def page(claims: Iterable[Claim]) -> str:
    """``claims.md``: a table a paper."""
    lines = [
        "# Claims",
        "",
        "What the papers found, and what `bodyloop` finds on the same comparison. Written by `bodyloop reproduce` from "
        "`claims.json`; each claim is judged by the rule that stands with it, on our figures alone.",
    ]
    by_paper = sorted(claims, key=lambda claim: (claim.paper, claim.id))
    for paper, group in groupby(by_paper, key=lambda claim: claim.paper):
        lines += ["", f"## {paper}", ""]
        titles = ["claim", "paper", "ours", "verdict", "measured on", "command"]
        lines += [_row(titles), _row(["---"] * len(titles))]
        lines += [_row(_cells(claim)) for claim in group]
    return "\n".join(lines) + "\n"


def _cells(claim: Claim) -> list[str]:
    seeds = f"{'seed' if len(claim.seeds) == 1 else 'seeds'} {', '.join(map(str, claim.seeds))}"
    return [
        f"{claim.statement} ({claim.where}; `{claim.id}`)",
        _figures(claim.paper_values, claim.unit),
        _figures(claim.our_values, claim.unit),
        "holds" if claim.holds else "**does not hold**",
        f"{claim.scale}; {seeds}; {claim.date}",
        f"`{claim.command}`",
    ]


def _figures(values: Mapping[str, float], unit: str) -> str:
    return "<br>".join(f"{name}: {value:.4g} {unit}".rstrip() for name, value in values.items()) or "-"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
