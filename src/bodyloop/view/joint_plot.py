"""Mean errors by joint as bars, one set of bars for each method."""

import io
import math
from collections.abc import Mapping
from pathlib import Path

from bodyloop.errors import InputError
from bodyloop.evaluate.scores import Scores
from bodyloop.view.bar_plot import require_plots
from bodyloop.writing import write_atomic

COLORS = ("#2f6fb3", "#d97b3f", "#5a9e6f", "#8a6fb5", "#b4b9c2")
"""Of the methods, in order; they repeat after five."""


def save_joint_plot(path: str | Path, methods: Mapping[str, Scores]) -> None:
    """PNG with a row for every joint, and in it a bar for every method: its mean error in mm.

    Args:
        path: file.
        methods: name -> scores, of the same joints.

    Raises:
        InputError: without matplotlib, without errors by joint, with different joints, or if the file cannot be
            written.
    """
    require_plots()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    means = {name: scores.joint_means() for name, scores in methods.items()}
    joints = list(next(iter(means.values()), {}))
    if not joints or any(list(one) != joints for one in means.values()):
        raise InputError(
            "expected scores with errors of the same joints, got "
            + ("; ".join(f"{name}: {', '.join(one) or 'none'}" for name, one in means.items()) or "no scores")
        )
    height = 0.8 / len(means)
    drawing = Figure(
        figsize=(7.5, 1.2 + len(joints) * (0.14 + 0.15 * len(means))), dpi=110, layout="constrained"
    )
    FigureCanvasAgg(drawing)
    panel = drawing.subplots()
    for i, (name, one) in enumerate(means.items()):
        known = {place: value for place, value in enumerate(one.values()) if not math.isnan(value)}
        places = [place + (i - (len(means) - 1) / 2) * height for place in known]
        bars = panel.barh(places, list(known.values()), height, color=COLORS[i % len(COLORS)], label=name)
        panel.bar_label(bars, [f"{value:.0f}" for value in known.values()], padding=3, fontsize=8)
    panel.set_yticks(range(len(joints)), [name.replace("_", " ") for name in joints])
    panel.invert_yaxis()
    panel.set_title("mean error by joint, mm", fontsize=11)
    panel.margins(x=0.1, y=0.01)
    panel.set_xlim(left=0)
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="x", color="#e4e6ea")
    panel.set_axisbelow(True)
    panel.tick_params(axis="y", length=0)
    if len(means) > 1:
        drawing.legend(loc="outside lower center", ncols=min(len(means), 3), frameon=False, fontsize=9)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    write_atomic(path, buffer.getvalue())
