"""The small backbone: learns, goes on after a kill, and is where small networks start."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bodyloop.body import BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.crops import CropSpec, draw_crops
from bodyloop.geometry import Camera
from bodyloop.nets.backbones import SHIPPED, load_backbone, make_backbone
from bodyloop.nets.build import build
from bodyloop.nets.hmr import HmrConfig
from bodyloop.nets.landmarks import LandmarkNet
from bodyloop.train.backbone import (
    BackboneConfig,
    keypoint_error,
    keypoint_labels,
    look_of,
    train_backbone,
)
from bodyloop.train.feed import Feed
from made_up_people import full_record

CAMERA = Camera(torch.tensor([420.0, 420.0]), torch.tensor([150.0, 110.0]), (320, 240))
LOOK = look_of("image")
CONFIG = BackboneConfig(width=8, resolution=32, steps=6, batch=4, rate=5e-3)


@pytest.fixture(scope="module")
def feed(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Feed:
    records = [full_record(body, seed, CAMERA) for seed in range(4)]
    spec = CropSpec("made", {}, resolution=48, maps=48, dense=20)
    crops = draw_crops(records, spec, tmp_path_factory.mktemp("crops"))
    return Feed(CropBatches([CropSource(crops)], AugmentConfig.none(32), body), [1.0], 4)


def test_landmarks_outside_the_crop_are_no_labels(feed: Feed):
    places, known = keypoint_labels(feed[0].batch)
    assert known.any()
    assert (places[known].abs() < 1).all()


def test_a_few_people_are_learnt(feed: Feed, tmp_path: Path):
    torch.manual_seed(0)
    before = LandmarkNet("resnet18", 8)
    config = BackboneConfig(width=8, resolution=32, steps=120, batch=4, rate=5e-3)
    after = train_backbone(feed, tmp_path / "b.safetensors", config, lambda line: None)
    batch = feed[0].batch
    assert float(keypoint_error(after.train(), batch, LOOK)) < 0.5 * float(
        keypoint_error(before, batch, LOOK)
    )


def test_a_killed_run_ends_the_same(feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bodyloop.train.backbone.REPORT_EVERY", 2)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_backbone(feed, whole, CONFIG, lambda line: None)

    def killed(line: str) -> None:
        if line.startswith("step 6"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_backbone(feed, parts, CONFIG, killed)
    told: list[str] = []
    train_backbone(feed, parts, CONFIG, told.append)
    assert [line.split()[1] for line in told] == ["6"], "it went on after step 4"
    a, b = load_file(whole), load_file(parts)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not parts.with_suffix(".ckpt").exists()


def test_the_file_is_a_backbone(feed: Feed, tmp_path: Path):
    path = tmp_path / "b.safetensors"
    network = train_backbone(feed, path, CONFIG, lambda line: None)
    other = make_backbone("resnet18", 8)
    load_backbone(other, "resnet18", path)
    for name, value in network.backbone.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-3, atol=1e-3)


def test_the_shipped_one_fits_small_networks():
    network = build(HmrConfig.small(), backbones={"image": SHIPPED})
    weights = network.backbones()["image"][1].state_dict()["conv1.weight"]
    assert not torch.equal(
        weights, build(HmrConfig.small()).backbones()["image"][1].state_dict()["conv1.weight"]
    )
