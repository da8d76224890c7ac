import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop.errors import InputError
from bodyloop.evaluate.scores import Scores
from bodyloop.view.joint_plot import COLORS, save_joint_plot

pytest.importorskip("matplotlib")
SCORES = Scores(
    "p",
    ("a", "b"),
    {},
    ("left_knee", "head", "neck"),
    torch.tensor([[80.0, 20, torch.nan], [80, 20, torch.nan]]),
)


def area(path: Path, color: str) -> int:
    rgb = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return int((abs(rgb - [int(color[i : i + 2], 16) for i in (1, 3, 5)]).max(-1) <= 2).sum())


def test_bars_are_as_long_as_the_errors(tmp_path: Path):
    half = dataclasses.replace(SCORES, joint_errors=SCORES.joint_errors / 2)
    save_joint_plot(tmp_path / "a.png", {"one": SCORES, "two": half})
    legend = 400  # pixels, about
    one, two = (area(tmp_path / "a.png", color) - legend for color in COLORS[:2])
    assert one / two == pytest.approx(2, rel=0.1)
    save_joint_plot(tmp_path / "b.png", {"one": SCORES})
    assert area(tmp_path / "b.png", COLORS[1]) == 0


def test_different_joints_are_refused(tmp_path: Path):
    other = Scores("p", ("a",), {}, ("tail",), torch.ones(1, 1))
    for methods in ({"one": SCORES, "two": other}, {"none": Scores("p", ("a",), {})}, {}):
        with pytest.raises(InputError, match="errors of the same joints, got"):
            save_joint_plot(tmp_path / "a.png", methods)
    assert not list(tmp_path.iterdir())
