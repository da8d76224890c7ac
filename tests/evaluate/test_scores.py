import csv
import dataclasses
import json
import math
from pathlib import Path

import pytest
import torch

from bodyloop.errors import InputError
from bodyloop.evaluate.scores import METRICS, Scores
from bodyloop.evaluate.segmentation import confusion

NAN = float("nan")


def scores() -> Scores:
    truth = torch.tensor([[[-1, 0]], [[0, 0]], [[-1, -1]]])
    found = torch.tensor([[[-1, 0]], [[0, -1]], [[-1, 0]]])
    return Scores(
        "a protocol",
        ("one, with a comma", "two", "three"),
        {"mpjpe_mm": torch.tensor([10.0, 40, NAN]).double(), "pck": torch.tensor([0.5, 1, 0.75]).double()},
        ("left_knee", "right_knee"),
        torch.tensor([[5.0, 15], [NAN, 40], [NAN, NAN]]).double(),
        {"foreground": confusion(found, truth, ("body",))},
    )


def test_means_are_over_those_who_were_measured():
    lines = {line.metric: line for line in scores().table()}
    assert list(lines) == [key for key in METRICS if key in lines], "in the order of METRICS"
    assert (lines["mpjpe_mm"].value, lines["mpjpe_mm"].people) == (25, 2)
    assert lines["mpjpe_mm"].median == 25
    assert (lines["pck"].value, lines["pck"].median, lines["pck"].people) == (0.75, 0.75, 3)
    assert scores().mean("pck") == 0.75
    assert scores().joint_means() == {"left_knee": 5, "right_knee": 27.5}


def test_segmentation_is_pooled_over_pixels():
    lines = {line.metric: line for line in scores().table()}
    assert lines["fb_accuracy"].pooled
    assert lines["fb_accuracy"].value == 4 / 6
    assert lines["fb_f1"].value == pytest.approx((2 * 2 / 6 + 2 * 2 / 6) / 2)
    assert "part_f1" not in lines


def test_unknown_pixels_are_background_where_the_protocol_says_so():
    truth = torch.tensor([[[-1, 0, 0, 0]]])
    found = torch.tensor([[[-1, 0, -1, 0]]])
    counts = confusion(found, truth, ("body",), torch.tensor([[[False, False, True, True]]]))
    whole = Scores("p", ("a",), {}, confusions={"foreground": counts})
    assert whole.mean("fb_accuracy") == 1
    assert dataclasses.replace(whole, ignored_as_background=True).mean("fb_accuracy") == 3 / 4
    assert dataclasses.replace(whole, ignored_as_background=True).mean("fb_f1") == 1


def test_worst_first():
    assert scores().order("mpjpe_mm").tolist() == [1, 0], (
        "errors: the largest; who was not measured is left out"
    )
    assert scores().order("pck").tolist() == [0, 2, 1], "shares: the smallest"


def test_some_and_all_again():
    whole = scores()
    parts = [whole[torch.tensor([0])], whole[torch.tensor([False, True, True])]]
    again = Scores.cat(parts)
    assert json.dumps(again.to_json()) == json.dumps(whole.to_json())
    assert again.pooled() == whole.pooled()


def test_json_and_csv(tmp_path: Path):
    scores().save(tmp_path / "a.json")
    stored = json.loads((tmp_path / "a.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert stored["count"] == 3
    assert stored["people"][2] == {"label": "three", "mpjpe_mm": None, "pck": 0.75}
    assert stored["table"][0]["value"] == 25
    scores().save(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["person", "mpjpe_mm", "pck", "left_knee_mm", "right_knee_mm"]
    assert rows[1] == ["one, with a comma", "10", "0.5", "5", "15"]
    assert rows[3] == ["three", "", "0.75", "", ""]
    with pytest.raises(InputError, match="cannot be written"):
        scores().save(tmp_path / "nowhere" / "a.json")


def test_nobody_measured():
    nobody = Scores("p", ("a",), {"mpjpe_mm": torch.tensor([NAN]).double()})
    (line,) = nobody.table()
    assert math.isnan(line.value)
    assert math.isnan(line.median)
    assert line.people == 0
    assert nobody.to_json()["table"][0]["value"] is None
    assert len(nobody.order("mpjpe_mm")) == 0
    assert METRICS["mpjpe_mm"].text(line.value) == "-"


def test_wrong_values_are_refused():
    with pytest.raises(ValueError, match="nonsense"):
        Scores("p", ("a",), {"nonsense": torch.zeros(1)})
    with pytest.raises(ValueError, match="each of 1 people"):
        Scores("p", ("a",), {"pck": torch.zeros(2)})
