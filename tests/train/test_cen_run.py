"""Consistency networks by the common training command: learn, go on after a kill, and say what cannot be."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodyloop.cli import main
from bodyloop.errors import InputError
from bodyloop.nets.cen import load_cen
from bodyloop.train import cen as training_room
from bodyloop.train.cen_run import ERROR, CenRecipe, cen
from bodyloop.train.recipes import spin
from bodyloop.train.run_files import LAST, RECIPE, STATE
from bodyloop.train.settings import from_text, to_text
from bodyloop.train_jobs import TrainingJob, train_network


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


def job(out: Path, crops: Path, *changes: str, **more: object) -> TrainingJob:
    recipe = str(more.pop("recipe", "cen"))
    scale = None if recipe.endswith(".json") else "smoke"
    return TrainingJob(recipe, out, scale, changes, crops, accelerator="cpu", workers=0, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", ["smoke", "cpu", "gpu"])
def test_recipes_survive_json(scale: str):
    recipe = cen(scale)  # type: ignore[arg-type]
    assert from_text(CenRecipe, to_text(recipe)) == recipe


def test_a_stopped_run_ends_the_same(crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training_room, "REPORT_EVERY", 2)
    whole, files = train_network(job(tmp_path / "whole", crops, "training.steps=4"))
    assert files == [tmp_path / "whole" / LAST]
    assert whole.errors[ERROR] > 0

    def stopped(line: str) -> None:
        if line.startswith("step 4"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_network(job(tmp_path / "parts", crops, "training.steps=4"), stopped)
    assert (tmp_path / "parts" / STATE).exists()
    with pytest.raises(InputError, match="holds a run already"):
        train_network(job(tmp_path / "parts", crops, "training.steps=4"))
    parts, _ = train_network(job(tmp_path / "parts", crops, "training.steps=4", resume=True))
    for a, b in zip(load_cen(whole.last).parameters(), load_cen(parts.last).parameters(), strict=True):
        assert torch.equal(a, b)
    assert not (tmp_path / "parts" / STATE).exists()
    file = str(tmp_path / "whole" / RECIPE)
    again, _ = train_network(job(tmp_path / "again", crops, recipe=file))
    assert again.errors == whole.errors


def test_refined_candidates_need_the_transformer_first(crops: Path, tmp_path: Path):
    told: list[str] = []
    train_network(job(tmp_path / "run", crops, "training.refined=0.5"), told.append)
    assert any(line.startswith("mrt first") for line in told)
    assert len(list(tmp_path.glob("mrt-*"))) == 1


def test_what_cannot_be(crops: Path, tmp_path: Path):
    with pytest.raises(InputError, match="one device, got 2"):
        train_network(job(tmp_path / "run", crops, devices=2))
    with pytest.raises(InputError, match="starts from candidates"):
        replace(cen("smoke"), people=spin("smoke"))
    assert main(["train", "cen", "-o", str(tmp_path / "run"), "--backbone", "hub"]) == 2
