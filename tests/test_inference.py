"""``bodyloop infer``, end to end, with random networks."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import bodyloop.detect
from bodyloop.cli import main
from bodyloop.evidence import Evidence, IuvMap, write_iuv, write_keypoints
from bodyloop.nets.build import build, save_estimator
from bodyloop.view import load_npz
from fit.people import CAMERA, observed
from made_up_crops import TINY


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    names = ("hmr", "image and iuv", "parts alone", "latent stages")
    for name in names:
        save_estimator(build(TINY[name]), folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in names}


@pytest.fixture(scope="module")
def two(body) -> Evidence:
    return observed(body, 2)[1]


@pytest.fixture
def folder(tmp_path: Path, two: Evidence) -> Path:
    """Two photos of noise, keypoints of two people on one and of one on the other, and their boxes."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 255, (*CAMERA.size[::-1], 3), np.uint8)).save(tmp_path / name)
    sizes = {name: CAMERA.size for name in ("a.png", "b.png")}
    write_keypoints(tmp_path / "k.json", {"a.png": two, "b.png": two[:1]}, sizes)
    lines = [
        f"{name},{x0},{y0},{x1 - x0},{y1 - y0}"
        for name, people in (("a.png", two), ("b.png", two[:1]))
        for x0, y0, x1, y1 in people.boxes.tolist()
    ]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def infer(folder: Path, weights: dict[str, Path], capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: object, network: str = "hmr", keypoints: bool = True) -> tuple[int, str]:
        known = ["--keypoints", folder / "k.json"] if keypoints else []
        common = ["-o", folder / "out", "--weights", weights[network], "--no-pictures", "--focal", 1200]
        status = main([str(x) for x in ("infer", *arguments, *common, *known)])
        captured = capsys.readouterr()
        text = " ".join((captured.out + captured.err).split())
        assert "Traceback" not in text
        assert "internal error" not in text
        return status, text

    return run


@pytest.mark.parametrize("network", ["hmr", "latent stages"])
def test_photos_become_files(infer, folder: Path, two: Evidence, network: str):
    status, text = infer(folder / "a.png", folder / "b.png", network=network)
    assert status == 0
    assert "2 photos, 3 people found" in text
    saved = load_npz(folder / "out" / "a" / "body.npz")
    assert saved.scores["start"].tolist() == ["network"] * 2
    assert saved.scores["label"].tolist() == list(two.labels)
    assert np.isfinite(saved.scores["error_px"]).all()
    assert (saved.scores["energy_pose"] > 0).all()
    assert "network_energy" not in saved.scores
    alone = load_npz(folder / "out" / "b" / "body.npz").bodies
    assert alone.batch_shape == (1,)
    assert (folder / "out" / "b" / "body.glb").exists()


def test_refining_tells_both(infer, folder: Path):
    status, text = infer(folder / "a.png", "--refine", "--formats", "npz")
    assert status == 0
    assert "network px" in text
    scores = load_npz(folder / "out" / "a" / "body.npz").scores
    assert (scores["energy"] <= scores["network_energy"]).all()
    assert scores["network_error_px"].shape == (2,)
    better = scores["energy"] < scores["network_energy"]
    assert scores["start"].tolist() == ["refined" if yes else "network" for yes in better]


def test_boxes_alone(infer, folder: Path):
    status, text = infer(
        folder / "a.png", "--boxes", folder / "boxes.csv", "--detector", "none", keypoints=False
    )
    assert status == 0
    assert "only 0 keypoints seen" in text
    scores = load_npz(folder / "out" / "a" / "body.npz").scores
    assert np.isnan(scores["error_px"]).all()
    assert not scores["trusted"].any()
    status, text = infer(folder / "a.png", "--detector", "none", keypoints=False)
    assert status == 2
    assert "--detector none: nothing says where people are" in text


def test_boxes_in_which_a_detector_sees_nobody(infer, folder: Path, two: Evidence, monkeypatch):
    def detect(pixels, boxes):
        unseen = torch.zeros_like(two.confidence)
        return SimpleNamespace(evidence=Evidence(two.skeleton, two.keypoints, unseen, boxes, two.labels))

    monkeypatch.setattr(bodyloop.detect, "load_detector", lambda name: detect)
    status, text = infer(folder / "a.png", "--boxes", folder / "boxes.csv", keypoints=False)
    assert status == 0
    assert "2 people found, 2 not to be trusted" in text


def test_people_too_small_to_crop(infer, folder: Path):
    (folder / "boxes.csv").write_text("a.png,10,10,5,5\na.png,100,100,300,500\nb.png,10,10,5,5")
    arguments = ("--boxes", folder / "boxes.csv", "--detector", "none")
    status, text = infer(folder / "a.png", folder / "b.png", *arguments, keypoints=False)
    assert status == 1
    assert "no box of 16 pixels or more of person 0, left out" in text
    assert "nobody to crop: every box is smaller than 16 pixels" in text
    assert "1 photo, 1 person found" in text


@pytest.mark.parametrize("option", [("--paths", 3), ("--choose", "energy")])
def test_options_of_candidates_are_refused_where_there_are_none(
    infer, folder: Path, option: tuple[str, object]
):
    status, text = infer(folder / "a.png", *option)
    assert status == 2
    assert f"{option[0]}: this network gives one answer a person" in text


def test_resume(infer, folder: Path):
    infer(folder / "a.png")
    status, text = infer(folder / "a.png", folder / "b.png", "--resume")
    assert status == 0
    assert "1 photo, 1 person found" in text
    assert "1 photo done before" in text


def test_maps_for_networks(infer, folder: Path):
    part = np.zeros(CAMERA.size[::-1], np.uint8)
    part[400:600, 400:600] = 2
    maps = folder / "maps"
    maps.mkdir()
    write_iuv(maps / "b_IUV.png", IuvMap(part, np.zeros((*part.shape, 2), np.float32)))
    for network, option in (("image and iuv", "--iuv"), ("parts alone", "--parts")):
        status, text = infer(folder / "b.png", option, maps, network=network)
        assert status == 0, text
        status, text = infer(folder / "b.png", network=network)
        assert status == 2
        assert f"{option}: this network looks at" in text
        status, text = infer(folder / "a.png", folder / "b.png", option, maps, network=network)
        assert status == 1
        assert "no map of it there" in text
    status, text = infer(folder / "b.png", "--iuv", maps)
    assert status == 2
    assert "looks at image alone; leave it out, or add --refine" in text
    status, text = infer(folder / "b.png", "--iuv", maps, "--refine")
    assert status == 0, text


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file; expected a network that bodyloop trained"), (b"", "not a regression network")],
)
def test_weights_that_are_none(folder: Path, capsys, content: bytes | None, message: str):
    file = folder / "mine.safetensors"
    if content is not None:
        file.write_bytes(content)
    status = main(["infer", str(folder / "a.png"), "-o", str(folder / "out"), "--weights", str(file)])
    assert status == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out").exists()


@pytest.mark.parametrize("name", ["abacus", "meta"])
def test_a_device_that_is_none(infer, folder: Path, name: str):
    status, text = infer(folder / "a.png", "--device", name)
    assert status == 2
    assert f"--device {name}: cannot be used" in text
