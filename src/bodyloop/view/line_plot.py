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
    """One curve with its figures, and level lines to compare with."""
    ours = {row.name: figure(row, curve.measure, "ours") for row in table.rows}
    points = [(x, value) for x, name in curve.points if (value := ours[name]) is not None]
    panel.plot(*zip(*points, strict=True), marker="o", color=COLORS["ours"])
    for x, value in points:
        panel.annotate(
            text_of(curve.measure, value),
            (x, value),
            (0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    for name in curve.levels:
        if (value := ours[name]) is not None:
            panel.axhline(value, color="#8a8f98", linestyle="--", linewidth=1)
            panel.annotate(
                f"{name}: {text_of(curve.measure, value)}", (0.99, value), (0, 3), xycoords=("axes fraction", "data"),
                textcoords="offset points", ha="right", color="#5f646d", fontsize=9,
            )  # fmt: skip
    panel.set_title(curve.title, fontsize=11)
    panel.set_xlabel(curve.axis)
    panel.set_ylabel(TITLES[curve.measure])
    panel.set_ylim(bottom=0)
    panel.margins(y=0.15)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", color="#e4e6ea")
