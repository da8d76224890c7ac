"""A paper's table as bars, its figures beside ours."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bodyloop.errors import InputError
from bodyloop.evaluate.tables import NOT_YET, TITLES, Table, figure, text_of
from bodyloop.writing import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {"paper": "#b4b9c2", "ours": "#2f6fb3"}
ROW = 0.52
"""Inches a row."""
PANEL = 4.2
"""Inches a panel, without the names of the rows."""


def require_plots() -> None:
    """Make sure, before long work, that plots can be drawn.

    Raises:
        InputError: without matplotlib, with the remedy.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError("plots need matplotlib: pip install 'bodyloop[plots]'") from None


def save_bar_plot(path: str | Path, table: Table) -> None:
    """PNG with a panel for every measure that both the paper and we have, and a pair of bars for every row.

    Rows that the paper does not have are left out, unless there are no others: then each has one bar.

    Raises:
        InputError: without matplotlib, or if the file cannot be written.
    """
    require_plots()
    rows = tuple(row for row in table.rows if row.paper is not None)
    table = replace(table, rows=rows or table.rows)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = table.columns()
    measures = [m for m in TITLES if (m, "paper") in columns and (m, "ours") in columns]
    measures = measures or [m for m in TITLES if any(measure == m for measure, _ in columns)][:2]
    names = [row.name for row in table.rows]
    size = (
        1.5 + 0.075 * max(map(len, names), default=0) + PANEL * max(1, len(measures)),
        1.5 + ROW * len(names),
    )
    drawing = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(drawing)
    drawing.suptitle(table.title, fontsize=13, fontweight="bold")
    panels = drawing.subplots(1, max(1, len(measures)), sharey=True, squeeze=False)[0]
    for panel, measure in zip(panels, measures, strict=False):
        _draw_panel(panel, table, measure)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    if len(labels) > 1:
        drawing.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    write_atomic(path, buffer.getvalue())


def _draw_panel(panel: "Axes", table: Table, measure: str) -> None:
    """Bars of one measure: the paper's, if it has any, above ours, with their figures at the ends."""
    alone = all(row.paper is None for row in table.rows)
    for whose, shift in (("ours", 0.0),) if alone else (("paper", -0.2), ("ours", 0.2)):
        places, lengths, texts = [], [], []
        for place, row in enumerate(table.rows):
            value = figure(row, measure, whose)
            if value is not None:
                places.append(place + shift)
                lengths.append(100 * value if measure == "failures" else value)
                texts.append(text_of(measure, value))
            elif whose == "ours" and row.ours is None:
                panel.annotate(
                    NOT_YET, (0, place + shift), (3, 0), textcoords="offset points",
                    va="center", color="#8a8f98", fontsize=8.5, style="italic",
                )  # fmt: skip
        bars = panel.barh(places, lengths, 0.38, color=COLORS[whose], label=whose)
        panel.bar_label(bars, texts, padding=3, fontsize=9)
    panel.set_title(TITLES[measure], fontsize=11)
    panel.margins(x=0.14)
    panel.set_xlim(left=0)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="x", color="#e4e6ea")
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)
