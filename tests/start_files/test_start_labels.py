"""EFT's, NeuralAnnot's and HumanData's labels as starts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.geometry import WeakPerspective, look_at_points
from bodyloop.start_files import read_starts
from start_files.made_up_starts import (
    CAMERA,
    arrays_of,
    crowd,
    evidence_of,
    flat_joints,
    joints_off,
    projected,
    smpl_like,
)

N = 3
IMAGE = "COCO_train2014_000000000785.jpg"


@pytest.fixture
def bodies() -> Bodies:
    return crowd(N)


def save(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def eft(body: BodyModel, bodies: Bodies) -> list[dict[str, Any]]:
    """EFT's entries of the people, whose camera scales first and then shifts."""
    boxes = evidence_of(body, bodies).boxes
    center, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1) * 1.2
    weak = WeakPerspective.from_translation(bodies.translation, CAMERA, center, side)
    joints = body.joints(bodies)
    turn = look_at_points(
        joints[..., :2] / joints[..., 2:], torch.ones(joints.shape[:2], dtype=torch.bool)
    ).turn
    rotations = bodies.rotations.clone()
    rotations[:, 0] = turn.mT @ rotations[:, 0]  # as a crop shows them
    return [
        {
            "parm_pose": rotations[i].tolist(),
            "parm_shape": bodies.betas[i].tolist(),
            "parm_cam": [float(weak.scale[i]), *(weak.scale[i] * weak.shift[i]).tolist()],
            "bbox_scale": float(side[i]) / 200,
            "bbox_center": center[i].tolist(),
            "joint_validity_openpose18": [1] * 18,
            "gt_keypoint_2d": [[0, 0, 0]] * 49,
            "smpltype": "smpl",
            "annotId": 183126 + i,
            "imageName": IMAGE,
            "subjectId": None,
        }
        for i in range(len(bodies))
    ]


def test_eft(tmp_path: Path, body: BodyModel, bodies: Bodies):
    smpl, entries = smpl_like(body), eft(body, bodies)
    starts = read_starts(save(tmp_path / "COCO2014-All-ver01.json", {"ver": 0.1, "data": entries}))
    camera = np.array([entry["parm_cam"] for entry in entries])
    center = np.array([entry["bbox_center"] for entry in entries])
    scale = np.array([entry["bbox_scale"] for entry in entries])
    turned = Bodies(torch.tensor([e["parm_pose"] for e in entries]), bodies.betas, bodies.translation)
    crop = camera[:, None, :1] * flat_joints(smpl, turned)[..., :2].numpy() + camera[:, None, 1:]
    assert np.allclose(
        projected(starts, smpl, turned), center[:, None] + 100 * scale[:, None, None] * crop, atol=0.05
    )
    for name in (IMAGE, "000000000785.jpg"):
        evidence = evidence_of(smpl, bodies)
        found = starts.for_people(Path("photos") / name, evidence, CAMERA, smpl)
        assert found.known.all()
        assert torch.allclose(found.bodies.rotations[:, 1:], bodies.rotations[:, 1:], atol=1e-5)
        assert torch.allclose(found.bodies.rotations[:, 0], bodies.rotations[:, 0], atol=0.02)
        off = joints_off(found, smpl, bodies, CAMERA) / (evidence.boxes[:, 3] - evidence.boxes[:, 1])
        assert float(off.max()) < 0.02, "but for the perspective that a weak camera lacks"
    assert not starts.for_people("000000000786.jpg", evidence, CAMERA, smpl).known.any()


def test_eft_by_annotation_id(tmp_path: Path, body: BodyModel, bodies: Bodies):
    """Labels go before boxes: here all people are said to be where the first one is."""
    smpl, entries = smpl_like(body), eft(body, bodies)
    starts = read_starts(save(tmp_path / "eft.json", {"ver": 0.1, "data": entries}))
    order = [2, 0, 1]
    boxes = evidence_of(smpl, bodies).boxes[:1].repeat(N, 1)
    labels = tuple(str(183126 + i) for i in order)
    evidence = evidence_of(smpl, bodies[torch.tensor(order)], labels=labels)
    mixed = type(evidence)(evidence.skeleton, evidence.keypoints, evidence.confidence, boxes, labels)
    found = starts.for_people(IMAGE, mixed, CAMERA, smpl)
    assert found.known.all()
    assert torch.allclose(found.bodies.betas, bodies.betas[order], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"parm_pose": np.zeros((24, 3, 3)).tolist()}, "holds no rotations"),
        ({"parm_pose": np.zeros((24, 3)).tolist()}, r"shape \(24, 3\)"),
        ({"parm_pose": [[1], [1, 2]]}, "'parm_pose'|inhomogeneous"),
        ({"parm_cam": [0, 0, 0]}, "sees nothing"),
        ({"parm_cam": [1, None, 0]}, "not finite|no number"),
        ({"parm_shape": "a"}, "."),
        ({"imageName": None}, "no 'imageName'"),
        ({"bbox_center": {}}, "missing or no number"),
    ],
)
def test_broken_eft(tmp_path: Path, body: BodyModel, bodies: Bodies, change: dict[str, Any], why: str):
    first, *rest = eft(body, bodies)
    path = save(tmp_path / "eft.json", {"ver": 0.1, "data": [first | change, 5, *rest]})
    starts = read_starts(path)
    assert len(starts.keys) == 2
    assert any(__import__("re").search(why, line) for line in starts.skipped)
    with pytest.raises(InputError, match="none that can be used"):
        read_starts(save(path, {"ver": 0.1, "data": [first | change]}))


def neuralannot(bodies: Bodies) -> dict[str, Any]:
    arrays = arrays_of(bodies)
    camera = {"focal": CAMERA.focal.tolist(), "princpt": CAMERA.center.tolist()}
    return {
        str(183126 + i): {
            "smpl_param": {
                "pose": arrays["pose"][i].tolist(),
                "shape": arrays["betas"][i].tolist(),
                "trans": arrays["trans"][i].tolist(),
            },
            "cam_param": camera,
        }
        for i in range(len(bodies))
    }


def test_neuralannot_by_annotation_id(tmp_path: Path, body: BodyModel, bodies: Bodies):
    """The file names no images: ids alone tell, and a detector's numbers tell nothing."""
    smpl = smpl_like(body)
    starts = read_starts(save(tmp_path / "MSCOCO_train_SMPL_NeuralAnnot.json", neuralannot(bodies)))
    evidence = evidence_of(smpl, bodies, labels=("183128", "999", "183126"))
    found = starts.for_people("a.jpg", evidence, CAMERA, smpl)
    assert found.known.tolist() == [True, False, True]
    assert torch.allclose(found.bodies.translation[0], bodies.translation[2], atol=2e-3)
    assert not starts.for_people("a.jpg", evidence_of(smpl, bodies), CAMERA, smpl).known.any()


def test_neuralannot_by_boxes(tmp_path: Path, body: BodyModel, bodies: Bodies):
    """With the data set's annotations, images and boxes tell."""
    smpl, boxes = smpl_like(body), evidence_of(body, bodies).boxes
    annotations = {
        "images": [{"id": 785, "file_name": "000000000785.jpg", "width": 1000, "height": 800}],
        "annotations": [
            {"id": 183126 + i, "image_id": 785, "bbox": [*b[:2].tolist(), *(b[2:] - b[:2]).tolist()]}
            for i, b in enumerate(boxes)
        ],
    }
    file = save(tmp_path / "MSCOCO_train_SMPL_NeuralAnnot.json", neuralannot(bodies))
    starts = read_starts(file, save(tmp_path / "person_keypoints_train2017.json", annotations))
    order = torch.tensor([1, 2, 0])
    found = starts.for_people("train2017/000000000785.jpg", evidence_of(smpl, bodies[order]), CAMERA, smpl)
    assert found.known.all()
    assert torch.allclose(found.bodies.betas, bodies.betas[order], atol=1e-5)


def test_neuralannot_in_the_world_is_refused(tmp_path: Path, bodies: Bodies):
    one = next(iter(neuralannot(bodies).values()))["smpl_param"]
    with pytest.raises(InputError, match="in the world's"):
        read_starts(save(tmp_path / "Human36M_subject1_SMPL_NeuralAnnot.json", {"2": {"1": {"0": one}}}))


def test_human_data(tmp_path: Path, body: BodyModel, bodies: Bodies):
    smpl, pose = smpl_like(body), bodies.pose.numpy()
    boxes = evidence_of(body, bodies).boxes.numpy()
    np.savez_compressed(
        tmp_path / "eft_coco_all.npz",
        image_path=np.array(["train2014/" + IMAGE] * N),
        bbox_xywh=np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], np.ones((N, 1))], 1),
        smpl={
            "body_pose": pose[:, 3:].reshape(N, 23, 3),
            "global_orient": pose[:, :3],
            "betas": bodies.betas.numpy(),
        },
    )
    starts = read_starts(tmp_path / "eft_coco_all.npz")
    found = starts.for_people("000000000785.jpg", evidence_of(smpl, bodies), CAMERA, smpl)
    assert found.known.all()
    assert float(joints_off(found, smpl, bodies, CAMERA).max()) < 0.5


@pytest.mark.parametrize(
    "value",
    ["{", "[]", "{}", '{"data": []}', '{"images": [], "annotations": []}', '{"data": [{}]}', "5", "\xff"],
)
def test_other_json(tmp_path: Path, value: str):
    path = tmp_path / "a.json"
    path.write_bytes(value.encode("latin1"))
    with pytest.raises(InputError):
        read_starts(path)
