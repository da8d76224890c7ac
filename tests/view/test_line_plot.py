"""Curves of a table as a picture."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodyloop.evaluate.tables import Curve, Figures, Row, Table
from bodyloop.view.line_plot import _apart, save_line_plot

CURVE = Curve("noise", "sigma", ((0.0, "none"), (5.0, "some")), ("sparse",))
TABLE = Table(
    "made up", tuple(Row(n, None, Figures(mpvpe_mm=v)) for n, v in (("none", 50.0), ("some", 70.0), ("sparse", 90.0))),
    curves=(CURVE,),
)  # fmt: skip


def drawn(path: Path, table: Table) -> np.ndarray:
    save_line_plot(path, table)
    return np.asarray(Image.open(path).convert("RGB"))


def test_every_curve_has_a_panel(tmp_path: Path):
    one, two = (
        drawn(tmp_path / "a.png", TABLE),
        drawn(tmp_path / "b.png", replace(TABLE, curves=(CURVE, CURVE))),
    )
    assert two.shape[1] > 1.8 * one.shape[1]
    assert (one != 255).any()


def test_values_and_levels_are_drawn(tmp_path: Path):
    base = drawn(tmp_path / "a.png", TABLE)
    moved = replace(TABLE, rows=(*TABLE.rows[:2], Row("sparse", None, Figures(mpvpe_mm=120.0))))
    assert (drawn(tmp_path / "b.png", moved) != base).any()
    without = replace(TABLE, rows=(TABLE.rows[0], Row("some", None, None), TABLE.rows[2]))
    assert (drawn(tmp_path / "c.png", without) != base).any()


def test_rows_must_be_there(tmp_path: Path):
    with pytest.raises(KeyError):
        save_line_plot(tmp_path / "a.png", replace(TABLE, rows=TABLE.rows[1:]))


def test_the_papers_figures_are_drawn_beside(tmp_path: Path):
    rows = tuple(Row(r.name, Figures(mpvpe_mm=40.0), r.ours) for r in TABLE.rows)
    both = drawn(tmp_path / "b.png", replace(TABLE, rows=rows))
    assert (both != drawn(tmp_path / "a.png", TABLE)).any()


def test_figures_do_not_stand_on_each_other():
    points = [(x, 1.0) for x in (0.0, 1.0, 5.0, 10.0, 20.0, 60.0, 95.0, 100.0)]
    assert [x for x, _ in _apart(points)] == [0, 10, 20, 60, 100]
    assert _apart(points[:1]) == points[:1]
