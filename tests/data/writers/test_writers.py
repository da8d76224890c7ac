"""What is written in the formats of others comes back through their readers."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import SKELETONS, Bodies, BodyModel
from bodyloop.body.skeletons import COCO17, UNION45, convert
from bodyloop.data import writers
from bodyloop.data.amass import read_amass
from bodyloop.data.crowd import Labelled, chosen, joined
from bodyloop.data.formats import open_dataset
from bodyloop.data.formats.parquet import labelled_parts
from bodyloop.data.record import Record, RecordSet
from bodyloop.data.writers import WRITERS
from bodyloop.data.writers.columns import growing_columns
from bodyloop.data.writers.human_data import human_data_places
from bodyloop.errors import InputError
from labels_made_up import SIZE, labels_of

PEOPLE = 5


@pytest.fixture(scope="module")
def labels(body: BodyModel) -> Labelled:
    return labels_of(body, PEOPLE)


def parts(labels: Labelled) -> Iterator[Labelled]:
    yield labels[:3]
    yield labels[3:3]
    yield labels[3:]


def written(name: str, labels: Labelled, out: Path, body: BodyModel) -> Path:
    if name == "parquet":
        pytest.importorskip("pyarrow")
    return WRITERS[name](parts(labels), out, body)


def same_body(record: Record, labels: Labelled, row: int, place: bool) -> None:
    assert record.body is not None
    assert record.body.frame == "camera"
    bodies, truth = record.body.bodies, labels.bodies()[row]
    assert torch.allclose(bodies.rotations, truth.rotations, atol=1e-5)
    assert torch.allclose(bodies.betas, truth.betas, atol=1e-5)
    assert record.body.has_translation == place
    if place:
        assert torch.allclose(bodies.translation, truth.translation, atol=1e-5)


def same_keypoints(record: Record, labels: Labelled, row: int) -> None:
    assert record.keypoints is not None
    own = torch.from_numpy(labels.crowd.keypoints[row])
    there = record.keypoints
    places, confidence = convert(there.pixels, there.confidence, there.skeleton, labels.crowd.skeleton)
    assert torch.equal(confidence, own[:, 2])
    assert torch.allclose(places[confidence > 0], own[confidence > 0, :2], atol=1e-3)


def opened(path: Path, **options: object) -> RecordSet:
    with np.errstate(all="raise"):
        return open_dataset(path, images=Path("images"), **options)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "place", "lens"),
    [("eft", False, False), ("spin", False, False), ("human-data", True, True), ("parquet", True, True)],
)
def test_round_trip(name: str, place: bool, lens: bool, labels: Labelled, tmp_path: Path, body: BodyModel):
    records = opened(written(name, labels, tmp_path, body))
    assert len(records) == PEOPLE
    for row, record in enumerate(records):
        same_body(record, labels, row, place)
        same_keypoints(record, labels, row)
        assert record.image == Path("images") / labels.crowd.images[row]
        box = labels.crowd.boxes[row]
        assert record.box is not None
        if name in ("eft", "spin"):  # squares
            assert np.allclose(
                [record.box[0] + record.box[2], record.box[1] + record.box[3]], box[:2] + box[2:], atol=0.01
            )
            assert record.box[2] - record.box[0] == pytest.approx((box[2:] - box[:2]).max(), rel=1e-4)
        else:
            assert np.allclose(record.box, box, atol=1e-3)
        if lens:
            assert record.camera is not None
            assert record.camera.size == SIZE
            assert np.allclose(record.camera.focal, labels.focal[row])
            assert np.allclose(record.camera.center, labels.center[row])
    if name in ("eft", "parquet"):
        assert [record.id for record in records] == labels.crowd.ids.tolist()


@pytest.mark.filterwarnings("error")
def test_neuralannot(labels: Labelled, tmp_path: Path, body: BodyModel):
    path = written("neuralannot", labels, tmp_path, body)
    records = opened(path)
    assert [record.id for record in records] == labels.crowd.ids.tolist()
    for row, record in enumerate(records):
        same_body(record, labels, row, True)
        assert record.camera is not None
        assert np.allclose(record.camera.focal, labels.focal[row])
        assert np.allclose(record.camera.center, labels.center[row])
    first = json.loads(path.read_text())["100"]
    assert {k: len(v) for k, v in first["smpl_param"].items()} == {"pose": 72, "shape": 10, "trans": 3}


def test_amass(labels: Labelled, tmp_path: Path, body: BodyModel):
    """The world is the camera's, turned so that z is up; hands are at rest. The reader turns it so that y is up."""
    folder = written("amass", labels, tmp_path, body)
    files = sorted(folder.rglob("*_poses.npz"))
    assert [f.name for f in files] == [f"{100 + i}_poses.npz" for i in range(PEOPLE)]
    flip = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    truth = labels.bodies()
    still = truth.rotations.clone()
    still[:, 22:] = torch.eye(3)
    for row, file in enumerate(files):
        motion = read_amass(file, body)
        own = truth[row : row + 1]
        joints = body.joints(Bodies(still[row : row + 1], own.betas, own.translation))[0]
        with np.load(file) as stored:
            assert (stored["poses"].shape, stored["betas"].shape) == ((1, 156), (16,))
            pose, betas, trans, turn = (
                torch.from_numpy(stored[k]).float() for k in ("poses", "betas", "trans", "camera_to_world")
            )
        world = Bodies.from_smpl(torch.cat([pose[:, :66], torch.zeros(1, 6)], 1), betas[None, :10], trans)
        assert torch.allclose(body.joints(world)[0], joints @ turn.T, atol=1e-4)
        # it turns people about the mean pelvis, as AMASS's shapes are those of another body
        assert torch.allclose(body.joints(motion.bodies())[0], joints @ flip.T, atol=0.01)
    assert len(opened(folder)) == PEOPLE


def test_amass_forgets_those_who_are_labelled_no_more(labels: Labelled, tmp_path: Path, body: BodyModel):
    folder = written("amass", labels, tmp_path, body)
    (folder / "000000" / "notes.txt").write_text("somebody's own")
    WRITERS["amass"](iter([labels[:2]]), tmp_path, body)
    assert sorted(p.name for p in folder.glob("*/*.npz")) == ["100_poses.npz", "101_poses.npz"]
    assert (folder / "000000" / "notes.txt").exists()


@pytest.mark.parametrize("turned", [False, True])
def test_parquet_of_parts_that_know_unlike_things(
    turned: bool, labels: Labelled, tmp_path: Path, body: BodyModel
):
    pytest.importorskip("pyarrow")
    more = replace(
        labels[3:],
        figures={**labels[3:].figures, "anchor": np.ones(2, np.float32), "wide": np.ones((2, 3), np.float32)},
        words={**labels[3:].words, "note": np.array(["a", "b"])},
    )
    both = [labels[:3], more]
    path = WRITERS["parquet"](iter(both[::-1] if turned else both), tmp_path, body)
    few, many = list(labelled_parts(path))[:: -1 if turned else 1]
    assert np.isnan(few.figures["anchor"]).all()
    assert np.isnan(few.figures["wide"]).all()
    assert few.words["note"].tolist() == ["", "", ""]
    assert many.figures["wide"].tolist() == [[1.0] * 3] * 2
    assert many.words["note"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(few.figures["score"], labels[:3].figures["score"])
    assert [p.name for p in tmp_path.iterdir()] == ["labels.parquet"]


def test_efts_camera_sees_the_pelvis_where_ours_does(labels: Labelled, tmp_path: Path, body: BodyModel):
    """Its crop coordinates s X + t of the body without translation, brought back to the image."""
    data = json.loads(written("eft", labels, tmp_path, body).read_text())["data"]
    bodies = labels.bodies()
    at_home = body.joints(Bodies(bodies.rotations, bodies.betas, torch.zeros(PEOPLE, 3)))
    joints = body.joints(bodies)
    for row, entry in enumerate(data):
        scale, *shift = entry["parm_cam"]
        inside = scale * at_home[row, :, :2] + torch.tensor(shift)
        pixels = inside * 100 * entry["bbox_scale"] + torch.tensor(entry["bbox_center"])
        seen = labels.camera(row).project(joints[row])
        assert torch.allclose(pixels[0], seen[0], atol=0.05), "the pelvis"
        assert (pixels - seen).norm(dim=-1).max() < 0.08 * 200 * entry["bbox_scale"], "perspective is weak"
        assert entry["annotId"] == 100 + row
        assert entry["joint_validity_openpose18"] == [1, 0] + [1] * 8 + [0] + [1] * 7


@pytest.mark.parametrize("skeleton", ["coco23", "openpose25", "mpii16", "smpl24"])
def test_other_keypoints(skeleton: str, tmp_path: Path, body: BodyModel):
    labels = labels_of(body, 2, SKELETONS[skeleton])
    for name in ("human-data", "parquet"):
        for row, record in enumerate(opened(written(name, labels, tmp_path, body))):
            same_keypoints(record, labels, row)


def test_human_datas_places():
    places = human_data_places(COCO17)
    assert len(places) == 17
    assert places[COCO17.index("nose")] == 55
    assert places[COCO17.index("left_hip_extra")] == 145
    assert len(human_data_places(UNION45)) >= 40
    assert human_data_places(SKELETONS["openpose25"])[0] == 153


def test_same_labels_same_bytes(labels: Labelled, tmp_path: Path, body: BodyModel):
    for name in ("neuralannot", "eft", "spin", "human-data"):
        first = written(name, labels, tmp_path, body).read_bytes()
        assert written(name, labels, tmp_path, body).read_bytes() == first


def test_nobody(labels: Labelled, tmp_path: Path, body: BodyModel):
    for name in ("human-data", "parquet"):
        if name == "parquet":
            pytest.importorskip("pyarrow")
        with pytest.raises(InputError, match="nobody to write"):
            WRITERS[name](iter([labels[:0]]), tmp_path, body)
    assert list(tmp_path.iterdir()) == []
    assert json.loads(WRITERS["neuralannot"](iter([]), tmp_path, body).read_text()) == {}


def test_a_failed_write_leaves_nothing(labels: Labelled, tmp_path: Path, body: BodyModel):
    def broken() -> Iterator[Labelled]:
        yield labels[:2]
        raise InputError("a damaged file")

    for name in ("neuralannot", "eft", "spin", "human-data"):
        with pytest.raises(InputError, match="damaged"):
            WRITERS[name](broken(), tmp_path, body)
        assert list(tmp_path.iterdir()) == [], name


def test_without_pyarrow(labels: Labelled, tmp_path: Path, body: BodyModel, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'bodyloop\[parquet\]'"):
        WRITERS["parquet"](iter([labels]), tmp_path, body)


def test_columns_as_savez(tmp_path: Path):
    a, b = np.arange(12.0).reshape(6, 2), np.array(["x", "yy", "", "ü", "zzzz", "1"])
    with growing_columns(tmp_path) as columns:
        columns.add(a=a[:1], b=b[:1])
        columns.add(a=a[1:], b=b[1:])
        columns.save(tmp_path / "c.npz")
        with pytest.raises(ValueError, match="different lengths"):
            columns.add(a=a, b=b[:2])
        with pytest.raises(ValueError, match="rows of float64"):
            columns.add(a=a.astype(np.float32), b=b)
    with np.load(tmp_path / "c.npz") as stored:
        assert np.array_equal(stored["a"], a)
        assert np.array_equal(stored["b"], b)
    assert [p.name for p in tmp_path.iterdir()] == ["c.npz"]


def test_chosen(labels: Labelled):
    kept = joined(list(chosen(parts(labels), ("accept", "reject"))))
    assert kept.crowd.ids.tolist() == ["100", "102", "103"]
    assert set(writers.WRITERS) == {"neuralannot", "eft", "spin", "human-data", "amass", "parquet"}
