"""The words of --starts."""

from pathlib import Path

import pytest

from bodyloop.annotate.start_names import StartChoice, parse_starts
from bodyloop.errors import InputError


def test_words(tmp_path: Path):
    file = tmp_path / "lifter"
    file.write_text("a file of that name")
    assert parse_starts(("lifter", "mean")) == StartChoice(("lifter", "mean"))
    assert parse_starts(("mean", "mean")) == StartChoice(("mean",))
    assert parse_starts(("candidates:5", "mean")) == StartChoice(("mean",), 5)
    assert parse_starts((str(file), "mean")) == StartChoice(("mean",), 0, file)
    assert parse_starts((str(tmp_path),)).file == tmp_path


def test_people_whom_a_file_does_not_know_start_as_usual(tmp_path: Path):
    assert parse_starts((str(tmp_path),)).usual == ("lifter", "mean")
    assert parse_starts((str(tmp_path), "mean")).usual == ("mean",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "got none; leave it out for lifter and mean"),
        (("lifters",), "lifters: expected lifter, mean, candidates:N, or the path"),
        (("",), "expected lifter, mean"),
        (("a\0b",), "expected lifter, mean"),
        (("x" * 5000,), "expected lifter, mean"),
        (("candidates:0",), "N from 1 on"),
        (("candidates:many",), "N from 1 on"),
        (("candidates:2", "candidates:3"), "expected one candidates:N"),
        ((".", ".."), "expected one file or folder"),
    ],
)
def test_words_that_mean_nothing(words: tuple[str, ...], message: str):
    with pytest.raises(InputError, match=message):
        parse_starts(words)
