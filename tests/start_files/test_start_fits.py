"""Fits from a file's bodies, and the whole way from the command's job."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop.annotate import fit_people
from bodyloop.annotate.start_names import StartChoice
from bodyloop.body import BodyModel
from bodyloop.cli import main
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.photos import PhotoJob, fit_photos
from bodyloop.start_files import read_starts
from bodyloop.start_files.fits import START, fit_from_file
from bodyloop.view import load_npz, save_npz
from start_files.made_up_starts import CAMERA, crowd, evidence_of

PHOTO = "photo.png"


@pytest.fixture
def saved(tmp_path: Path, body: BodyModel) -> Path:
    """Results of a photo with three people, of whom the file knows the first and the last."""
    bodies = crowd(3)
    known = torch.tensor([0, 2])
    save_npz(tmp_path / "body.npz", bodies[known], CAMERA, body.name, {"photo": np.array(PHOTO)})
    return tmp_path / "body.npz"


def test_each_person_as_if_alone(saved: Path, body: BodyModel):
    """Who is known starts from the file, who is not as usual, and all stay in their order."""
    bodies = crowd(3)
    people, notes = evidence_of(body, bodies), []
    fits = fit_from_file(
        read_starts(saved), Path(PHOTO), people, CAMERA, body, StartChoice(file=saved), notes=notes
    )
    assert (fits.start[0], fits.start[2]) == (START, START)
    assert notes == [f"{saved} has no body for person 1: started as without it"]
    assert fits.evidence.labels == ("0", "1", "2")
    assert torch.equal(fits.evidence.boxes, people.boxes)
    usual = fit_people(people, CAMERA, body)
    assert fits.start[1] != START
    # Several starts end in one minimum; which of them is the lowest by the last digit is the processor's choice.
    assert torch.allclose(fits.energy[1], usual.energy[1], rtol=1e-3)
    assert torch.allclose(fits.bodies.rotations[1], usual.bodies.rotations[1], atol=1e-2)
    assert float(fits.error_box[[0, 2]].max()) < 0.01
    for i in (0, 2):
        off = (fits.bodies.rotations[i] - bodies.rotations[i]).norm()
        assert off < (usual.bodies.rotations[i] - bodies.rotations[i]).norm(), (
            "nearer to the truth that the file knows"
        )


def photo_job(folder: Path, people: Evidence, *starts: str, **more: object) -> PhotoJob:
    Image.new("RGB", CAMERA.size).save(folder / PHOTO)
    rows = torch.cat([people.keypoints, people.confidence[..., None]], 2).tolist()
    keypoints = folder / "keypoints.json"
    keypoints.write_text(
        json.dumps(
            {
                "format": "bodyloop-keypoints",
                "skeleton": "coco17",
                "images": {PHOTO: {"people": [{"keypoints": person} for person in rows]}},
            }
        )
    )
    inputs = (str(folder / PHOTO),)
    return PhotoJob(
        inputs,
        folder / "out",
        keypoints,
        focal=1500,
        formats=("npz",),
        pictures=False,
        starts=starts,
        **more,  # type: ignore[arg-type]
    )


def test_a_job(saved: Path, tmp_path: Path, body: BodyModel):
    """Results can be started from again, with another focal length."""
    people = evidence_of(body, crowd(3))
    summary = fit_photos(photo_job(tmp_path, people, str(saved)))
    assert not summary.failures
    result = load_npz(tmp_path / "out" / "photo" / "body.npz")
    assert [result.scores["start"][i] for i in (0, 2)] == [START, START]
    assert any("no body for person 1" in note for note in summary.results[0].notes)
    again = fit_photos(photo_job(tmp_path, people, str(tmp_path / "out")))
    assert not again.failures
    assert load_npz(tmp_path / "out" / "photo" / "body.npz").scores["start"].tolist() == [START] * 3


def test_jobs_that_cannot_start(saved: Path, tmp_path: Path, body: BodyModel):
    people = evidence_of(body, crowd(3))
    with pytest.raises(InputError, match="candidates or a file"):
        fit_photos(photo_job(tmp_path, people, str(saved), "candidates:5"))
    with pytest.raises(InputError, match="--start-annotations: goes with a file"):
        fit_photos(photo_job(tmp_path, people, "mean", start_annotations=saved))
    with pytest.raises(InputError, match="nowhere: expected lifter, mean"):
        fit_photos(photo_job(tmp_path, people, "nowhere"))
    save_npz(saved, crowd(3), CAMERA, body.name)
    job = photo_job(tmp_path, people, str(saved))
    Image.new("RGB", CAMERA.size).save(tmp_path / "second.png")
    with pytest.raises(InputError, match="does not name the photo"):
        fit_photos(PhotoJob((*job.inputs, str(tmp_path / "second.png")), job.out, starts=job.starts))


def test_on_the_command_line(
    saved: Path, tmp_path: Path, body: BodyModel, capsys: pytest.CaptureFixture[str]
):
    job = photo_job(tmp_path, evidence_of(body, crowd(3)), "mean")
    command = [
        "fit",
        *job.inputs,
        "-o",
        str(job.out),
        "--keypoints",
        str(job.keypoints),
        "--no-pictures",
        "--starts",
    ]
    assert main([*command, "nowhere"]) == 2
    assert "--starts nowhere: expected lifter, mean" in capsys.readouterr().err
    assert main([*command, str(saved), "mean"]) == 0
    assert "has no body for person 1" in " ".join(capsys.readouterr().out.split())
