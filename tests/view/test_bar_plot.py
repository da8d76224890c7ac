import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodyloop.errors import InputError
from bodyloop.evaluate.tables import Figures, Row, Table
from bodyloop.view.bar_plot import COLORS, save_bar_plot

WIDE = Table(
    "A table",
    (Row("first", Figures(80, 100), Figures(40, 50)), Row("second", Figures(80, 100), None)),
)


def area(path: Path, whose: str) -> int:
    """Pixels of one colour of bars."""
    rgb = np.asarray(Image.open(path).convert("RGB")).astype(int)
    color = [int(COLORS[whose][i : i + 2], 16) for i in (1, 3, 5)]
    return int((abs(rgb - color).max(-1) <= 2).sum())


def test_bars_are_as_long_as_their_figures(tmp_path: Path):
    pytest.importorskip("matplotlib")
    save_bar_plot(tmp_path / "a.png", WIDE)
    legend = 400  # pixels, about
    paper, ours = (area(tmp_path / "a.png", whose) - legend for whose in ("paper", "ours"))
    assert paper / ours == pytest.approx(4, rel=0.1), "two bars of 80 against one of 40, in both panels"


@pytest.mark.parametrize(
    "table",
    [
        Table("none", ()),
        Table("waiting", (Row("a", None, None), Row("b", None, None))),
        Table("ours alone", (Row("a", None, Figures(ms_per_frame=3, failures=0.5)),)),
    ],
)
def test_tables_with_little_in_them(tmp_path: Path, table: Table):
    pytest.importorskip("matplotlib")
    save_bar_plot(tmp_path / "a.png", table)
    assert Image.open(tmp_path / "a.png").width > 200


def test_where_the_paper_has_nothing_each_row_has_one_bar_and_needs_no_legend(tmp_path: Path):
    pytest.importorskip("matplotlib")
    table = Table("ours alone", (Row("a", None, Figures(40)), Row("b", None, Figures(80))))
    save_bar_plot(tmp_path / "a.png", table)
    rgb = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    color = [int(COLORS["ours"][i : i + 2], 16) for i in (1, 3, 5)]
    rows = (abs(rgb - color).max(-1) <= 2).sum(1)
    starts = np.flatnonzero(np.diff((rows > 0).astype(int)) == 1)
    assert len(starts) == 2, "two bars, nothing below them"
    assert rows[rows > 0].max() / rows[starts[0] + 3] == pytest.approx(2, rel=0.05)


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'bodyloop\[plots\]'"):
        save_bar_plot(tmp_path / "a.png", WIDE)
    assert not list(tmp_path.iterdir())
