"""Curves of a table: how a measure changes with noise, density and the like."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from bodyloop.evaluate.tables import TITLES, Curve, Table, figure, text_of
from bodyloop.view.bar_plot import COLORS, require_plots
from bodyloop.writing import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL = (5.2, 3.8)
"""Inches a panel."""
APART = 0.09
"""Least distance of two figures, as a share of the axis."""


def save_line_plot(path: str | Path, table: Table) -> None:
    """PNG with a panel for every curve of a table.

    Raises:
        InputError: without matplotlib, or if the file cannot be written.
        KeyError: for a curve through a row that the table does not have.
    """
    require_plots()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(PANEL[0] * len(table.curves), PANEL[1]), dpi=110, layout="constrained")
    FigureCanvasAgg(drawing)
    panels = drawing.subplots(1, len(table.curves), squeeze=False)[0]
    for panel, curve in zip(panels, table.curves, strict=True):
        _draw_curve(panel, table, curve)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    write_atomic(path, buffer.getvalue())


def _draw_curve(panel: "Axes", table: Table, curve: Curve) -> None:
    """One curve with its figures, the paper's, and level lines to compare with."""
    shown = {
        source: {row.name: figure(row, curve.measure, source) for row in table.rows}
        for source in ("paper", "ours")
    }
    highest, several = 0.0, False
    for source, figures in shown.items():
        points = [(x, value) for x, name in curve.points if (value := figures[name]) is not None]
        if not points:
            continue
        several |= source == "paper"
        panel.plot(*zip(*points, strict=True), marker="o", color=COLORS[source], label=source)
        for x, value in _apart(points):
            panel.annotate(
                text_of(curve.measure, value),
                (x, value),
                (0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=9,
            )
        highest = max(highest, *(value for _, value in points))
    for name in curve.levels:
        if (value := shown["ours"][name]) is not None:
            highest = max(highest, value)
            panel.axhline(value, color="#8a8f98", linestyle="--", linewidth=1)
            panel.annotate(
                f"{name}: {text_of(curve.measure, value)}", (0.99, value), (0, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", color="#5f646d", fontsize=9,
            )  # fmt: skip
    panel.set_title(curve.title, fontsize=11)
    panel.set_xlabel(curve.axis)
    panel.set_ylabel(TITLES[curve.measure])
    panel.set_ylim(0, 1.15 * highest)
    if several:
        panel.legend(frameon=False, fontsize=9)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", color="#e4e6ea")


def _apart(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points whose figures do not stand on each other's: the ends, and what is far enough from those before."""
    points = sorted(points)
    least = APART * (points[-1][0] - points[0][0])
    kept = points[:1]
    for point in points[1:-1]:
        if point[0] - kept[-1][0] >= least and points[-1][0] - point[0] >= least:
            kept.append(point)
    return kept + points[-1:] if len(points) > 1 else kept
