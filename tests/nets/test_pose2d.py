"""The 2D pose network: shapes, files, and backbones that others begin with."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bodyloop.errors import InputError
from bodyloop.nets.build import build, save_estimator
from bodyloop.nets.pose2d import Pose2dConfig, build_pose2d, load_pose2d, save_pose2d
from made_up_crops import SIDE, TINY, random_crops

CONFIG = Pose2dConfig("resnet18", 8, SIDE, channels=16)


def test_heatmaps_of_a_quarter_of_the_crop():
    heatmaps = build_pose2d(CONFIG)(random_crops(2).image)
    assert heatmaps.shape == (2, 17, SIDE // 4, SIDE // 4)


def test_the_papers_size():
    """34.0 million parameters (Xiao et al. 2018, table 2's ResNet-50 with three deconvolutions of 256 channels)."""
    count = sum(p.numel() for p in build_pose2d(Pose2dConfig()).parameters())
    assert count == pytest.approx(34.0e6, rel=0.01)


def test_file_round_trip_is_exact(tmp_path: Path):
    network, image = build_pose2d(CONFIG, 3).eval(), random_crops(2).image
    save_pose2d(network, tmp_path / "n.safetensors")
    back = load_pose2d(tmp_path / "n.safetensors")
    assert back.config == CONFIG
    assert torch.equal(back(image), network(image))


@pytest.mark.parametrize("name", ["hmr", "one branch", "joints", "latent stages"])
def test_other_networks_begin_with_its_backbone(name: str, tmp_path: Path):
    first = build_pose2d(CONFIG, 3)
    save_pose2d(first, tmp_path / "n.safetensors")
    network = build(TINY[name], backbones={"image": tmp_path / "n.safetensors"})
    _, backbone = network.backbones()["image"]
    theirs = first.backbone.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in backbone.state_dict().items())


def test_a_network_begins_with_another_ones_backbone(tmp_path: Path):
    first = build(TINY["hmr"], 3)
    save_estimator(first, tmp_path / "n.safetensors")
    network = build(TINY["joints"], backbones={"image": tmp_path / "n.safetensors"})
    theirs = first.backbone.state_dict()
    assert all(torch.equal(v, theirs[k]) for k, v in network.backbone.state_dict().items())


def test_what_is_no_such_network(tmp_path: Path):
    with pytest.raises(InputError, match="no such file"):
        load_pose2d(tmp_path / "n.safetensors")
    save_estimator(build(TINY["hmr"]), tmp_path / "n.safetensors")
    with pytest.raises(InputError, match="of the kind hmr"):
        load_pose2d(tmp_path / "n.safetensors")
    save_file({"a": torch.zeros(1)}, str(tmp_path / "n.safetensors"), {"network": "pose2d", "config": "{}"})
    with pytest.raises(InputError, match="not a 2D pose network"):
        load_pose2d(tmp_path / "n.safetensors")
    with pytest.raises(InputError, match="crop to 64 pixels"):
        build_pose2d(CONFIG)(torch.zeros(2, 3, 32, 32))
    with pytest.raises(InputError, match="skeleton should be"):
        Pose2dConfig(skeleton="octopus")
