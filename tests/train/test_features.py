"""Features that are kept: what the network would have seen, made once, and trained with in place of pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bodyloop.body import BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.crops import CropSpec, draw_crops
from bodyloop.errors import InputError
from bodyloop.geometry import Camera
from bodyloop.nets.build import build
from bodyloop.nets.hmr import Hmr, HmrConfig
from bodyloop.nets.mrt import Mrt, MrtConfig
from bodyloop.train.config import Recipe
from bodyloop.train.features import keep_features
from bodyloop.train.recipes import get_recipe
from bodyloop.train.regressor import Regressor
from bodyloop.train.run import train
from bodyloop.train_jobs import TrainingJob, train_network
from made_up_people import full_record

CAMERA = Camera(torch.tensor([420.0, 420.0]), torch.tensor([150.0, 110.0]), (320, 240))
SMALL = HmrConfig("landmarks18", 8, 32, 16)


@pytest.fixture
def batches(body: BodyModel, tmp_path: Path) -> CropBatches:
    records = [full_record(body, seed, CAMERA) for seed in range(5)]
    crops = draw_crops(records, CropSpec("made", {}, resolution=48, maps=48, dense=20), tmp_path / "crops")
    return CropBatches([CropSource(crops)], AugmentConfig(32), body)


def test_they_are_what_the_network_sees(batches: CropBatches, body: BodyModel):
    regressor = Regressor(build(SMALL), body)
    told: list[tuple[int, int]] = []
    kept = keep_features(batches, 0, 2, regressor, lambda done, wanted: told.append((done, wanted)))
    assert told == [(1, 2), (2, 2)]
    assert regressor.network.training, "as it was"
    regressor.network.eval()
    for version in range(2):
        crops = regressor.crops(batches.version(0, version, range(5)).batch)
        with torch.no_grad():
            wanted = regressor.network.look(crops, "image")
        torch.testing.assert_close(
            torch.from_numpy(kept.features["image"][version].astype(np.float32)), wanted, rtol=2e-3, atol=2e-3
        )


def test_they_are_made_once_for_the_same_backbone(batches: CropBatches, body: BodyModel):
    told: list[int] = []

    def keep(network: torch.nn.Module, versions: int) -> None:
        keep_features(batches, 0, versions, Regressor(network, body), lambda done, wanted: told.append(done))  # type: ignore[arg-type]

    first = build(SMALL, 0)
    keep(first, 1)
    keep(first, 1)
    assert told == [1]
    keep(first, 2)  # adds one
    assert told == [1, 2]
    other = build(SMALL, 1)
    keep(other, 1)
    assert told == [1, 2, 1], "another backbone sees other things"
    other.load_state_dict(first.state_dict())
    with torch.no_grad():
        other.correction.bias.add_(1)
    keep(other, 2)
    assert told == [1, 2, 1], "heads do not matter"


def test_what_networks_want_of_the_same_backbone_is_kept_apart(batches: CropBatches, body: BodyModel):
    one, other = build(SMALL, 0), build(MrtConfig("landmarks18", 8, 32, 12, 2, 1, 1, 16, stride=2), 0)
    other.backbone.load_state_dict(one.backbone.state_dict())
    sizes = {
        type(network): keep_features(batches, 0, 1, Regressor(network, body)).features["image"][0].shape[1]
        for network in (one, other)
    }
    assert sizes == {Hmr: 64 + 3 * 45, Mrt: 64 + 4 * 32}


def test_damaged_files_are_told(batches: CropBatches, body: BodyModel):
    regressor = Regressor(build(SMALL), body)
    keep_features(batches, 0, 1, regressor)
    (file,) = batches.sources[0].crops.folder.glob("features-image-*/00.npy")
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(InputError, match="delete the file"):
        keep_features(batches, 0, 1, regressor)


CHANGES = ("start=shipped", "versions=2", "network.width=16")
"""Made with the small backbone that ships, which is for 16 channels."""


def job(out: Path, crops: Path, *changes: str, resume: bool = False, recipe: str = "spin") -> TrainingJob:
    return TrainingJob(
        recipe, out, "smoke", (*CHANGES, *changes), crops, resume=resume, accelerator="cpu", workers=0
    )


@pytest.mark.parametrize("name", ["spin", "mrt"])
def test_the_backbone_stays_and_the_rest_learns(tmp_path: Path, name: str):
    done, _ = train_network(job(tmp_path / "run", tmp_path / "crops", recipe=name))
    recipe = get_recipe(name, "smoke")
    config = replace(recipe.network, width=16)  # type: ignore[type-var]
    before = build(config, recipe.seed, {"image": "shipped"}).state_dict()
    after = load_file(done.last)
    still = {name: torch.equal(value, before[name]) for name, value in after.items() if name in before}
    assert all(same for name, same in still.items() if name.startswith("backbone."))
    own = ("regressor.", "encoder.layers.0.linear", "upsampling.0")
    assert not any(same for name, same in still.items() if name.startswith(own) and "weight" in name)


def test_a_run_that_was_stopped_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole, _ = train_network(job(tmp_path / "whole", tmp_path / "crops", "save_every=2"))

    def stopped(*a, **k):  # type: ignore[no-untyped-def]
        return train(*a, **k, until=3)

    monkeypatch.setattr("bodyloop.train_jobs.train", stopped)
    train_network(job(tmp_path / "parts", tmp_path / "crops", "save_every=2"))
    monkeypatch.setattr("bodyloop.train_jobs.train", train)
    parts, _ = train_network(job(tmp_path / "parts", tmp_path / "crops", "save_every=2", resume=True))
    a, b = load_file(whole.last), load_file(parts.last)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_versions_need_a_backbone_that_was_trained():
    with pytest.raises(InputError, match="start=shipped"):
        replace(get_recipe("spin", "smoke"), versions=2)
    assert isinstance(get_recipe("rong", "cpu"), Recipe)
    assert get_recipe("rong", "cpu").versions > 0  # type: ignore[union-attr]
