"""Results of a photo on disk."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from bodyloop.annotate import fit_people
from bodyloop.body import BodyModel
from bodyloop.evidence.photos import read_photo
from bodyloop.fit import Fits
from bodyloop.photo_files import scores_of, write_results
from bodyloop.view import load_npz
from fit.people import CAMERA, observed


@pytest.fixture(scope="module")
def fits(body: BodyModel) -> Fits:
    _, evidence = observed(body, 2)
    return fit_people(evidence, CAMERA, starts=("mean",))


def test_results_can_be_read_back(tmp_path: Path, body: BodyModel, fits: Fits):
    Image.new("RGB", (1000, 1000)).save(tmp_path / "photo.png")
    write_results(tmp_path / "out", read_photo(tmp_path / "photo.png"), body, fits, ("npz", "obj"), False)
    saved = load_npz(tmp_path / "out" / "body.npz")
    assert torch.allclose(saved.bodies.betas, fits.bodies.betas)
    assert set(saved.scores) == {*scores_of(fits), "photo"}
    assert saved.scores["label"].tolist() == ["0", "1"]
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


def test_what_a_network_saw_stands_beside_what_was_fitted(tmp_path: Path, body: BodyModel, fits: Fits):
    Image.new("RGB", (1000, 1000)).save(tmp_path / "photo.png")
    write_results(
        tmp_path / "out", read_photo(tmp_path / "photo.png"), body, fits, ("npz",), False, network=fits
    )
    saved = load_npz(tmp_path / "out" / "body.npz")
    assert torch.equal(torch.as_tensor(saved.scores["network_energy"]), fits.energy)
