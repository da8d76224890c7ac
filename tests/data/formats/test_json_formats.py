"""COCO, COCO-DensePose, NeuralAnnot and Moon's Human3.6M: small files in the official layouts, traps included."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel, get_skeleton
from bodyloop.data.formats import open_dataset
from bodyloop.errors import InputError
from bodyloop.evidence import encode_rle

RNG = np.random.default_rng(1)
IMAGE = {"id": 785, "file_name": "COCO_val2014_000000000785.jpg", "width": 640, "height": 425}


def save(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def person(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": number, "image_id": 785, "category_id": 1, "bbox": [10.5, 20, 102, 204], "area": 99.0, "iscrowd": 0,
        "num_keypoints": 17, "keypoints": [v for i in range(17) for v in (20 + i, 30 + i, 1 + i % 2)],
        "segmentation": [[1, 2, 3, 4, 5, 6]],
    } | changes  # fmt: skip


def coco(*people: dict[str, Any]) -> dict[str, Any]:
    return {
        "info": {},
        "images": [IMAGE],
        "annotations": list(people),
        "categories": [{"id": 1, "name": "person"}],
    }


@pytest.mark.filterwarnings("error")
def test_coco(tmp_path: Path):
    people = person(1), person(2, iscrowd=1), person(3, num_keypoints=0, keypoints=[0] * 51), person(4)
    records = open_dataset(save(tmp_path / "a.json", coco(*people)), images=tmp_path / "val2014", name="coco")
    assert [r.id for r in records] == ["1", "4"]
    first = records[0]
    assert (first.dataset, first.size, first.box) == ("coco", (640, 425), (10.5, 20, 112.5, 224))
    assert first.image == tmp_path / "val2014" / "COCO_val2014_000000000785.jpg"
    assert first.keypoints is not None
    assert first.keypoints.skeleton is get_skeleton("coco17")
    assert first.keypoints.pixels[3].tolist() == [23, 33]
    assert first.keypoints.confidence.tolist() == [1] * 17
    assert not first.keypoints.detected.any()
    assert first.joints is first.body is first.camera is None


def test_broken_coco(tmp_path: Path):
    people = person(1), person(2, image_id=3), person(3, keypoints=[1, 2]), person(4)
    path = save(tmp_path / "a.json", coco(*people))
    with pytest.warns(UserWarning, match="left out 2 of 4 records"):
        assert len(open_dataset(path)) == 2
    with pytest.raises(InputError, match="without faults"):
        open_dataset(path, strict=True)
    with pytest.raises(InputError, match="none with labelled keypoints"):
        open_dataset(save(tmp_path / "b.json", coco(person(3, num_keypoints=0))))


def dense(number: int = 1, **changes: Any) -> dict[str, Any]:
    half = np.zeros((256, 256), bool)
    half[:, :128] = True
    masks = [encode_rle(half)] + [[]] * 12 + [encode_rle(~half)]
    return person(
        number, dp_masks=masks, dp_x=[0.0, 255.0, 127.5], dp_y=[0.0, 255.0, 51.0], dp_I=[1.0, 24.0, 3.0],
        dp_U=[0.0, 0.25, 1.0], dp_V=[0.5, 0.75, 0.125], **changes,
    )  # fmt: skip


@pytest.mark.filterwarnings("error")
def test_coco_densepose(tmp_path: Path):
    path = save(
        tmp_path / "densepose_coco_2014_minival.json", coco(dense(1), person(2), dense(3, keypoints=[0] * 51))
    )
    records = open_dataset(path)
    assert [r.id for r in records] == ["1", "3"]
    first, second = records[0], records[1]
    assert first.dense is not None
    assert torch.allclose(
        first.dense.pixels, torch.tensor([[10.5, 20], [112.5, 224], [61.5, 60.8]]), atol=1e-4
    )
    assert first.dense.part.tolist() == [1, 24, 3]
    assert first.keypoints is not None
    assert first.keypoints.pixels[0].tolist() == [20, 30]
    assert first.parts is not None
    parts = first.parts.read()
    assert (parts.partition, parts.size) == ("densepose", (640, 425))
    assert parts.labels[100, 20] == 1
    assert parts.labels[100, 100] == 14
    assert parts.labels[100, 300] == 255, "nobody labelled pixels outside of the person's box"
    assert second.keypoints is None or not second.keypoints.confidence.any()


def test_broken_densepose(tmp_path: Path):
    bad = dense(1, bbox=[1, 2, 0, 3]), dense(2) | {"dp_I": [0, 1, 25]}, dense(3)
    with pytest.warns(UserWarning, match="left out 1 of 3 records and 2 labels"):
        records = open_dataset(save(tmp_path / "a.json", coco(*bad)))
    assert [len(r.dense) for r in records if r.dense is not None] == [1, 3]


def smpl_param() -> dict[str, list[float]]:
    return {
        "pose": (RNG.normal(size=72) * 0.3).tolist(),
        "shape": RNG.normal(size=10).tolist(),
        "trans": [0.1, 0.2, 5.0],
    }


CAMERA = {"focal": [1500.0, 1500.0], "princpt": [320.0, 212.0]}


@pytest.mark.filterwarnings("error")
def test_neuralannot(tmp_path: Path):
    fits = {str(i): {"smpl_param": smpl_param(), "cam_param": CAMERA} for i in (1, 2)}
    path = save(tmp_path / "MSCOCO_train_SMPL_NeuralAnnot.json", fits)
    companion = save(
        tmp_path / "person_keypoints.json", coco(person(1), person(2, num_keypoints=0, keypoints=[0] * 51))
    )
    records = open_dataset(path, annotations=companion, images=tmp_path / "train2017")
    first, second = records[0], records[1]
    assert first.image == tmp_path / "train2017" / "COCO_val2014_000000000785.jpg"
    assert (first.id, first.box, first.size) == ("1", (10.5, 20, 112.5, 224), (640, 425))
    assert first.body is not None
    assert np.allclose(first.body.bodies.pose, fits["1"]["smpl_param"]["pose"], atol=1e-5)
    assert first.body.bodies.translation.tolist() == pytest.approx([0.1, 0.2, 5.0])
    assert first.camera is not None
    assert (first.camera.focal.tolist(), first.camera.center.tolist()) == ([1500, 1500], [320, 212])
    assert first.camera.size == (640, 425)
    assert first.keypoints is not None
    assert second.keypoints is None
    alone = open_dataset(path)[0]
    assert (alone.image, alone.box, alone.keypoints) == (None, None, None)


def test_broken_neuralannot(tmp_path: Path):
    good = {"smpl_param": smpl_param(), "cam_param": CAMERA}
    fits = {
        "1": good, "2": {"smpl_param": smpl_param() | {"pose": [0.0] * 71}, "cam_param": CAMERA},
        "3": {"smpl_param": smpl_param()}, "4": 3, "5": good | {"cam_param": {"focal": [0, 1], "princpt": [1, 2]}},
    }  # fmt: skip
    path = save(tmp_path / "a.json", fits)
    with pytest.warns(UserWarning, match="left out 4 of 5 records"):
        assert [r.id for r in open_dataset(path)] == ["1"]
    with pytest.raises(InputError, match=r"none that can be used.*no person of this id"):
        open_dataset(path, annotations=save(tmp_path / "b.json", coco(person(9))))


@pytest.mark.filterwarnings("error")
def test_coco_with_smpl(tmp_path: Path):
    """Moon's parsed 3DPW: the folder of an image is its sequence."""
    data = coco(person(5, smpl_param=smpl_param() | {"gender": "male"}))
    data["images"][0] = {**IMAGE, "sequence": "downtown_arguing_00", "cam_param": CAMERA}
    record = open_dataset(save(tmp_path / "3DPW_test.json", data), images=tmp_path)[0]
    assert record.image == tmp_path / "downtown_arguing_00" / "COCO_val2014_000000000785.jpg"
    assert record.gender == "male"
    assert record.body is not None
    assert record.camera is not None


@pytest.mark.filterwarnings("error")
def test_multiview_without_cameras(tmp_path: Path):
    fits = {"2": {"1": {"0": smpl_param(), "5": smpl_param()}}}
    records = open_dataset(save(tmp_path / "MPI-INF-3DHP_SMPL_NeuralAnnot.json", fits))
    assert [r.id for r in records] == ["2/1/0", "2/1/5"]
    assert records[0].body is not None
    assert records[0].body.frame == "world"


def human36m(folder: Path, body: BodyModel) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Files of a subject with two cameras and one frame; millimetres but for SMPL."""
    turn = torch.linalg.qr(
        torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ).Q
    turn = turn * torch.linalg.det(turn).sign()
    cameras = {
        str(c): {
            "R": turn.tolist(),
            "t": [100.0 * c, -200.0, 5000.0],
            "f": [1145.0, 1144.0],
            "c": [512.0, 515.0],
        }
        for c in (1, 4)
    }
    param = smpl_param()
    joints = {"2": {"1": {"0": (RNG.normal(size=(17, 3)) * 400).tolist()}}}
    images = [
        {"id": c, "file_name": f"s_01_act_02_subact_01_ca_0{c}/s_01_act_02_subact_01_ca_0{c}_000001.jpg",
         "width": 1000, "height": 1002, "subject": 1, "action_idx": 2, "subaction_idx": 1, "frame_idx": 0, "cam_idx": c}
        for c in (1, 4)
    ]  # fmt: skip
    annotations = [{"id": 10 + c, "image_id": c, "bbox": [100.0, 200.0, 300.0, 400.0]} for c in (1, 4)]
    annotations.append({"id": 99, "image_id": 77, "bbox": [1.0, 2, 3, 4]})
    (folder / "annotations").mkdir(exist_ok=True)
    base = folder / "annotations" / "Human36M_subject1"
    save(base.with_name(f"{base.name}_camera.json"), cameras)
    save(base.with_name(f"{base.name}_joint_3d.json"), joints)
    save(base.with_name(f"{base.name}_SMPL_NeuralAnnot.json"), {"2": {"1": {"0": param}}})
    path = save(base.with_name(f"{base.name}_data.json"), {"images": images, "annotations": annotations})
    return path, cameras, {"joints": joints["2"]["1"]["0"], "smpl": param}


def test_human36m(tmp_path: Path, body: BodyModel):
    path, cameras, truth = human36m(tmp_path, body)
    with pytest.warns(UserWarning, match="left out 1 of 3 records"):
        records = open_dataset(path, body=body)
    assert [r.id for r in records] == ["11", "14"]
    record, camera = records[1], cameras["4"]
    assert (
        record.image
        == tmp_path / "images" / "s_01_act_02_subact_01_ca_04/s_01_act_02_subact_01_ca_04_000001.jpg"
    )
    r, t = np.array(camera["R"]), np.array(camera["t"]) / 1000
    assert record.joints is not None
    assert record.joints.skeleton is get_skeleton("h36m17_moon")
    assert record.joints.frame == "camera"
    assert np.allclose(record.joints.points, np.array(truth["joints"]) / 1000 @ r.T + t, atol=1e-5)
    assert record.camera is not None
    assert record.camera.focal.tolist() == [1145, 1144]
    world = Bodies.from_smpl(
        *(torch.tensor(truth["smpl"][k], dtype=torch.float64) for k in ("pose", "shape", "trans"))
    )
    expected = body.to(torch.float64).vertices(world).numpy() @ r.T + t
    assert record.body is not None
    assert np.abs(body.vertices(record.body.bodies).numpy() - expected).max() < 1e-4
    with pytest.warns(UserWarning, match="left out"):
        placeless = open_dataset(path)[1].body
    assert placeless is not None
    assert not placeless.has_translation
    assert torch.allclose(placeless.bodies.rotations, record.body.bodies.rotations, atol=1e-6)


def test_human36m_needs_its_other_files(tmp_path: Path, body: BodyModel):
    path, _, _ = human36m(tmp_path, body)
    path.with_name("Human36M_subject1_camera.json").unlink()
    with pytest.raises(InputError, match=r"_camera\.json"):
        open_dataset(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", "3", '{"a": {"b": 1}}', '{"images": [], "annotations": []}', "hello"]
)
def test_other_json(tmp_path: Path, text: str):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json: expected"):
        open_dataset(tmp_path / "a.json")
