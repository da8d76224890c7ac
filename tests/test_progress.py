"""What is told while long work is done."""

import pytest

from bodyloop import progress
from bodyloop.progress import COMPILING, Counted, progress_bar


def test_what_was_there_before_does_not_count(monkeypatch: pytest.MonkeyPatch):
    clock = iter([100.0, 104.0])
    monkeypatch.setattr(progress.time, "time", lambda: next(clock))
    counted = Counted()
    counted.count(50)
    counted.count(58)
    assert (counted.before, counted.made, counted.rate) == (50, 8, 2.0)


def test_lines_are_told_without_a_terminal_and_the_bar_is_not(capsys: pytest.CaptureFixture[str]):
    with progress_bar() as bar:
        bar.show(1, 2, "at work")
        bar.say("one \x1b[31mline")
        bar.say_when("another")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "at work" not in shown.err
    assert shown.err.splitlines() == ["one ?[31mline", "[    0 s] another"]


@pytest.mark.parametrize("missing", [None, "solver", "frames"])
def test_compiling_is_told_when_something_must_be(
    missing: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def must_compile(kernel: str = "solver") -> bool:
        return kernel == missing

    monkeypatch.setattr("bodyloop.fit.first_use.must_compile", must_compile)
    with progress_bar() as bar:
        bar.say_compiling("frames")
    assert (COMPILING in capsys.readouterr().err) == (missing is not None)
