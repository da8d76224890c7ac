"""2D pose networks: learn, go on after a kill, and say what cannot be."""

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.nets.pose2d import Pose2d, build_pose2d, load_pose2d
from bodyloop.train.config import Pose2dRecipe
from bodyloop.train.moon import pose2d
from bodyloop.train.pose2d import pose2d_loss
from bodyloop.train.run_files import LAST, LOG, RECIPE, STATE
from bodyloop.train.settings import from_text, to_text
from bodyloop.train_jobs import TrainingJob, train_network


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


def job(out: Path, crops: Path, *changes: str, **more: object) -> TrainingJob:
    recipe = str(more.pop("recipe", "pose2d"))
    scale = None if recipe.endswith(".json") else "smoke"
    return TrainingJob(recipe, out, scale, changes, crops, accelerator="cpu", workers=0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", ["smoke", "cpu", "gpu"])
def test_recipes_survive_json(scale: str):
    recipe = pose2d(scale)  # type: ignore[arg-type]
    assert from_text(Pose2dRecipe, to_text(recipe)) == recipe
    assert recipe.augment.resolution == recipe.network.resolution


def test_a_few_people_are_learnt(crops: Path, tmp_path: Path):
    still = [f"augment.{n}=0" for n in ("flip_chance", "rotation_chance", "scale_sd", "occlusion_chance")]
    still += ["augment.channel_gain=0", "optimiser.schedule=constant"]
    changes = ("steps=60", "report_every=30", "optimiser.batch=8", "optimiser.rate=3e-3", *still)
    done, files = train_network(job(tmp_path / "run", crops, *changes))
    assert files == [tmp_path / "run" / LAST]
    assert isinstance(load_pose2d(files[0]), Pose2d)
    lines = list(csv.DictReader((tmp_path / "run" / LOG).read_text().splitlines()))
    losses = [float(line["loss"]) for line in lines]
    nothing = (
        math.pi * 1.0**2 / 16**2
    )  # what empty heatmaps of 16 x 16 cells cost beside Gaussians of one cell
    assert losses[-1] < 0.5 * nothing
    assert done.errors["keypoint_px"] == pytest.approx(float(lines[-1]["keypoint_px"]), rel=1e-4)


def test_a_stopped_run_ends_the_same(crops: Path, tmp_path: Path):
    whole, _ = train_network(job(tmp_path / "whole", crops, "steps=6"))

    def stopped(line: str) -> None:
        if line.startswith("step 4"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_network(job(tmp_path / "parts", crops, "steps=6"), stopped)
    assert (tmp_path / "parts" / STATE).exists()
    parts, _ = train_network(job(tmp_path / "parts", crops, "steps=6", resume=True))
    a, b = load_file(whole.last), load_file(parts.last)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert (tmp_path / "whole" / LOG).read_text() == (tmp_path / "parts" / LOG).read_text()
    again, _ = train_network(job(tmp_path / "parts", crops, "steps=6", resume=True))
    assert again.errors["keypoint_px"] == pytest.approx(whole.errors["keypoint_px"])
    with pytest.raises(InputError, match="holds a run already"):
        train_network(job(tmp_path / "parts", crops, "steps=6"))
    with pytest.raises(InputError, match="another recipe"):
        train_network(job(tmp_path / "parts", crops, "steps=7", resume=True))


def test_recipes_from_files_and_backbones(crops: Path, tmp_path: Path):
    first, _ = train_network(job(tmp_path / "first", crops))
    file = str(tmp_path / "first" / RECIPE)
    again, _ = train_network(job(tmp_path / "again", crops, recipe=file))
    a, b = load_file(first.last), load_file(again.last)
    assert all(torch.equal(a[name], b[name]) for name in a)
    classifier = ("start=classifier",)
    with pytest.raises(InputError, match="--backbone FILE"):
        train_network(job(tmp_path / "none", crops, *classifier))
    begun, _ = train_network(job(tmp_path / "begun", crops, *classifier, backbone=str(first.last)))
    assert not torch.equal(load_file(begun.last)["heatmaps.bias"], a["heatmaps.bias"])


def test_what_cannot_be(crops: Path, tmp_path: Path):
    with pytest.raises(InputError, match="one device, got 2"):
        train_network(job(tmp_path / "run", crops, devices=2))
    with pytest.raises(InputError, match="no scale"):
        train_network(replace(job(tmp_path / "run", crops), scale="huge"))
    with pytest.raises(InputError, match="needs a step"):
        replace(pose2d("smoke"), steps=0)


def test_unlabelled_keypoints_do_not_matter(body, tmp_path: Path):
    from bodyloop.data.augment import AugmentConfig
    from bodyloop.data.crop_batches import CropBatches, CropSource
    from bodyloop.data.crops import CropSpec, draw_crops
    from bodyloop.data.mixture import Draw
    from bodyloop.geometry import Camera
    from made_up_people import full_record

    camera = Camera(torch.tensor([420.0, 420.0]), torch.tensor([150.0, 110.0]), (320, 240))
    spec = CropSpec("made", {}, resolution=96, maps=48, dense=20)
    drawn = draw_crops([full_record(body, seed, camera) for seed in range(2)], spec, tmp_path)
    people = CropBatches([CropSource(drawn)], AugmentConfig.none(64), body)
    batch = people.lesson([Draw(0, 0, 0), Draw(0, 1, 1)], stream(0)).batch
    network = build_pose2d(pose2d("smoke").network).eval()
    nose = batch.skeleton.index("nose")
    hidden = batch.confidence.clone()
    hidden[:, nose] = 0
    batch = replace(batch, confidence=hidden)
    moved = batch.keypoints.clone()
    moved[:, nose] = torch.nan
    before, after = (pose2d_loss(network, b, 1.0) for b in (batch, replace(batch, keypoints=moved)))
    assert torch.equal(before, after)
