"""``bodyloop view``, end to end but for the browser."""

from pathlib import Path

import pytest
import torch

from bodyloop.body import Bodies
from bodyloop.cli import main
from bodyloop.geometry import Camera
from bodyloop.view import save_npz


@pytest.fixture
def results(tmp_path: Path) -> Path:
    rest = Bodies.rest(1)
    bodies = Bodies(rest.rotations, rest.betas, torch.tensor([[0.0, 0.0, 4.0]]))
    save_npz(tmp_path / "body.npz", bodies, Camera.from_focal(500, 640, 480), "builtin")
    return tmp_path


def test_a_page(results: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["view", str(results), "--html", str(results / "page.html")]) == 0
    assert "page.html" in capsys.readouterr().out
    assert (results / "page.html").read_text().startswith("<!doctype html>")


def test_bad_input_is_told(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for arguments, word in (
        (["--html", str(results / "no" / "page.html")], "cannot be written"),
        (["--html", "x.html", "--pictures", str(tmp_path / "none")], "expected a photo"),
        (["--html", "x.html", "--body", str(results / "body.npz")], "an SMPL body file has it"),
        (["--port", "99999"], "--port"),
    ):
        if "--port" in arguments:
            pytest.importorskip("viser")
        assert main(["view", str(results), *arguments]) == 2
        error = " ".join(capsys.readouterr().err.split())
        assert word in error
        assert "Traceback" not in error


def test_without_viser_the_remedy_is_told(
    results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(__import__("sys").modules, "viser", None)
    assert main(["view", str(results)]) == 2
    assert "bodyloop[view]" in capsys.readouterr().err
