"""`Scores`: what was measured of N people, person by person, with its table, JSON and CSV."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bodyloop.evaluate.segmentation import Confusion
from bodyloop.writing import write_atomic


@dataclass(frozen=True)
class Metric:
    """How a measure is shown.

    Attributes:
        title: as papers call it.
        unit: "mm", "px", or "%" for shares, which are 0 to 1 inside.
        higher_is_better: as of a share of right answers; False for errors.
    """

    title: str
    unit: str
    higher_is_better: bool = False

    def text(self, value: float) -> str:
        """A value as a table shows it, "-" for NaN."""
        if math.isnan(value):
            return "-"
        return f"{100 * value:.1f}" if self.unit == "%" else f"{value:.1f}"


METRICS: dict[str, Metric] = {
    "mpjpe_mm": Metric("MPJPE", "mm"),
    "pa_mpjpe_mm": Metric("PA-MPJPE", "mm"),
    "pa_x_mm": Metric("PA-MPJPE x", "mm"),
    "pa_y_mm": Metric("PA-MPJPE y", "mm"),
    "pa_z_mm": Metric("PA-MPJPE z", "mm"),
    "pve_mm": Metric("PVE", "mm"),
    "pa_pve_mm": Metric("PA-PVE", "mm"),
    "pve_t_mm": Metric("PVE-T", "mm"),
    "dkd_px": Metric("DKD", "px"),
    "pck": Metric("PCK", "%", True),
    "auc": Metric("AUC", "%", True),
    "pa_pck": Metric("PA-PCK", "%", True),
    "pa_auc": Metric("PA-AUC", "%", True),
    "pck_abs": Metric("absolute PCK", "%", True),
    "pckh": Metric("PCKh", "%", True),
    "silhouette_iou": Metric("silhouette IoU", "%", True),
    "part_iou_6": Metric("IoU of 6 parts", "%", True),
    "part_iou_14": Metric("IoU of 14 parts", "%", True),
    "part_iou_24": Metric("IoU of 24 parts", "%", True),
    "fb_accuracy": Metric("FB accuracy", "%", True),
    "fb_f1": Metric("FB F1", "%", True),
    "part_accuracy": Metric("part accuracy", "%", True),
    "part_f1": Metric("part F1", "%", True),
}
"""Every measure, by its key in `Scores.values` and `Scores.pooled`. FB is foreground against background."""


@dataclass(frozen=True)
class Line:
    """A row of the table of `Scores`.

    Attributes:
        metric: key in `METRICS`.
        value: mean over the people of whom it was measured, or the data set's figure; NaN if there are none.
        median: over people; NaN for a figure of the data set.
        people: of whom it was measured.
        pooled: whether it is the data set's own figure, from all people's pixels together.
    """

    metric: str
    value: float
    median: float
    people: int
    pooled: bool


@dataclass(frozen=True, eq=False)
class Scores:
    """Measures of N people.

    Attributes:
        name: of what: a protocol's name.
        people: N labels, as "im1001.jpg".
        values: key of `METRICS` -> (N,) float64; NaN where a person's could not be measured.
        joints: J names.
        joint_errors: (N, J) mm, in the alignment of MPJPE; NaN where unknown.
        confusions: partition ("foreground" for two classes) -> counts of N people's pixels.
        ignored_as_background: whether pixels without a true class count as background in the accuracies, as in
            UP-3D's evaluation (`Confusion.accuracy`).
        groups: N names, or none; with them the table's figures are means of the groups' means, as MuPoTS averages its
            sequences.
        notes: what one should know to read the figures, a sentence each.
    """

    name: str
    people: tuple[str, ...]
    values: Mapping[str, Tensor]
    joints: tuple[str, ...] = ()
    joint_errors: Tensor | None = None
    confusions: Mapping[str, Confusion] = field(default_factory=dict)
    ignored_as_background: bool = False
    groups: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.people)
        sizes = {key: tuple(value.shape) for key, value in self.values.items()}
        wrong = {key: shape for key, shape in sizes.items() if shape != (count,)}
        unknown = [key for key in sizes if key not in METRICS]
        if self.groups and len(self.groups) != count:
            wrong["groups"] = (len(self.groups),)
        if wrong or unknown:
            raise ValueError(
                f"Scores needs a value for each of {count} people under keys of METRICS, got shapes {wrong} and "
                f"unknown keys {unknown}"
            )

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, index: Tensor) -> "Scores":
        """Some of the people: (M,) numbers or (N,) bool."""
        numbers = torch.arange(len(self))[index]
        return Scores(
            self.name,
            tuple(self.people[i] for i in numbers.tolist()),
            {key: value[numbers] for key, value in self.values.items()},
            self.joints,
            None if self.joint_errors is None else self.joint_errors[numbers],
            {key: value[numbers] for key, value in self.confusions.items()},
            self.ignored_as_background,
            tuple(self.groups[i] for i in numbers.tolist()) if self.groups else (),
            self.notes,
        )

    @staticmethod
    def cat(parts: "Sequence[Scores]") -> "Scores":
        """Scores of more people in one: the first's name, notes, and measures, which all have to have."""
        first = parts[0]
        return Scores(
            first.name,
            tuple(label for part in parts for label in part.people),
            {key: torch.cat([part.values[key] for part in parts]) for key in first.values},
            first.joints,
            None
            if first.joint_errors is None
            else torch.cat([part.joint_errors for part in parts if part.joint_errors is not None]),
            {key: Confusion.cat([part.confusions[key] for part in parts]) for key in first.confusions},
            first.ignored_as_background,
            tuple(group for part in parts for group in part.groups),
            first.notes,
        )

    def pooled(self) -> dict[str, float]:
        """The data set's segmentation figures, from all people's pixels together (SPIN, table 2)."""
        found: dict[str, float] = {}
        for kind, prefix in (("foreground", "fb"), ("lsp", "part")):
            if kind in self.confusions:
                together = self.confusions[kind].pooled()
                found[f"{prefix}_accuracy"] = float(together.accuracy(self.ignored_as_background))
                found[f"{prefix}_f1"] = float(together.f1())
        return found

    def mean(self, metric: str) -> float:
        """Mean over the people of whom it was measured; the data set's figure for those of `pooled`.

        Raises:
            KeyError: if it was not measured.
        """
        return {line.metric: line.value for line in self.table()}[metric]

    def table(self) -> list[Line]:
        """A line for every measure, in the order of `METRICS`."""
        pooled = self.pooled()
        lines = []
        for key in METRICS:
            if key in self.values:
                known = self.values[key][~self.values[key].isnan()]
                # The middle of both middle values, where torch takes the lower.
                median = float(known.quantile(0.5)) if len(known) else math.nan
                lines.append(Line(key, self._mean(key), median, len(known), False))
            elif key in pooled:
                lines.append(Line(key, pooled[key], math.nan, len(self), True))
        return lines

    def _mean(self, key: str) -> float:
        """Mean over the people of whom it was measured, or over the groups of them."""
        values = self.values[key]
        if not self.groups:
            return float(values.nanmean())
        names = sorted(set(self.groups))
        means = [values[[group == name for group in self.groups]].nanmean() for name in names]
        return float(torch.stack(means).nanmean())

    def joint_means(self) -> dict[str, float]:
        """Mean error in mm by joint, over the people of whom it is known."""
        if self.joint_errors is None:
            return {}
        return dict(zip(self.joints, self.joint_errors.nanmean(0).tolist(), strict=True))

    def order(self, metric: str) -> Tensor:
        """Numbers of the people from worst to best; those of whom it was not measured are left out.

        Raises:
            KeyError: if it was not measured person by person.
        """
        values = self.values[metric]
        known = (~values.isnan()).nonzero()[:, 0]
        return known[values[known].argsort(descending=not METRICS[metric].higher_is_better, stable=True)]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dicts and numbers; null for what is not a number. Shares are 0 to 1."""
        return {
            "name": self.name,
            "notes": list(self.notes),
            "count": len(self),
            "table": [
                {
                    "metric": line.metric,
                    "title": METRICS[line.metric].title,
                    "unit": METRICS[line.metric].unit,
                    "value": _number(line.value),
                    "median": _number(line.median),
                    "people": line.people,
                    "pooled": line.pooled,
                }
                for line in self.table()
            ],
            "joints_mm": {name: _number(value) for name, value in self.joint_means().items()},
            "people": [
                {
                    "label": label,
                    **({"group": self.groups[i]} if self.groups else {}),
                    **{key: _number(float(value[i])) for key, value in self.values.items()},
                }
                for i, label in enumerate(self.people)
            ],
        }

    def to_csv(self) -> str:
        """A line for each person under a line of titles; empty cells for NaN."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        errors = () if self.joint_errors is None else self.joints
        writer.writerow(["person", *self.values, *(f"{name}_mm" for name in errors)])
        for i, label in enumerate(self.people):
            numbers = [float(value[i]) for value in self.values.values()]
            if self.joint_errors is not None:
                numbers += self.joint_errors[i].tolist()
            writer.writerow([label, *("" if math.isnan(x) else f"{x:.6g}" for x in numbers)])
        return text.getvalue()

    def save(self, path: str | Path) -> None:
        """Write ``.json``, or ``.csv``.

        Raises:
            InputError: if the file cannot be written.
        """
        text = self.to_csv() if Path(path).suffix == ".csv" else json.dumps(self.to_json(), indent=1) + "\n"
        write_atomic(path, text.encode())


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
