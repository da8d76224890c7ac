"""Runs: every recipe trains, a run that is stopped ends as one that is not, and what cannot be is told."""

import csv
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bodyloop.errors import InputError
from bodyloop.nets.build import load_estimator
from bodyloop.train.config import Recipe
from bodyloop.train.recipes import RECIPES, get_recipe
from bodyloop.train.run import Finished, Machine, train
from bodyloop.train.run_files import BEST, LAST, LOG, RECIPE, STATE
from bodyloop.train.settings import from_text
from bodyloop.train_jobs import TrainingJob, train_network


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


def job(recipe: str, out: Path, crops: Path, *changes: str, **more: object) -> TrainingJob:
    scale = None if recipe.endswith(".json") else "smoke"
    return TrainingJob(recipe, out, scale, changes, crops, accelerator="cpu", workers=0, **more)  # type: ignore[arg-type]


def log(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / LOG).read_text().splitlines()))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains(name: str, crops: Path, tmp_path: Path):
    told: list[str] = []
    done, files = train_network(job(name, tmp_path / "run", crops), told.append)
    assert [path.name for path in files] == [BEST, LAST, "estimator.md"]
    recipe = from_text(Recipe, (tmp_path / "run" / RECIPE).read_text())
    assert recipe == get_recipe(name, "smoke")
    lines = log(tmp_path / "run")
    assert [int(line["step"]) for line in lines] == [1, 2, 3, 4]
    assert all(float(line["loss"]) > 0 for line in lines)
    assert [line["phase"] for line in lines] == [recipe.phases[recipe.phase_at(i)].name for i in range(4)]
    assert float(lines[-1]["pa_mpjpe_mm"]) > 0
    assert done.errors["pa_mpjpe_mm"] == pytest.approx(
        min(float(lines[i]["pa_mpjpe_mm"]) for i in (1, 3)), rel=1e-4
    )
    assert load_estimator(done.best).config == load_estimator(done.last).config == recipe.network
    pictures = sorted((tmp_path / "run" / "pictures").iterdir())
    assert [path.name for path in pictures] == ["step-0000002.jpg", "step-0000004.jpg"]
    card = (tmp_path / "run" / "estimator.md").read_text()
    assert recipe.source in card.replace("\n  ", " ")
    if recipe.loop is not None:
        assert all(line["fits_good"] for line in lines if line["fits_error"])


def same_weights(first: Path, second: Path) -> bool:
    """The order of a file's metadata is not fixed, so bytes may differ."""
    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


STOPPED = ("spin", "hmr", "zanfir")


def straight_and_stopped(
    name: str, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[Finished]:
    """A run in one go, and one stopped after steps 1, 3 and 4: of the first and second a step is lost."""
    changes = ("validate_every=3", "save_every=2")
    steps = [f"phases.{i}.steps={6 // n}" for n in [len(get_recipe(name).phases)] for i in range(n)]
    whole, _ = train_network(job(name, tmp_path / "whole", crops, *changes, *steps))

    def stopping(until: int):  # type: ignore[no-untyped-def]
        return lambda *a, **k: train(*a, **k, until=until)

    for until in (1, 3, 4):
        monkeypatch.setattr("bodyloop.train_jobs.train", stopping(until))
        train_network(job(name, tmp_path / "parts", crops, *changes, *steps, resume=True))
    monkeypatch.setattr("bodyloop.train_jobs.train", train)
    parts, _ = train_network(job(name, tmp_path / "parts", crops, *changes, *steps, resume=True))
    return [whole, parts]


@pytest.mark.parametrize("name", STOPPED)
def test_a_run_that_was_stopped_ends_the_same(name: str, crops: Path, tmp_path: Path, monkeypatch):
    whole, parts = straight_and_stopped(name, crops, tmp_path, monkeypatch)
    assert same_weights(whole.last, parts.last)
    assert same_weights(whole.best, parts.best)
    assert (whole.errors, whole.best_step) == (parts.errors, parts.best_step)
    assert (tmp_path / "whole" / LOG).read_text() == (tmp_path / "parts" / LOG).read_text()
    states = [torch.load(tmp_path / run / STATE, weights_only=True) for run in ("whole", "parts")]
    for a, b in zip(states[0]["fits"], states[1]["fits"], strict=True):
        assert all(torch.equal(value, b[key]) for key, value in a.items())


def test_workers_do_not_matter(crops: Path, tmp_path: Path):
    alone, _ = train_network(job("rong", tmp_path / "alone", crops))
    helped, _ = train_network(replace(job("rong", tmp_path / "helped", crops), workers=1))
    assert same_weights(alone.last, helped.last)


def test_seeds_matter(crops: Path, tmp_path: Path):
    first, _ = train_network(job("rong", tmp_path / "0", crops))
    second, _ = train_network(job("rong", tmp_path / "1", crops, "seed=1"))
    assert not same_weights(first.last, second.last)


def test_half_precision(crops: Path, tmp_path: Path):
    done, _ = train_network(job("spin", tmp_path / "run", crops, precision="bf16-mixed", channels_last=True))
    assert load_estimator(done.last)


def test_a_network_learns_a_few_people_by_heart(crops: Path, tmp_path: Path):
    changes = (
        "phases.0.steps=60", "phases.0.data.1.weight=0", "phases.0.data.2.weight=0", "validate_every=1000",
        "optimiser.rate=2e-3", "optimiser.batch=8", "augment.flip_chance=0", "augment.rotation_chance=0",
        "augment.scale_sd=0", "augment.shift=0", "augment.occlusion_chance=0", "augment.channel_gain=0",
        "network.dropout=0",
    )  # fmt: skip
    train_network(job("everything", tmp_path / "run", crops, *changes))
    losses = [float(line["joints"]) for line in log(tmp_path / "run")]
    assert sum(losses[-10:]) < 0.35 * sum(losses[:10])


def test_folders_that_hold_something_else(crops: Path, tmp_path: Path):
    train_network(job("rong", tmp_path / "run", crops))
    with pytest.raises(InputError, match="--resume"):
        train_network(job("rong", tmp_path / "run", crops))
    with pytest.raises(InputError, match="another recipe"):
        train_network(job("rong", tmp_path / "run", crops, "seed=3", resume=True))
    done, _ = train_network(job("rong", tmp_path / "run", crops, resume=True))
    assert done.last.exists()
    (tmp_path / "run" / STATE).write_bytes(b"spoilt")
    with pytest.raises(InputError, match="delete it to start anew"):
        train_network(job("rong", tmp_path / "run", crops, resume=True))
    (tmp_path / "run" / RECIPE).write_text("{")
    with pytest.raises(InputError, match="expected JSON"):
        train_network(job("rong", tmp_path / "run", crops, resume=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("phases.0.losses.keypoints=0", "phases.0.losses.joints=0", "phases.0.losses.rotations=0",
          "phases.0.losses.betas=0", "phases.0.losses.scale=0"), "no losses"),
        (("seed",), "NAME=VALUE"),
        (("sead=1",), "no such setting"),
        (("phases.0.data.0.poses=mocap",), "--mocap"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together(changes: tuple[str, ...], message: str, crops: Path, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        train_network(job("spin", tmp_path / "run", crops, *changes))


def test_too_few_people_for_the_processes(crops: Path, tmp_path: Path):
    with pytest.raises(InputError, match="at least 2 people for each of 8 processes"):
        train_network(job("spin", tmp_path / "run", crops, devices=8))
    with pytest.raises(InputError, match="at least one device"):
        train_network(job("spin", tmp_path / "run", crops, devices=0))


def test_recipes_from_files(crops: Path, tmp_path: Path):
    train_network(job("rong", tmp_path / "run", crops))
    file = tmp_path / "run" / RECIPE
    again, _ = train_network(job(str(file), tmp_path / "again", crops))
    assert same_weights(again.last, tmp_path / "run" / LAST)
    with pytest.raises(InputError, match="no such file"):
        train_network(job(str(tmp_path / "none.json"), tmp_path / "x", crops))


def test_gradients_that_stay_infinite_end_the_run(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bodyloop.train.run.MOST_SKIPPED", 2)
    monkeypatch.setattr(
        "bodyloop.train.regressor.betas_loss", lambda found, truth, known, distance: (found * torch.inf).sum()
    )
    with pytest.raises(InputError, match=r"lower optimiser\.rate"):
        train_network(job("spin", tmp_path / "run", crops))


def test_machines_are_plain():
    assert Machine() == Machine("auto", 1, 1, "32-true", False, 1, "csv")


@pytest.mark.slow
def test_a_run_that_was_killed_ends_the_same(crops: Path, tmp_path: Path):
    """kill -9 at any moment, as often as it takes."""
    command = [
        sys.executable, "-m", "bodyloop.cli", "train", "spin", "--scale", "smoke", "--crops", str(crops), "--workers",
        "1", "--accelerator", "cpu", "--set", "phases.0.steps=60", "save_every=7", "validate_every=20",
    ]  # fmt: skip
    subprocess.run([*command, "-o", str(tmp_path / "whole")], check=True)
    parts = tmp_path / "parts"
    for target in (5, 18, 33):
        run = subprocess.Popen([*command, "-o", str(parts), "--resume"])
        while run.poll() is None and (not (parts / LOG).exists() or len(log(parts)) < target):
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.wait()
    subprocess.run([*command, "-o", str(parts), "--resume"], check=True)
    for name in (LAST, BEST):
        assert same_weights(tmp_path / "whole" / name, parts / name), name
    assert (tmp_path / "whole" / LOG).read_text() == (parts / LOG).read_text()


@pytest.mark.slow
def test_two_processes(crops: Path, tmp_path: Path):
    command = [
        sys.executable, "-m", "bodyloop.cli", "train", "spin", "-o", str(tmp_path / "run"), "--scale", "smoke",
        "--crops", str(crops), "--workers", "0", "--accelerator", "cpu", "--devices", "2",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    assert [int(line["step"]) for line in log(tmp_path / "run")] == [1, 2, 3, 4]
    assert load_estimator(tmp_path / "run" / LAST)
