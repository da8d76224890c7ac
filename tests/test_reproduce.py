"""The frame around a paper's table: what is checked, shown, written and recorded. The figures are made up."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bodyloop import reproduce
from bodyloop.cli import main
from bodyloop.evaluate.claims import Claim, Ledger, at_most, lower
from bodyloop.evaluate.tables import Curve, Figures, Row, Table
from bodyloop.reproduce import ReproduceJob

TABLE = Table(
    "Made-up table 1",
    (
        Row("mixture", Figures(79, 104), Figures(72.34, 95.1, 50.2, 12.4, 0.031)),
        Row("mixture, parts", Figures(69, 96), None),
        Row("flow [latent]", Figures(43, 60), Figures(42.1, 58.8, 35.7, 18.2, 0.0)),
    ),
    ("Measured on nobody.",),
)


def claim(name: str, rule: Any) -> Claim:
    return Claim.judge(
        rule,
        id=name,
        paper="Made up et al.",
        where="table 1",
        statement="The flow is better.",
        paper_values={"flow": 43, "mixture": 79},
        our_values={"flow": 42.1, "mixture": 72.34},
        unit="mm",
        scale="nobody",
        seeds=(0,),
        command="",
        date="",
    )


CLAIMS = [claim("m-better", lower("flow", "mixture")), claim("m-far-better", at_most("flow", "mixture", 0.5))]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[ReproduceJob]:
    """Makes the table's figures up; returns the jobs it was asked to do."""
    pytest.importorskip("matplotlib")
    jobs: list[ReproduceJob] = []

    def measure(job: ReproduceJob, count: int, tell: Callable[[str], None]) -> tuple[Table, list[Claim]]:
        assert count == (500 if job.count is None else job.count)
        jobs.append(job)
        tell("measuring the mixture")
        return TABLE, CLAIMS

    monkeypatch.setitem(reproduce.TABLES, "zanfir-table1", reproduce.Measurement(measure, 500))
    monkeypatch.setenv("COLUMNS", "200")
    return jobs


def call(*arguments: object) -> int:
    return main(["reproduce", "zanfir-table1", "--mocap", "data", *map(str, arguments)])


def test_a_table_is_shown_and_written(measured, tmp_path: Path, capsys):
    out = tmp_path / "new" / "out"
    assert call("-o", out, "--seed", 3, "--count", 20, "--cache", "clips") == 0
    assert measured == [ReproduceJob("zanfir-table1", out, Path("data"), Path("clips"), 20, 3)]
    assert sorted(p.name for p in out.iterdir()) == ["zanfir-table1.json", "zanfir-table1.png"]
    captured = capsys.readouterr()
    lines = [" ".join(line.split()) for line in captured.out.splitlines()]
    assert "mixture 79.0 72.3 104.0 95.1 50.2 12.4 3.1" in lines
    assert "mixture, parts 69.0 - 96.0 - - - -" in lines
    assert "-: not available yet" in lines
    assert "flow [latent] 43.0 42.1 60.0 58.8 35.7 18.2 0.0" in lines
    assert "Measured on nobody." in lines
    assert any(
        line.startswith("holds: The flow is better. Holds if flow < mixture. Ours: flow 42.1")
        for line in lines
    )
    assert any(line.startswith("DOES NOT HOLD: ") for line in lines)
    assert str(out / "zanfir-table1.png") in lines
    assert "measuring the mixture" in captured.err
    assert Image.open(out / "zanfir-table1.png").width > 500


def test_a_narrow_terminal_shows_all_figures(measured, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    call("-o", tmp_path)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "mixture 79.0 72.3 104.0 95.1 50.2 12.4 3.1" in lines


def test_the_json_describes_itself(measured, tmp_path: Path):
    call("-o", tmp_path, "--quick")
    stored = json.loads((tmp_path / "zanfir-table1.json").read_text())
    assert stored["rows"][0]["ours"]["pa_mpjpe_mm"] == 50.2
    assert stored["rows"][1]["ours"] is None
    assert stored["run"]["command"] == "bodyloop reproduce zanfir-table1 --mocap DATA -o FOLDER --quick"
    assert stored["run"]["quick"] is True
    assert [c["holds"] for c in stored["claims"]] == [True, False]
    assert {c["command"] for c in stored["claims"]} == {stored["run"]["command"]}


def test_claims_are_recorded_when_asked(measured, tmp_path: Path):
    docs = tmp_path / "docs"
    docs.mkdir()
    old = claim("a-older", lower("flow", "mixture"))
    Ledger.read(docs).record([old])
    assert call("-o", tmp_path / "out", "--docs", docs, "--seed", 3) == 0
    found = Ledger.read(docs).claims
    assert [c.id for c in found] == ["a-older", "m-better", "m-far-better"]
    assert found[0] == old
    assert found[1].command == "bodyloop reproduce zanfir-table1 --mocap DATA -o FOLDER --seed 3"
    assert len(found[1].date) == len("2026-11-21")
    assert "does not hold" in (docs / "claims.md").read_text()


def test_what_another_run_recorded_meanwhile_stays(measured, tmp_path: Path, monkeypatch):
    def measure(job: ReproduceJob, count: int, tell: Callable[[str], None]) -> tuple[Table, list[Claim]]:
        Ledger.read(tmp_path).record([claim("n-other", lower("flow", "mixture"))])
        return TABLE, CLAIMS

    monkeypatch.setitem(reproduce.TABLES, "zanfir-table1", reproduce.Measurement(measure, 500))
    assert call("-o", tmp_path / "out", "--docs", tmp_path) == 0
    assert [c.id for c in Ledger.read(tmp_path).claims] == ["m-better", "m-far-better", "n-other"]


def test_claims_are_not_recorded_unless_asked(measured, tmp_path: Path, monkeypatch):
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call("-o", "out") == 0
    assert not list((tmp_path / "docs").iterdir())


def broken_ledger(tmp_path: Path) -> list[object]:
    (tmp_path / "claims.json").write_text("{}")
    return ["--docs", tmp_path]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda tmp: ["--count", 0], "--count: expected at least 1 frame, got 0"),
        (lambda tmp: ["--docs", tmp, "--quick"], "leave out --quick or --docs"),
        (lambda tmp: ["--docs", tmp / "none"], "no such folder"),
        (broken_ledger, "expected a list of claims"),
    ],
)
def test_mistakes_are_found_before_anything_is_measured(
    measured, tmp_path: Path, capsys, options, message: str
):
    assert call("-o", tmp_path / "out", *options(tmp_path)) == 2
    assert message in capsys.readouterr().err
    assert not measured
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_written_to(measured, tmp_path: Path, capsys):
    (tmp_path / "file").touch()
    assert call("-o", tmp_path / "file") == 2
    assert "cannot be made" in capsys.readouterr().err
    assert not measured


def test_without_matplotlib(measured, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert call("-o", tmp_path / "out") == 2
    assert "pip install 'bodyloop[plots]'" in capsys.readouterr().err
    assert not measured


def test_the_measurement_is_asked_as_agreed(monkeypatch, tmp_path: Path):
    asked: list[Any] = []

    class Zanfir:
        @staticmethod
        def table1(*arguments: Any) -> tuple[Table, list[Claim]]:
            asked.extend(arguments)
            return TABLE, CLAIMS

    monkeypatch.setitem(sys.modules, "bodyloop.evaluate.zanfir", Zanfir)
    job = ReproduceJob("zanfir-table1", tmp_path, Path("data"), Path("clips"), 20, 3, quick=True)
    assert reproduce.TABLES["zanfir-table1"].measure(job, 20, print) == (TABLE, CLAIMS)
    assert asked == [Path("data"), Path("clips"), 20, 3, True, print]


def test_curves_and_pictures_are_written_too(measured, tmp_path: Path, monkeypatch):
    names = tuple(row.name for row in TABLE.rows if row.ours is not None)
    curve = Curve("made up", "x", tuple((float(i), name) for i, name in enumerate(names)))
    picture = np.full((20, 30, 3), 7, np.uint8)
    measurement = reproduce.Measurement(
        lambda job, count, tell: (replace(TABLE, curves=(curve,)), CLAIMS), 5, lambda job, tell: picture
    )
    monkeypatch.setitem(reproduce.TABLES, "zanfir-table1", measurement)
    assert call("-o", tmp_path) == 0
    assert (np.asarray(Image.open(tmp_path / "zanfir-table1-pictures.jpg")) == 7).all()
    assert Image.open(tmp_path / "zanfir-table1-curves.png").width > 300
    stored = json.loads((tmp_path / "zanfir-table1.json").read_text())
    assert stored["run"]["count"] == 5
