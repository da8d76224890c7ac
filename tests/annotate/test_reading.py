"""COCO annotations into files of people: the same as the whole reader's, and everything else is counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bodyloop.annotate import reading
from bodyloop.annotate.reading import BROKEN_TEXT, ReadPeople, load_index, read_people
from bodyloop.body import SKELETONS, BodyModel
from bodyloop.data.crowd import Crowd
from bodyloop.errors import InputError
from bodyloop.evidence import read_keypoints
from coco_made_up import SIZE, coco_people, write_json


@pytest.fixture(scope="module")
def data(body: BodyModel) -> dict[str, Any]:
    return coco_people(body, 7)


def everybody(people: ReadPeople) -> Crowd:
    parts = [people.load(n) for n in range(len(people.counts))]
    names = ("ids", "images", "sizes", "boxes", "keypoints")
    return Crowd(people.skeleton, *(np.concatenate([getattr(p, n) for p in parts]) for n in names))


@pytest.mark.parametrize(
    "order", [("images", "annotations", "categories"), ("categories", "annotations", "images")]
)
def test_as_the_whole_reader(tmp_path: Path, data, order):
    path = write_json(tmp_path / "a.json", {key: data[key] for key in order})
    people = read_people(path, tmp_path / "people", per_file=3, least=6)
    assert people.counts == (3, 3, 1)
    assert people.skipped == ()
    crowd, known = everybody(people), read_keypoints(path)
    assert crowd.ids.tolist() == [str(100 + i) for i in range(7)]
    assert crowd.sizes.tolist() == [list(SIZE)] * 7
    for name, evidence in known.people.items():
        own = crowd[crowd.images == name].evidence()
        assert own.labels == evidence.labels
        assert np.allclose(own.keypoints, evidence.keypoints, atol=1e-3)
        assert np.array_equal(own.confidence, evidence.confidence)
        assert np.allclose(own.boxes, evidence.boxes, atol=1e-3)
    again = load_index(tmp_path / "people")
    assert again == people
    assert not (tmp_path / "people" / "index.sqlite").exists()


def test_others_are_counted(tmp_path: Path, data):
    first = data["annotations"][0]
    odd = [
        {**first, "id": 1, "iscrowd": 1},
        {**first, "id": 2, "num_keypoints": 0},
        {**first, "id": 3, "keypoints": [5, 5, 2] * 3 + [0, 0, 0] * 14},
        {**first, "id": 4, "keypoints": "none"},
        {**first, "id": 5, "image_id": "gone"},
        {**first, "id": 6, "bbox": None, "keypoints": [5, 5, 2] * 17},
        dict(first),
        7,
    ]
    images = [*data["images"], {"id": 0, "file_name": "another.jpg"}, {"id": 99}]
    path = write_json(
        tmp_path / "a.json", {**data, "images": images, "annotations": data["annotations"] + odd}
    )
    people = read_people(path, tmp_path / "people", 100, 6)
    assert sum(people.counts) == 7
    text = "\n".join(people.skipped)
    for reason in (
        "crowd", "no labelled keypoints", "fewer than 6 keypoints", "must be a list of numbers", "names no image",
        "keypoints that span none", "annotation id used before", "an annotation must be an object",
        "image id used before", "needs 'id' and 'file_name'",
    ):  # fmt: skip
        assert reason in text
    assert len(people.skipped) == 10


def test_halves_of_surrogate_pairs_are_counted(tmp_path: Path, data):
    first = data["annotations"][0]
    images = [*data["images"], {"id": "\ud800", "file_name": "a.jpg"}, {"id": 99, "file_name": "\udc80.jpg"}]
    odd = [{**first, "id": "\udfff"}, {**first, "id": 1, "image_id": "\ud800"}]
    path = write_json(
        tmp_path / "a.json", {**data, "images": images, "annotations": odd + data["annotations"]}
    )
    people = read_people(path, tmp_path / "people", 100, 6)
    assert sum(people.counts) == 7
    assert [line.partition(" (first")[0] for line in people.skipped] == [f"4 x {BROKEN_TEXT}"]
    "".join(people.skipped).encode()


def test_a_full_disk(tmp_path: Path, data, monkeypatch):
    class Small(reading._Store):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.database.execute("PRAGMA max_page_count = 3")

    monkeypatch.setattr(reading, "_Store", Small)
    images = [{"id": i, "file_name": "x" * 1000, "width": 9, "height": 9} for i in range(100)]
    path = write_json(tmp_path / "a.json", {**data, "images": images})
    with pytest.raises(
        InputError, match=r"index\.sqlite: cannot be written \(database or disk is full\); make room"
    ):
        read_people(path, tmp_path / "people", 100, 6)


def test_sizes_come_from_the_images_where_nobody_tells(tmp_path: Path, data):
    bare = [{"id": i["id"], "file_name": i["file_name"]} for i in data["images"]]
    path = write_json(tmp_path / "a.json", {**data, "images": bare})
    with pytest.raises(InputError, match="give --images"):
        read_people(path, tmp_path / "people", 100, 6)
    for image in data["images"][:2]:
        Image.new("RGB", (640, 480)).save(tmp_path / image["file_name"])
    people = read_people(path, tmp_path / "people", 100, 6, tmp_path)
    assert everybody(people).sizes.tolist() == [[640, 480]] * 4


def test_other_keypoints_that_are_named_at_the_end(tmp_path: Path, body: BodyModel):
    skeleton = SKELETONS["mpii16"]
    data = coco_people(body, 3, skeleton=skeleton)
    data["categories"][0]["keypoints"] = list(skeleton.keypoints)
    people = read_people(write_json(tmp_path / "a.json", data), tmp_path / "people", 2, 6)
    assert people.skeleton is skeleton
    assert sum(people.counts) == 3


def test_feet(tmp_path: Path, body: BodyModel):
    data = coco_people(body, 4, skeleton=SKELETONS["coco23"])
    for annotation in data["annotations"]:
        annotation["foot_kpts"] = annotation["keypoints"][51:]
        annotation["keypoints"] = annotation["keypoints"][:51]
    data["categories"][0]["keypoints"] = data["categories"][0]["keypoints"][:17]
    del data["annotations"][0]["foot_kpts"]
    people = read_people(write_json(tmp_path / "a.json", data), tmp_path / "people", 1, 6)
    assert people.skeleton.name == "coco23"
    seen = everybody(people).seen
    assert seen[:, 17:].sum(1).tolist() == [0, 6, 6, 6]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [], "annotations": []}', "no annotations at all"),
        ("[]", "expected COCO keypoint annotations"),
        ('{"images": [], "annotations": [{"id": 1', "cut"),
        ('{"categories": [{"keypoints": ["left_ear", "tail"]}]}', "expected the keypoints of"),
    ],
)
def test_nobody(tmp_path: Path, content: str, message: str):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        read_people(path, tmp_path / "people", 100, 6)
    assert load_index(tmp_path / "people") is None
