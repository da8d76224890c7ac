"""3DPW and UP-3D: small files in the official layouts, pickled by Python 2, and the registry."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop.body import Bodies, BodyModel, get_skeleton
from bodyloop.data.formats import FORMATS, Content, DatasetSpec, find_format, open_dataset
from bodyloop.errors import InputError
from bodyloop.geometry import axis_angle_to_rotmat
from data.formats.python2 import python2_pickle

RNG = np.random.default_rng(2)
FRAMES = 3


def sequence(body: BodyModel) -> tuple[dict[str, Any], list[Bodies]]:
    """Two actors, three frames; the second actor is not aligned in the last."""
    turns = axis_angle_to_rotmat(torch.from_numpy(RNG.normal(size=(FRAMES, 3)))).numpy()
    cameras = np.tile(np.eye(4), (FRAMES, 1, 1))
    cameras[:, :3, :3] = turns
    people, positions = [], []
    for _ in range(2):
        pose = RNG.normal(size=(FRAMES, 72)) * 0.3
        betas = np.repeat(RNG.normal(size=(1, 10)), FRAMES, 0)
        # in front of every camera
        place = np.einsum("fji,fj->fi", turns, RNG.normal(size=(FRAMES, 3)) * 0.2 + [0, 0, 5.0])
        bodies = Bodies.from_smpl(*map(torch.from_numpy, (pose, betas, place)))
        people.append(bodies)
        positions.append(body.to(torch.float64).joints(bodies).numpy().reshape(FRAMES, 72))
    detected = RNG.random((2, FRAMES, 3, 18)) * np.array([1000, 1500, 1])[:, None]
    detected[0, 1] = 0  # OpenPose found less than 6 joints
    data = {
        "sequence": "downtown_arguing_00",
        "betas": [np.pad(p.betas[0].numpy(), (0, 290)) for p in people],
        "poses": [p.pose.numpy() for p in people],
        "trans": [p.translation.numpy() for p in people],
        "poses_60Hz": [np.zeros((2 * FRAMES, 72))] * 2,
        "genders": ["m", "f"],
        "texture_maps": [],
        "poses2d": list(detected),
        "jointPositions": positions,
        "img_frame_ids": np.arange(2 * FRAMES) // 2,
        "cam_poses": cameras,
        "campose_valid": [np.ones(FRAMES, bool), np.array([1, 1, 0])],
        "cam_intrinsics": np.array([[1960.0, 0, 540], [0, 1960, 960], [0, 0, 1]]),
    }
    return data, people


def save(folder: Path, data: object, name: str = "downtown_arguing_00.pkl", split: str = "train") -> Path:
    path = folder / "sequenceFiles" / split / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(python2_pickle(data))
    return path


@pytest.mark.filterwarnings("error")
def test_3dpw(tmp_path: Path, body: BodyModel):
    data, people = sequence(body)
    path = save(tmp_path, data)
    (tmp_path / "imageFiles").mkdir()
    records = open_dataset(path)
    who = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1))
    assert [r.id for r in records] == [f"downtown_arguing_00/{actor}/{frame}" for actor, frame in who]
    assert records[4].image == tmp_path / "imageFiles" / "downtown_arguing_00" / "image_00001.jpg"
    assert [r.gender for r in records] == ["male"] * 3 + ["female"] * 2
    for record, (actor, frame) in zip(records, who, strict=True):
        label, joints, camera, keypoints = record.body, record.joints, record.camera, record.keypoints
        assert label is not None
        assert joints is not None
        assert camera is not None
        vertices = body.to(torch.float64).vertices(people[actor][frame]).numpy()
        pose = data["cam_poses"][frame]
        expected = vertices @ pose[:3, :3].T + pose[:3, 3]
        assert np.abs(body.vertices(label.bodies).numpy() - expected).max() < 1e-4
        assert (body.joints(label.bodies) - joints.points).abs().max() < 1e-4
        assert (joints.frame, joints.skeleton) == ("camera", get_skeleton("smpl24"))
        assert camera.focal.tolist() == [1960, 1960]
        assert camera.size == (1080, 1920)
        if (actor, frame) == (0, 1):
            assert keypoints is None
            assert record.box is not None
            projected = camera.project(joints.points)
            assert record.box[:2] == pytest.approx(projected.amin(0).tolist(), abs=0.1)
        else:
            assert keypoints is not None
            assert keypoints.detected.all()
            assert np.allclose(keypoints.pixels.T, data["poses2d"][actor][frame][:2], atol=1e-3)
    assert records.skipped == ["1 x frame without a valid camera or box (first: campose_valid)"]


def test_broken_3dpw(tmp_path: Path, body: BodyModel):
    data, _ = sequence(body)
    save(tmp_path, data)
    save(tmp_path, {k: v for k, v in data.items() if k != "cam_poses"}, "broken.pkl")
    save(tmp_path, {**data, "poses": [data["poses"][0], data["poses"][1][:2]]}, "short.pkl")
    (tmp_path / "sequenceFiles" / "train" / "damaged.pkl").write_bytes(b"\x80\x02junk")
    with pytest.warns(UserWarning, match="left out 3 of 11 records"):
        records = open_dataset(tmp_path, split="train")
    assert len(records) == 8
    with pytest.raises(InputError, match="cam_poses"):
        open_dataset(tmp_path, strict=True)


def test_hostile_3dpw(tmp_path: Path):
    import os
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, ("touch hacked",)

    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"cam_poses": Evil(), "campose_valid": 1, "cam_intrinsics": 2}))
    with pytest.raises(InputError, match="system"):
        open_dataset(path)


def up3d(folder: Path, number: int, **changes: object) -> tuple[np.ndarray, dict[str, Any]]:
    joints = np.concatenate([RNG.random((2, 14)) * 300, np.ones((1, 14))])
    fit = {"pose": RNG.normal(size=72) * 0.3, "betas": RNG.normal(size=10), "trans": np.ones(3), "rt": np.zeros(3),
           "t": np.ones(3), "f": 5000.0} | changes  # fmt: skip
    np.save(folder / f"{number:05d}_joints.npy", joints)
    (folder / f"{number:05d}_body.pkl").write_bytes(python2_pickle(fit))
    render = np.full((40, 50, 3), 255, np.uint8)
    render[10:20, 5:25] = 90
    Image.fromarray(render).save(folder / f"{number:05d}_render_light.png")
    return joints, fit


@pytest.mark.filterwarnings("error")
def test_up3d(tmp_path: Path):
    truth = [up3d(tmp_path, n) for n in range(3)]
    (tmp_path / "train.txt").write_text("/00002_image.png\n/00000_image.png\n\n")
    assert [r.id for r in open_dataset(tmp_path)] == ["00000", "00001", "00002"]
    records = open_dataset(tmp_path, split="train")
    assert [r.id for r in records] == ["00002", "00000"]
    first, (joints, fit) = records[0], truth[2]
    assert first.image == tmp_path / "00002_image.png"
    assert first.keypoints is not None
    assert first.keypoints.skeleton is get_skeleton("lsp14")
    assert np.allclose(first.keypoints.pixels.T, joints[:2], atol=1e-4)
    assert first.body is not None
    assert np.allclose(first.body.bodies.pose, fit["pose"], atol=1e-5)
    assert not first.body.has_translation
    assert first.parts is not None
    mask = first.parts.read()
    assert mask.labels.sum() == 200
    with pytest.raises(InputError, match="there are: train"):
        open_dataset(tmp_path, split="val")


def test_broken_up3d(tmp_path: Path):
    for n in range(4):
        up3d(tmp_path, n)
    np.save(tmp_path / "00001_joints.npy", np.zeros((14, 3)))
    (tmp_path / "00002_body.pkl").write_bytes(python2_pickle({"pose": np.zeros(69)}))
    (tmp_path / "00003_joints.npy").unlink()
    with pytest.warns(UserWarning, match="left out 3 of 4 records"):
        assert [r.id for r in open_dataset(tmp_path)] == ["00000"]


def test_formats_are_told_by_content(tmp_path: Path, body: BodyModel):
    data, _ = sequence(body)
    assert find_format(Content(save(tmp_path, data))).name == "3dpw"
    assert find_format(Content(tmp_path)).name == "3dpw"
    assert find_format(Content(tmp_path / "sequenceFiles" / "train")).name == "3dpw"
    (tmp_path / "up").mkdir()
    up3d(tmp_path / "up", 1)
    assert find_format(Content(tmp_path / "up")).name == "up3d"
    assert all(f.name == name for name, f in FORMATS.items())


def test_wrong_paths_and_names(tmp_path: Path, body: BodyModel):
    path = save(tmp_path, sequence(body)[0])
    for spec, message in (
        (DatasetSpec(path, format="coco"), "expected COCO keypoint annotations"),
        (DatasetSpec(path, format="dpw"), "no format is called 'dpw'; expected one of spin"),
        (DatasetSpec(tmp_path / "gone"), "expected a data set, got 'No such file"),
        (DatasetSpec(tmp_path / "imageFiles"), "no known format"),
        (DatasetSpec(tmp_path / "a\0b"), "null byte"),
    ):
        (tmp_path / "imageFiles").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=message):
            open_dataset(spec)
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(InputError, match="empty file"):
        open_dataset(tmp_path / "empty.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04rubbish")
    with pytest.raises(InputError, match="damaged"):
        open_dataset(str(tmp_path / "bad.npz"))
