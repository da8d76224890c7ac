import json

from bodyloop.evaluate.tables import Figures, Row, Table, figure, text_of

TABLE = Table(
    "A table",
    (
        Row("known", Figures(79, 104), Figures(72.34, failures=0.031)),
        Row("waiting", Figures(69, 96), None),
        Row("ours alone", None, Figures(40)),
    ),
    ("A note.",),
)


def test_columns_are_those_with_figures():
    assert TABLE.columns() == [
        ("mpjpe_mm", "paper"),
        ("mpjpe_mm", "ours"),
        ("mpvpe_mm", "paper"),
        ("failures", "ours"),
    ]
    assert Table("empty", ()).columns() == []


def test_figures_of_a_row():
    known, waiting, alone = TABLE.rows
    assert figure(known, "failures", "ours") == 0.031
    assert figure(waiting, "mpjpe_mm", "ours") is None
    assert figure(alone, "mpjpe_mm", "paper") is None


def test_failures_are_shown_in_percent():
    assert text_of("failures", 0.031) == "3.1"
    assert text_of("mpjpe_mm", 72.34) == "72.3"
    assert text_of("mpjpe_mm", None) == ""


def test_json():
    stored = json.loads(json.dumps(TABLE.to_json()))
    assert stored["title"] == "A table"
    assert stored["notes"] == ["A note."]
    assert stored["rows"][1]["ours"] is None
    assert stored["rows"][0]["paper"]["mpvpe_mm"] == 104
