"""Crops of records say the same as whole photos."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop.annotate import fit_people
from bodyloop.annotate.estimates import estimate_people
from bodyloop.body import Bodies, BodyModel
from bodyloop.data.augment import assumed_camera
from bodyloop.data.part_maps import PartMap
from bodyloop.data.record import Keypoints2D, Record
from bodyloop.errors import InputError
from bodyloop.evaluate.methods import FitMethod, NetworkMethod, SavedMethod, sized, subject_of
from bodyloop.evidence import Evidence, IuvMap
from bodyloop.evidence import PartMap as PhotoParts
from bodyloop.nets.build import build
from fit.people import CAMERA, observed
from made_up_crops import TINY

WIDTH, HEIGHT = CAMERA.size
PIXELS = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8).repeat(50, 0).repeat(50, 1)


@pytest.fixture(scope="module")
def people(body: BodyModel) -> tuple[list[Record], Evidence]:
    _, evidence = observed(body, 3)
    records = []
    for i in range(3):
        pixels, confidence = evidence.keypoints[i], evidence.confidence[i]
        detected = torch.zeros(17, dtype=torch.bool)
        x0, y0, x1, y1 = evidence.boxes[i].tolist()
        records.append(
            Record(
                "d",
                str(i),
                PIXELS,
                CAMERA.size,
                (x0, y0, x1, y1),
                Keypoints2D(evidence.skeleton, pixels, confidence, detected),
                camera=CAMERA,
            )
        )
    return records, evidence


def difference(body: BodyModel, a: Bodies, b: Bodies) -> float:
    return float((body.joints(a) - body.joints(b)).norm(dim=-1).max())


@pytest.mark.parametrize("name", ["hmr", "latent stages", "image and iuv", "parts alone"])
def test_a_networks_answer_is_that_of_the_photo(body: BodyModel, people, name: str):
    records, evidence = people
    network = build(TINY[name]).eval()
    part = np.zeros((HEIGHT, WIDTH), np.uint8)
    part[300:700, 400:600] = 3
    uv = np.full((HEIGHT, WIDTH, 2), 0.25, np.float32)
    iuv, labels = IuvMap(part, uv), PartMap(part, "densepose")
    method = NetworkMethod(network, body, "mine")
    records = [replace(r, iuv=iuv, parts=labels) for r in records]
    found, cameras = method([subject_of(r, method.needs, body) for r in records])
    for i, lens in enumerate(cameras):
        one = evidence[i : i + 1]
        alone = estimate_people(network, PIXELS, one, CAMERA, body, iuv, PhotoParts(part, "densepose"))
        assert difference(body, found[i : i + 1], alone) < 2e-3
        assert lens is CAMERA
    assert method.name == "network mine"
    assert method.problem(records[0]) == ""


def test_a_fit_in_the_crop_is_that_in_the_photo(body: BodyModel, people):
    records, evidence = people
    method = FitMethod(body)
    bare = [replace(r, image=None) for r in records]
    found, _ = method([subject_of(r, method.needs, body) for r in bare])
    fits = fit_people(evidence, CAMERA, body)
    assert difference(body, found, fits.bodies) < 0.01
    assert method.problem(replace(records[0], keypoints=None)) == "no 2D keypoints"
    assert method.problem(records[0]) == ""


def test_saved_bodies_are_looked_up(body: BodyModel, people):
    records, _ = people
    truth, _ = observed(body, 3)
    method = SavedMethod({"0": (truth[:1], CAMERA), "2": (truth[2:], CAMERA)}, "there", body)
    found, cameras = method([subject_of(records[i], method.needs, body) for i in (2, 0)])
    assert torch.equal(found.betas, truth.betas[[2, 0]])
    assert cameras == [CAMERA, CAMERA]
    assert method.problem(records[1]) == "nobody in there is this person"
    assert method.problem(records[2]) == ""


def test_what_is_missing_is_said(body: BodyModel, people, tmp_path: Path):
    record = people[0][0]
    fit, image = FitMethod(body).needs, NetworkMethod(build(TINY["hmr"]), body, "").needs
    parts = NetworkMethod(build(TINY["parts alone"]), body, "").needs
    lost = replace(record, image=tmp_path / "none.jpg", size=None, camera=None)
    for changed, needs, message in (
        (replace(record, image=None), image, "no image, which the network looks at"),
        (record, parts, "no parts, which the network looks at"),
        (
            replace(record, parts=PartMap(np.zeros((9, 9), np.uint8), "lsp")),
            parts,
            "of 'densepose' do not follow",
        ),
        (lost, image, "No such file"),
        (lost, fit, "neither the camera nor the image's size is known"),
    ):
        with pytest.raises(InputError, match=message):
            subject_of(changed, needs, body)


def test_sizes_come_from_the_image(body: BodyModel, people, tmp_path: Path):
    record = replace(people[0][0], size=None, camera=None)
    Image.new("RGB", (300, 200)).save(tmp_path / "a.png")
    assert sized(record).size == CAMERA.size
    assert sized(replace(record, image=tmp_path / "a.png")).size == (300, 200)
    assert sized(replace(record, image=None)).size is None
    there = replace(record, image=tmp_path / "a.png")
    for needs in (FitMethod(body).needs, NetworkMethod(build(TINY["hmr"]), body, "").needs):
        subject = subject_of(there, needs, body)
        assert torch.equal(subject.camera.focal, assumed_camera((300, 200)).focal)
        assert subject.camera.size == (300, 200)
