"""Crops of data sets that are no synthetic people: drawn anew when their labels change, and with all that they need."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop.body import BodyModel
from bodyloop.data.crop_batches import CropSource
from bodyloop.data.crops import CropSpec, draw_crops
from bodyloop.data.labels import Labels
from bodyloop.errors import InputError
from bodyloop.geometry import Camera
from bodyloop.train import larder
from bodyloop.train.config import CandidateStart, RecordData
from bodyloop.train.larder import Pantry, Tools, candidates_of, stock
from bodyloop.train.recipes import get_recipe
from bodyloop.train.settings import from_data, to_data
from made_up_people import full_record

RECIPE = get_recipe("spin", "smoke")


def spin_file(folder: Path, count: int = 3, seed: int = 0, **more: Any) -> Path:
    """People with 2D keypoints, in SPIN's format, and pictures of noise."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (60, 60, 3), dtype=np.uint8)).save(folder / f"{i}.jpg")
    place = rng.uniform(10, 50, (count, 24, 2))
    np.savez(
        folder / "spin.npz",
        imgname=np.array([f"{i}.jpg" for i in range(count)]),
        center=np.full((count, 2), 30.0),
        scale=np.full(count, 0.3),
        part=np.concatenate([place, np.ones((count, 24, 1))], 2),
        **more,
    )
    return folder / "spin.npz"


def test_labels_that_were_changed_are_drawn_anew(tmp_path: Path, body: BodyModel):
    pantry = Pantry(tmp_path / "crops", body, None)
    data = RecordData(str(spin_file(tmp_path)), images=str(tmp_path))
    first = pantry.crops(data, RECIPE)
    assert pantry.crops(data, RECIPE).folder == first.folder
    spin_file(tmp_path, seed=1)
    os.utime(tmp_path / "spin.npz", ns=(0, 10**18))
    second = pantry.crops(data, RECIPE)
    assert not np.array_equal(second.column("keypoints"), first.column("keypoints"))
    os.utime(tmp_path / "0.jpg", ns=(0, 2 * 10**18))
    assert pantry.crops(data, RECIPE).folder == second.folder, "pictures are not looked at"


def test_what_goes_with_the_labels_is_passed_on(
    tmp_path: Path, body: BodyModel, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    original = larder.open_dataset
    monkeypatch.setattr(larder, "open_dataset", lambda spec: asked.append(spec) or original(spec))
    file = spin_file(tmp_path)
    (tmp_path / "coco.json").write_text(json.dumps({}))
    plain = RecordData(str(file), images=str(tmp_path))
    more = replace(plain, masks=str(tmp_path), annotations=str(tmp_path / "coco.json"))
    assert from_data(RecordData, to_data(more), "data") == more
    assert not {"masks", "annotations"} & set(to_data(plain)), "digests of recipes without them stay"
    pantry = Pantry(tmp_path / "crops", body, None)
    folders = [pantry.crops(data, RECIPE) for data in (plain, more)]
    assert [(spec.masks, spec.annotations) for spec in asked] == [
        (None, None),
        (tmp_path, tmp_path / "coco.json"),
    ]
    assert not {"masks", "annotations"} & set(folders[0].spec.made_of)
    assert folders[1].spec.made_of["annotations"] == str(tmp_path / "coco.json")


@pytest.mark.parametrize("known", [("pose",), ("shape",), ()])
def test_validation_people_need_whole_bodies(known: tuple[str, ...], tmp_path: Path, body: BodyModel):
    labels = {"pose": np.zeros((3, 72)), "shape": np.zeros((3, 10))}
    given = {name: labels[name] for name in known}
    more = {**given, "has_smpl": np.ones(3)} if given else {}
    people = RecordData(str(spin_file(tmp_path, **more)), images=str(tmp_path))
    recipe = replace(RECIPE, phases=(replace(RECIPE.phases[0], data=(people,)),), validation=people)
    tools = Tools(None, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected people with SMPL's pose, orientation and betas, got none"):
        stock(recipe, Pantry(tmp_path / "crops", body, None), tools)


def test_candidates_of_other_keypoints_lie_elsewhere(
    tmp_path: Path, body: BodyModel, monkeypatch: pytest.MonkeyPatch
):
    camera = Camera(torch.tensor([420.0, 420.0]), torch.tensor([150.0, 110.0]), (320, 240))
    drawn = draw_crops(
        [full_record(body, 0, camera)], CropSpec("made", {}, resolution=96, maps=48), tmp_path / "c"
    )
    folders: list[Path] = []
    monkeypatch.setattr(larder, "stock_candidates", lambda *given: folders.append(given[5]))
    monkeypatch.setattr(larder, "default_pool", lambda: None)
    tools = Tools(None, None, None, None)  # type: ignore[arg-type]
    for labels in (Labels(), Labels(seed=1), Labels(keypoints=0.5), Labels(keypoints=0.5, seed=1)):
        source = CropSource(drawn, labels, "coco17")
        candidates_of(source, RECIPE, CandidateStart(2), Pantry(tmp_path, body, None), tools)
    assert [folder.name for folder in folders] == [
        "starts-coco17",
        "starts-coco17",
        "starts-coco17-0.5-0",
        "starts-coco17-0.5-1",
    ]
