"""A paper's table, its figures beside ours."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Figures:
    """What was measured of one method; None where it was not.

    Attributes:
        mpjpe_mm: mean joint error after root alignment.
        mpvpe_mm: mean vertex error after root alignment.
        pa_mpjpe_mm: mean joint error after similarity alignment.
        ms_per_frame: wall-clock time.
        failures: share of frames that failed, 0 to 1.
        auc: how well the energy tells real poses from impossible ones, 0.5 to 1.
        dkd_px: mean distance of dense keypoints in the image (Rong et al. 2019, eq. 4).
        part_iou: mean intersection over union of DensePose's 14 parts, 0 to 1.
        pve_t_mm: mean vertex error of the shape alone, in the T-pose (Rong et al. 2019, section 4).
        keypoint_px: mean distance of 2D keypoints in a crop of 224 pixels.
        acceleration: mean error of the joints' accelerations against the root, m/s^2.
        betas_l2: distance of the shape coefficients (Liu et al. 2021, table 6).
        pa_x_mm, pa_y_mm, pa_z_mm: mean joint error along each of the camera's axes after similarity alignment (Moon et
            al. 2023, table 3).
    """

    mpjpe_mm: float | None = None
    mpvpe_mm: float | None = None
    pa_mpjpe_mm: float | None = None
    ms_per_frame: float | None = None
    failures: float | None = None
    auc: float | None = None
    dkd_px: float | None = None
    part_iou: float | None = None
    pve_t_mm: float | None = None
    keypoint_px: float | None = None
    acceleration: float | None = None
    betas_l2: float | None = None
    pa_x_mm: float | None = None
    pa_y_mm: float | None = None
    pa_z_mm: float | None = None


TITLES: dict[str, str] = {
    "mpjpe_mm": "MPJPE mm",
    "mpvpe_mm": "MPVPE mm",
    "pa_mpjpe_mm": "PA-MPJPE mm",
    "ms_per_frame": "ms a frame",
    "failures": "failures %",
    "auc": "AUC",
    "dkd_px": "DKD px",
    "part_iou": "part IoU",
    "pve_t_mm": "PVE-T mm",
    "keypoint_px": "2D px",
    "acceleration": "acceleration m/s²",
    "betas_l2": "betas L2",
    "pa_x_mm": "PA x mm",
    "pa_y_mm": "PA y mm",
    "pa_z_mm": "PA z mm",
}
"""Column titles of `Figures`, in order."""

AXES = ("pa_x_mm", "pa_y_mm", "pa_z_mm")
"""Measures of `Figures` that are one axis' each."""

NOT_YET = "not available yet"
"""What is shown for a row that we cannot measure yet."""


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes:
        name: as short as it can be told apart: "flow z, 6D, KA".
        paper: the paper's figures, None where it has no such row.
        ours: None where it is not available yet.
    """

    name: str
    paper: Figures | None
    ours: Figures | None


@dataclass(frozen=True)
class Curve:
    """Rows of a table that belong together as points of a curve.

    Attributes:
        title: of the plot.
        axis: what x is.
        points: x, and the row's name.
        levels: names of rows to be drawn as level lines, to compare with.
        measure: of `Figures`.
    """

    title: str
    axis: str
    points: tuple[tuple[float, str], ...]
    levels: tuple[str, ...] = ()
    measure: str = "mpvpe_mm"


@dataclass(frozen=True)
class Table:
    """A table of a paper with our figures.

    Attributes:
        title: "Zanfir et al. 2020, table 1".
        rows: in the paper's order.
        notes: what one should know to read it, a sentence each: on what ours was measured, how weights were chosen.
        curves: plots of some of the rows.
    """

    title: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()

    def columns(self) -> list[tuple[str, str]]:
        """(measure, "paper" or "ours") of every column in which some row has a figure."""
        return [
            (field.name, whose)
            for field in fields(Figures)
            for whose in ("paper", "ours")
            if any(figure(row, field.name, whose) is not None for row in self.rows)
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain lists, dicts and numbers, named as the attributes are."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Table":
        """What `to_json` gave; other keys are ignored."""

        def figures(found: Mapping[str, Any] | None) -> Figures | None:
            return None if found is None else Figures(**found)

        rows = (Row(row["name"], figures(row["paper"]), figures(row["ours"])) for row in stored["rows"])
        curves = tuple(
            Curve(**{**curve, "points": tuple(map(tuple, curve["points"])), "levels": tuple(curve["levels"])})
            for curve in stored.get("curves", ())
        )
        return cls(stored["title"], tuple(rows), tuple(stored["notes"]), curves)


def figure(row: Row, measure: str, whose: str) -> float | None:
    """One figure of a row: a measure of `Figures`, "paper" or "ours"."""
    figures: Figures | None = getattr(row, whose)
    return None if figures is None else getattr(figures, measure)


def text_of(measure: str, value: float | None) -> str:
    """A figure as a table shows it, empty for None; failures are shown in percent."""
    if value is None:
        return ""
    if measure in ("auc", "part_iou"):
        return f"{value:.3f}"
    return f"{100 * value:.1f}" if measure == "failures" else f"{value:.1f}"
