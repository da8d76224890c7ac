"""Backbones that are given beside a recipe: told when wrong, before anything is drawn, and the same on going on."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bodyloop.errors import InputError
from bodyloop.nets.build import build
from bodyloop.train import larder
from bodyloop.train.moon import pose2d as pose2d_recipe
from bodyloop.train.recipes import get_recipe
from bodyloop.train.run_files import BACKBONES, LAST
from bodyloop.train_jobs import TrainingJob, train_network


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


def job(recipe: str, out: Path, crops: Path, *changes: str, **more: object) -> TrainingJob:
    scale = str(more.pop("scale", "smoke"))
    return TrainingJob(recipe, out, scale, changes, crops, accelerator="cpu", workers=0, **more)  # type: ignore[arg-type]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Of the backbone of networks of scale smoke."""
    found = build(get_recipe("spin", "smoke").network, 7).backbones()["image"][1].state_dict()
    save_file({name: value.contiguous() for name, value in found.items()}, tmp_path / "resnet18.safetensors")
    return tmp_path / "resnet18.safetensors"


def test_what_a_2d_pose_network_can_begin():
    """As docs/training.md says."""

    def kind(name: str, scale: str) -> tuple[str, int]:
        network = pose2d_recipe(scale).network if name == "pose2d" else get_recipe(name, scale).network  # type: ignore[arg-type]
        return getattr(network, "trunk", None) or network.backbone, network.width  # type: ignore[union-attr]

    for scale, names in {"cpu": (), "gpu": ("spin", "hmr"), "smoke": ("spin", "hmr")}.items():
        for name in ("zanfir", "moon-f", *names):
            assert kind(name, scale) == kind("pose2d", scale), (name, scale)
    assert kind("spin", "cpu") != kind("pose2d", "cpu")


def test_networks_begin_with_what_a_2d_pose_network_learnt(crops: Path, tmp_path: Path):
    first, _ = train_network(job("pose2d", tmp_path / "2d", crops))
    done, _ = train_network(job("zanfir", tmp_path / "z", crops, backbone=str(first.last)))
    assert done.last.exists()
    told = json.loads((tmp_path / "z" / BACKBONES).read_text())
    assert told["image"]["source"] == str(first.last)
    assert f"--backbone {LAST}`" in done.best.with_suffix(".md").read_text().replace("\n  ", " ")


@pytest.mark.parametrize(
    ("recipe", "scale", "given", "message"),
    [
        ("spin", "cpu", "hub", "nobody publishes weights of landmarks18"),
        ("spin", "smoke", "nowhere.pth", "no such file"),
        ("pose2d", "smoke", "nowhere.pth", "no such file"),
        ("pose2d", "cpu", "FILE", "not the weights of resnet18"),
        ("rong-image-iuv", "cpu", "FILE", "not the weights of landmarks18"),
        ("moon-f", "smoke", "FILE", r"begins with the backbone of 'pose2d'.*--set begin=none"),
    ],
)
def test_wrong_files_are_told_before_anything_is_drawn(
    recipe: str,
    scale: str,
    given: str,
    message: str,
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    def draw(*args: object) -> None:
        raise AssertionError("drawn")

    monkeypatch.setattr(larder.Pantry, "crops", draw)
    with pytest.raises(InputError, match=message):
        train_network(
            job(
                recipe,
                tmp_path / "run",
                tmp_path,
                scale=scale,
                backbone=str(weights) if given == "FILE" else given,
            )
        )
    assert not (tmp_path / "run").exists(), "the folder is free for the run with the right file"


def test_every_role_begins_with_the_weights(crops: Path, tmp_path: Path, weights: Path):
    train_network(job("rong-image-iuv", tmp_path / "run", crops, "phases.0.steps=1", backbone=str(weights)))
    told = json.loads((tmp_path / "run" / BACKBONES).read_text())
    assert set(told) == {"image", "iuv"}
    assert told["image"]["sha256"] == told["iuv"]["sha256"]


def test_networks_before_begin_with_the_weights_if_they_want_any(crops: Path, tmp_path: Path, weights: Path):
    change = "begin.start=classifier"
    with pytest.raises(InputError, match="--backbone FILE"):
        train_network(job("moon-f", tmp_path / "f", crops, change))
    train_network(job("moon-f", tmp_path / "f", crops, change, backbone=str(weights), resume=True))
    (told,) = tmp_path.glob(f"pose2d-*/{BACKBONES}")
    assert json.loads(told.read_text())["image"]["source"] == str(weights)
    assert not (tmp_path / "f" / BACKBONES).exists(), "it begins with the 2D pose network"


@pytest.mark.parametrize("name", ["spin", "pose2d"])
def test_a_run_goes_on_with_the_weights_that_it_began_with(
    name: str, crops: Path, tmp_path: Path, weights: Path
):
    out = tmp_path / "run"
    train_network(job(name, out, crops, backbone=str(weights)))
    moved = weights.rename(tmp_path / "moved.safetensors")
    train_network(job(name, out, crops, backbone=str(moved), resume=True))
    with pytest.raises(InputError, match=r"began with --backbone .*resnet18"):
        train_network(job(name, out, crops, resume=True))
    save_file({k: torch.zeros_like(v) for k, v in load_file(moved).items()}, moved)
    with pytest.raises(InputError, match="began with other weights"):
        train_network(job(name, out, crops, backbone=str(moved), resume=True))
    train_network(job(name, tmp_path / "plain", crops))
    with pytest.raises(InputError, match="began without --backbone"):
        train_network(job(name, tmp_path / "plain", crops, backbone=str(moved), resume=True))
