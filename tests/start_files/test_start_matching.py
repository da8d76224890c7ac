"""bodyloop's own results as starts, and whose body is whose."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.start_files import read_starts
from bodyloop.view import save_npz
from start_files.made_up_starts import CAMERA, crowd, evidence_of, joints_off, smpl_like

N = 3


@pytest.fixture
def bodies() -> Bodies:
    return crowd(N)


def save(
    path: Path,
    body: BodyModel,
    bodies: Bodies,
    photo: str | None = "a/photo.jpg",
    camera: Camera = CAMERA,
    **scores: Any,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {} if photo is None else {"photo": np.array(photo)}
    save_npz(path, bodies, camera, body.name, named | scores)
    return path


def test_own_results(tmp_path: Path, body: BodyModel, bodies: Bodies):
    starts = read_starts(save(tmp_path / "body.npz", body, bodies))
    order = torch.tensor([2, 0, 1])
    found = starts.for_people("b/photo.jpg", evidence_of(body, bodies[order]), CAMERA, body)
    assert found.known.all()
    assert torch.equal(found.bodies.betas, bodies.betas[order])
    assert torch.allclose(found.bodies.translation, bodies.translation[order], atol=2e-3)
    assert not starts.for_people("b/other.jpg", evidence_of(body, bodies), CAMERA, body).known.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_another_focal_length(tmp_path: Path, body: BodyModel, dtype: torch.dtype):
    """People move so that they look as they did; the longer the focal length, the farther away they stand."""
    bodies, lens, model = crowd(N, focal=2400), Camera.from_focal(2400, 1000, 800), body.to(dtype)
    starts = read_starts(save(tmp_path / "body.npz", body, bodies, camera=lens))
    evidence = evidence_of(body, bodies, lens)
    found = starts.for_people("photo.jpg", evidence, CAMERA, model)
    height = evidence.boxes[:, 3] - evidence.boxes[:, 1]
    moved = replace(found, bodies=found.bodies.to(torch.float32))
    assert float((joints_off(moved, body, bodies, lens) / height).max()) < 0.01
    assert torch.allclose(moved.bodies.translation[:, 2], bodies.translation[:, 2] / 2, rtol=0.1), (
        "half the focal length, half the distance"
    )
    assert found.bodies.rotations.dtype == dtype


def test_shapes_of_another_model_mean_nothing(tmp_path: Path, body: BodyModel, bodies: Bodies):
    """The pose is kept; shape is the mean one, and the place is that of the photo's keypoints."""
    for name, model in ((body.name, smpl_like(body)), ("SMPL_NEUTRAL", body)):
        starts = read_starts(save(tmp_path / "body.npz", replace(body, name=name), bodies))
        found = starts.for_people("photo.jpg", evidence_of(body, bodies), CAMERA, model)
        assert found.known.all()
        assert torch.allclose(found.bodies.rotations, bodies.rotations, atol=1e-5)
        assert not found.bodies.betas.any()
        assert float(joints_off(found, body, bodies, CAMERA).max()) < 20


def test_labels_go_before_boxes(tmp_path: Path, body: BodyModel, bodies: Bodies):
    labels = np.array(["anna", "berta", "carl"])
    starts = read_starts(save(tmp_path / "body.npz", body, bodies, label=labels))
    people = evidence_of(body, bodies, labels=("carl", "anna", "zoe"))
    found = starts.for_people("photo.jpg", people, CAMERA, body)
    assert torch.equal(found.bodies.betas[:2], bodies.betas[[2, 0]])
    assert found.known.tolist() == [True, True, False], "whoever is left is where berta is not"


def test_numbers_are_no_labels(tmp_path: Path, body: BodyModel, bodies: Bodies):
    numbered = save(tmp_path / "body.npz", body, bodies, label=np.array(["0", "1", "2"]))
    order = torch.tensor([1, 2, 0])
    found = read_starts(numbered).for_people("photo.jpg", evidence_of(body, bodies[order]), CAMERA, body)
    assert torch.equal(found.bodies.betas, bodies.betas[order])


def test_nobody_gets_a_body_from_far_away(tmp_path: Path, body: BodyModel, bodies: Bodies):
    starts = read_starts(save(tmp_path / "body.npz", body, bodies[:2]))
    found = starts.for_people("photo.jpg", evidence_of(body, bodies), CAMERA, body)
    assert found.known.tolist() == [True, True, False]
    assert torch.equal(found.bodies.rotations[2], torch.eye(3).expand(24, 3, 3))


def test_people_at_the_edge(tmp_path: Path, body: BodyModel):
    """Of somebody whose legs are outside of the picture, the rest is compared."""
    bodies = crowd(1)
    low = replace(bodies, translation=bodies.translation + torch.tensor([0, 2.4, 0]))
    starts = read_starts(save(tmp_path / "body.npz", body, low))
    whole = evidence_of(body, low)
    inside = (whole.keypoints[..., 1] < CAMERA.size[1]).float()
    assert 0 < inside.sum() < len(COCO17)
    seen = Evidence.from_keypoints(COCO17, whole.keypoints, inside)
    assert starts.for_people("photo.jpg", seen, CAMERA, body).known.all()


def test_a_file_that_names_no_photo(tmp_path: Path, body: BodyModel, bodies: Bodies):
    starts = read_starts(save(tmp_path / "body.npz", body, bodies, photo=None))
    assert starts.one_photo
    assert starts.for_people("anything.jpg", evidence_of(body, bodies), CAMERA, body).known.all()


def test_folders(tmp_path: Path, body: BodyModel, bodies: Bodies):
    """Of photos of one name, the nearest path counts; a name without its suffix will do."""
    save(tmp_path / "1" / "body.npz", body, bodies[:1], "x/TS1/a.jpg")
    save(tmp_path / "2" / "body.npz", body, bodies[1:2], "x/TS2/a.jpg")
    save(tmp_path / "3" / "body.npz", body, bodies[2:], "C:\\photos\\b.jpg")
    starts = read_starts(tmp_path)
    people = evidence_of(body, bodies)
    for image, known in (("TS1/a.jpg", 0), ("y/TS2/a.jpg", 1), ("b.png", 2)):
        found = starts.for_people(image, people, CAMERA, body).known
        assert found.tolist() == [i == known for i in range(N)], image
    with pytest.raises(InputError, match=r"both x/TS1/a\.jpg and x/TS2/a\.jpg may be"):
        starts.for_people("a.jpg", people, CAMERA, body)


def test_folders_that_are_no_good(tmp_path: Path, body: BodyModel, bodies: Bodies):
    with pytest.raises(InputError, match=r"expected \.npz files of 'bodyloop fit'"):
        read_starts(tmp_path)
    save(tmp_path / "1.npz", body, bodies)
    save(tmp_path / "2.npz", body, bodies, photo=None)
    with pytest.raises(InputError, match=r"2\.npz: expected the name of its photo"):
        read_starts(tmp_path)
    save(tmp_path / "2.npz", smpl_like(body), bodies)
    with pytest.raises(InputError, match="bodies of one model, got SMPL_NEUTRAL and builtin"):
        read_starts(tmp_path)


def test_bodies_that_are_not_finite_are_nobody(tmp_path: Path, body: BodyModel, bodies: Bodies):
    bodies.betas[1] = torch.nan
    starts = read_starts(save(tmp_path / "body.npz", body, bodies))
    found = starts.for_people("photo.jpg", evidence_of(body, crowd(N)), CAMERA, body)
    assert found.known.tolist() == [True, False, True]


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PK rubbish", b"\x80rubbish", b"\x93NUMPY", b"\x78\x9c", b"\x89PNG"]
)
def test_files_of_no_known_kind(tmp_path: Path, content: bytes):
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(InputError):
        read_starts(path)
    with pytest.raises(InputError, match="got 'No such file or directory'"):
        read_starts(tmp_path / "none")


def test_kinds_are_named(tmp_path: Path):
    np.savez(tmp_path / "a.npz", something=np.zeros(3))
    with pytest.raises(
        InputError, match=r"archive of something.*SPIN.*4D-Humans.*CameraHMR.*EFT.*PHALP.*GVHMR"
    ):
        read_starts(tmp_path / "a.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"size": np.zeros(2, np.int64)},
        {"focal": np.ones((2, 2)), "center": np.ones((2, 2))},
        {"pose": np.zeros(3)},
    ],
)
def test_damaged_results(tmp_path: Path, body: BodyModel, bodies: Bodies, change: dict[str, Any]):
    with np.load(save(tmp_path / "body.npz", body, bodies)) as archive:
        arrays = dict(archive)
    np.savez(tmp_path / "body.npz", **(arrays | change))
    with pytest.raises(InputError, match="damaged"):
        read_starts(tmp_path / "body.npz")
