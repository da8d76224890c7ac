"""The second wild: another domain, in poses of other subjects."""

from pathlib import Path

import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.data.crops import Surface
from bodyloop.data.synthetic import SyntheticPeople
from bodyloop.train.larder import Pantry
from bodyloop.train.moon import moon_f
from bodyloop.train.recipes import SyntheticData


def test_other_places_and_people(body: BodyModel):
    first, second = (SyntheticPeople(d, size=64, split="test", body=body) for d in ("wild", "wild2"))  # type: ignore[arg-type]
    assert not torch.equal(first.sample(0).image, second.sample(0).image)
    assert not torch.equal(first.sample(0).bodies.betas, second.sample(0).bodies.betas)


def test_subjects_of_another_split(body: BodyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def poses(self: Pantry, split: str) -> None:
        asked.append(split)

    monkeypatch.setattr(Pantry, "_poses_of", poses)
    pantry, recipe = Pantry(tmp_path, body, Surface.builtin()), moon_f("smoke")
    people = {"split": "test", "poses": "mocap", "count": 2, "size": 64}
    own = pantry.crops(SyntheticData("wild2", **people), recipe)  # type: ignore[arg-type]
    others = pantry.crops(SyntheticData("wild2", **people, subjects="validation"), recipe)  # type: ignore[arg-type]
    assert asked == ["test", "validation"]
    assert own.folder != others.folder
