"""Training and export on the command line: every mistake is a message, and what was trained is exported."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodyloop.cli import main
from bodyloop.errors import InputError
from bodyloop.nets.build import build, save_estimator
from bodyloop.train.config import RecordData, SyntheticData
from bodyloop.train.recipes import get_recipe
from bodyloop.train.settings import to_text
from bodyloop.train_jobs import ExportJob, TrainingJob, export_network, train_network, with_mocap
from made_up_crops import TINY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "spine"], "no recipe is called 'spine'"),
        (["train", "none.json"], "no such file"),
        (["train", "spin", "--set", "seed"], "expected NAME=VALUE"),
        (["train", "spin", "--set", "phases.7.steps=3"], "expected a number from 0 to 0"),
        (["train", "spin", "--devices", "0"], "at least one device"),
        (["train", "spin", "--workers", "-1"], "no fewer than 0 workers"),
        (
            ["train", "spin", "--mocap", "nowhere", "--scale", "smoke"],
            "expected a folder with CMU motion capture",
        ),
        (["train", "spin", "--body", "nowhere.pkl"], "nowhere.pkl"),
        (["train", "spin", "--atlas", "nowhere.mat"], "--atlas: is for SMPL's own body"),
        (["train", "spin", "--mirror", "nowhere.mat"], "--mirror: is for SMPL's own body"),
        (
            ["train", "pose2d", "--precision", "bf16-mixed"],
            "--precision: 2D pose and consistency networks train in single",
        ),
        (["train", "pose2d", "--channels-last"], "--channels-last: 2D pose and consistency networks train"),
        (["train", "pose2d", "--log", "tensorboard"], "--log: 2D pose and consistency networks train"),
        (["train", "spin", "--backbone", "nowhere.pth", "--set", "phases.0.data.0.domain=moon"], "moon"),
    ],
)
def test_mistakes_are_messages(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main([*arguments, "-o", str(tmp_path / "run"), "--crops", str(tmp_path / "crops")]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_without_lightning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "lightning.fabric", None)
    with pytest.raises(InputError, match=r"bodyloop\[train\]"):
        train_network(TrainingJob("spin", tmp_path / "run", "smoke"))


def test_devices_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="cannot be had"):
        train_network(TrainingJob("spin", tmp_path / "run", "smoke", accelerator="gpu"))


def test_a_folder_that_cannot_be_written_to(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        train_network(TrainingJob("spin", tmp_path / "file" / "run", "smoke", accelerator="cpu"))


def test_a_file_says_its_own_scale(tmp_path: Path):
    file = tmp_path / "own.json"
    file.write_text(to_text(get_recipe("spin", "smoke")))
    assert TrainingJob(str(file), tmp_path).read() == get_recipe("spin", "smoke")
    assert TrainingJob("spin", tmp_path).read() == get_recipe("spin", "cpu")
    with pytest.raises(InputError, match=r"--scale: .*own\.json says all sizes itself"):
        TrainingJob(str(file), tmp_path, "smoke").read()


def test_motion_capture_is_part_of_the_recipe():
    recipe = with_mocap(get_recipe("rong"))
    assert all(isinstance(d, SyntheticData) and d.poses == "mocap" for p in recipe.phases for d in p.data)
    assert isinstance(recipe.validation, SyntheticData)
    assert recipe.validation.poses == "mocap"


def test_a_real_data_set_that_is_not_there(tmp_path: Path):
    recipe = get_recipe("spin", "smoke")
    data = (RecordData(str(tmp_path / "none.json")),)
    phase = recipe.phases[0]
    file = tmp_path / "own.json"
    text = to_text(
        type(recipe)(**{**vars(recipe), "phases": (type(phase)(**{**vars(phase), "data": data}),)})
    )
    file.write_text(text)
    with pytest.raises(InputError, match=r"none\.json"):
        train_network(TrainingJob(str(file), tmp_path / "run", accelerator="cpu"))


def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    weights, found = tmp_path / "net.safetensors", []
    save_estimator(build(TINY["hmr"]), weights)
    monkeypatch.setattr("bodyloop.nets.onnx.export_onnx", lambda network, path: found.append((network, path)))
    assert main(["export", str(weights), "--onnx", str(tmp_path / "net.onnx")]) == 0
    ((network, path),) = found
    assert network.config == TINY["hmr"]
    assert path == tmp_path / "net.onnx"
    assert "net.onnx" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        export_network(ExportJob(weights, tmp_path / "net.pb"))
    with pytest.raises(InputError, match="no such file"):
        export_network(ExportJob(tmp_path / "none", tmp_path / "net.onnx"))


def test_training_on_a_real_data_set_of_smpls_own_body(tmp_path: Path, smpl_arrays: dict[str, np.ndarray]):
    """SPIN's files, with pictures: no synthetic people, no atlas."""
    np.savez(tmp_path / "smpl.npz", **smpl_arrays)
    count, rng = 6, np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (80, 80, 3), dtype=np.uint8)).save(tmp_path / f"{i}.jpg")
    place = rng.uniform(10, 70, (count, 24, 2))
    np.savez(
        tmp_path / "spin.npz",
        imgname=np.array([f"{i}.jpg" for i in range(count)]),
        center=np.full((count, 2), 40.0),
        scale=np.full(count, 0.4),
        part=np.concatenate([place, np.ones((count, 24, 1))], 2),
        pose=rng.normal(0, 0.2, (count, 72)),
        shape=rng.normal(0, 1, (count, 10)),
        has_smpl=np.ones(count),
    )
    data = RecordData(str(tmp_path / "spin.npz"), images=str(tmp_path))
    recipe = get_recipe("spin", "smoke")
    recipe = replace(recipe, phases=(replace(recipe.phases[0], data=(data,)),), validation=data)
    (tmp_path / "own.json").write_text(to_text(recipe))
    job = TrainingJob(
        str(tmp_path / "own.json"), tmp_path / "run", body=tmp_path / "smpl.npz", accelerator="cpu", workers=0
    )
    done, _ = train_network(job)
    assert done.last.exists()
    with pytest.raises(InputError, match="leave --body out"):
        train_network(replace(job, recipe="spin", scale="smoke", out=tmp_path / "other"))
