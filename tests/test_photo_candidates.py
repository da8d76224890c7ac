"""``bodyloop fit --starts candidates:N``: every candidate fitted, one chosen, all kept."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop.body import BodyModel
from bodyloop.cli import main
from bodyloop.fit.pool import CandidatePool, default_pool, save_pool
from bodyloop.nets import cen
from bodyloop.nets.cen import Cen, CenConfig
from bodyloop.view import load_npz
from fit.people import CAMERA, observed

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(tmp_path: Path, body: BodyModel, capsys: pytest.CaptureFixture[str]) -> Call:
    """Fits a grey photo of two people with known keypoints; gives status and what was said."""
    _, evidence = observed(body, 2)
    Image.new("RGB", CAMERA.size, (120, 120, 120)).save(tmp_path / "good.jpg")
    rows = torch.cat([evidence.keypoints, evidence.confidence[..., None]], -1)
    people = [{"keypoints": person} for person in rows.tolist()]
    keypoints = {"format": "bodyloop-keypoints", "skeleton": "coco17", "images": {"good.jpg": people}}
    (tmp_path / "k.json").write_text(json.dumps(keypoints))

    def run(*options: str) -> tuple[int, str]:
        files = [
            str(tmp_path / "good.jpg"),
            "-o",
            str(tmp_path / "out"),
            "--keypoints",
            str(tmp_path / "k.json"),
        ]
        status = main(["fit", *files, "--focal", "1200", "--no-pictures", "--formats", "npz", *options])
        told = capsys.readouterr()
        return status, " ".join((told.out + told.err).split())

    return run


def test_all_fits_are_kept_and_the_lowest_energy_is_chosen(call: Call, tmp_path: Path):
    status, said = call("--starts", "candidates:3")
    assert status == 0
    assert "candidate" in said
    saved = load_npz(tmp_path / "out" / "good" / "body.npz")
    person, energy = saved.scores["tried_person"], saved.scores["tried_energy"]
    assert sorted(person.tolist()) == [0, 0, 0, 1, 1, 1]
    for i in range(2):
        assert saved.scores["energy"][i] == pytest.approx(energy[person == i].min())
        best = np.flatnonzero(person == i)[energy[person == i].argmin()]
        assert np.allclose(saved.bodies.pose[i].numpy(), saved.scores["tried_pose"][best], atol=1e-5)


def test_the_lifter_is_one_more(call: Call, tmp_path: Path):
    assert call("--starts", "lifter", "candidates:2")[0] == 0
    started = load_npz(tmp_path / "out" / "good" / "body.npz").scores["tried_start"]
    assert sorted(started.tolist()) == [
        "candidate 1",
        "candidate 1",
        "candidate 2",
        "candidate 2",
        "lifter",
        "lifter",
    ]


def test_a_network_may_choose(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Here one that takes the body that it is shown last for the nearest, whatever its energy."""

    class Last(Cen):
        shown = 0

        def forward(self, image: torch.Tensor, pncc: torch.Tensor) -> torch.Tensor:
            Last.shown += 1
            return torch.full((len(pncc), 1), -float(Last.shown))

    network = Last(CenConfig("resnet18", 8, 64, 20)).eval()
    monkeypatch.setattr(cen, "default_cen", lambda: network)
    assert call("--starts", "candidates:4", "--choose", "cen")[0] == 0
    saved = load_npz(tmp_path / "out" / "good" / "body.npz")
    assert len(saved.scores["tried_energy"]) == 8
    energy, person = saved.scores["tried_energy"], saved.scores["tried_person"]
    for i in range(2):  # alternatives are shown in the order of their energies
        assert saved.scores["energy"][i] == energy[person == i].max() > energy[person == i].min()


def test_pool_and_judge_of_ones_own(call: Call, tmp_path: Path):
    """Poses of a pool of one pose, whatever is fitted after; a judge that was trained otherwise is asked."""
    whole = default_pool()
    save_pool(tmp_path / "own.npz", CandidatePool(whole.pose[:1], whole.turns))
    network = cen.Cen(CenConfig("resnet18", 8, 64, 20))
    cen.save_cen(network, tmp_path / "cen.safetensors", torch.float32)
    own = ["--pool", str(tmp_path / "own.npz"), "--judge", str(tmp_path / "cen.safetensors")]
    assert call("--starts", "candidates:3", "--choose", "cen", *own)[0] == 0
    mine = load_npz(tmp_path / "out" / "good" / "body.npz")
    assert call("--starts", "candidates:3", "--choose", "cen")[0] == 0
    usual = load_npz(tmp_path / "out" / "good" / "body.npz")
    assert not torch.allclose(mine.bodies.rotations, usual.bodies.rotations, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--choose", "cen"], "nothing to choose from"),
        (["--starts", "candidates:3", "--prior", "flow"], "leave one of them out"),
        (["--starts", "candidates:5000"], "at most 100"),
        (["--starts", "candidates:0"], "candidates:5"),
        (["--starts", "candidates:2", "."], "candidates or a file"),
        (["--pool", "pool.npz"], "nothing starts from it"),
        (["--starts", "candidates:2", "--pool", "nowhere.npz"], "no such file"),
        (["--starts", "candidates:2", "--judge", "cen.safetensors"], "goes with --choose cen"),
        (["--starts", "candidates:2", "--choose", "cen", "--judge", "nowhere"], "no such file"),
    ],
)
def test_what_does_not_go_together_is_told(call: Call, options: list[str], reason: str):
    status, said = call(*options)
    assert status == 2
    assert reason in said
