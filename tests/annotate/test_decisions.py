"""Decisions are added, never lost, and the last one counts."""

import json
from pathlib import Path

import pytest

from bodyloop.annotate.decisions import Decision, DecisionFile, decided, read_decisions
from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from labels_made_up import labels_of


def test_the_last_one_counts(tmp_path: Path):
    file = DecisionFile(tmp_path)
    for choice, note in (("accept", ""), ("reject", "left arm"), ("back", "a note, ü\nof two lines")):
        file.add(Decision("7", choice, note, 1.0))
    file.add(Decision("8", "accept", "", 2.0))
    file.add(Decision("8", "undo", "", 3.0))
    assert (
        read_decisions(tmp_path)
        == file.latest
        == {"7": Decision("7", "back", "a note, ü\nof two lines", 1.0)}
    )
    assert len((tmp_path / "review.jsonl").read_text().splitlines()) == 5
    assert DecisionFile(tmp_path).latest == file.latest


def test_a_line_that_was_cut_short_costs_only_itself(tmp_path: Path):
    file = DecisionFile(tmp_path)
    file.add(Decision("1", "accept"))
    with file.path.open("ab") as raw:
        raw.write(b'{"id": "2", "cho')
    DecisionFile(tmp_path).add(Decision("3", "reject"))
    assert set(read_decisions(tmp_path)) == {"1", "3"}


def test_nonsense_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="accept, reject, back, undo"):
        Decision("1", "maybe")
    with pytest.raises(InputError, match="2000 characters"):
        Decision("1", "back", "x" * 2001)
    (tmp_path / "review.jsonl").write_text(
        "\n".join(["7", "{}", json.dumps({"id": 1, "choice": "x", "time": 0})])
    )
    assert read_decisions(tmp_path) == {}
    assert read_decisions(tmp_path / "gone") == {}


def test_verdicts_after_review(body: BodyModel):
    labels = labels_of(body, 4)
    decisions = {
        "100": Decision("100", "reject", "wrong"),
        "102": Decision("102", "accept"),
        "103": Decision("103", "back"),
    }
    reviewed = decided(labels, decisions)
    assert labels.words["verdict"].tolist() == ["accept", "doubtful", "reject", "accept"]
    assert reviewed.words["verdict"].tolist() == ["reject", "doubtful", "accept", "reject"]
    assert reviewed.words["reasons"][0] == "reviewed: reject; wrong"
    assert decided(labels, {}) is labels
