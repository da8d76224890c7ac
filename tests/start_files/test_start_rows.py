"""SPIN's, 4D-Humans' and CameraHMR's arrays, in their keys, types and units."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.geometry import Camera
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
NAMES = np.array(
    ["train2014/COCO_train2014_000000000785.jpg"] * 2 + ["train2014/COCO_train2014_000000000786.jpg"]
)


@pytest.fixture
def bodies() -> Bodies:
    return crowd(N)


def squares(body: BodyModel, bodies: Bodies, unit: float = 200.0) -> dict[str, Any]:
    """Rows of SPIN's data sets: 1.2 times the person."""
    boxes = evidence_of(body, bodies).boxes.double()
    side = (boxes[:, 2:] - boxes[:, :2]).amax(1) * 1.2
    center = (boxes[:, 2:] + boxes[:, :2]) / 2
    return {"imgname": NAMES, "center": center.numpy(), "scale": (side / unit).numpy()}


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_spin_results(tmp_path: Path, body: BodyModel, bodies: Bodies):
    """s (X + t) in crops of 200 scale pixels; the file names no images."""
    smpl, rows = smpl_like(body), squares(body, bodies)
    cameras = np.array([[0.9, 0.1, -0.2], [0.8, 0.0, 0.1], [1.0, -0.1, 0.3]])
    arrays = arrays_of(bodies)
    file = save(
        tmp_path / "results.npz",
        pred_joints=np.zeros((N, 17, 3)), pose=arrays["pose"], betas=arrays["betas"], camera=cameras,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"with --start-annotations"):
        read_starts(file)
    starts = read_starts(file, save(tmp_path / "coco_2014_train.npz", **rows))
    flat = flat_joints(smpl, bodies)[..., :2].numpy()
    crop = cameras[:, None, :1] * (flat + cameras[:, None, 1:])
    expected = rows["center"][:, None] + crop * rows["scale"][:, None, None] * 100
    assert np.allclose(projected(starts, smpl, bodies), expected, atol=1e-2)
    other = save(tmp_path / "other.npz", **{key: values[:2] for key, values in rows.items()})
    with pytest.raises(InputError, match=r"expected 3 rows, as .* has, got 2"):
        read_starts(file, other)


def test_rows_of_spin_results_that_saw_nothing(tmp_path: Path, body: BodyModel, bodies: Bodies):
    arrays = arrays_of(bodies)
    cameras = np.array([[0.9, 0, 0], [0, 0, 0], [np.nan, 0, 0]])
    rows = save(tmp_path / "rows.npz", **squares(body, bodies))
    file = save(tmp_path / "results.npz", pose=arrays["pose"], betas=arrays["betas"], camera=cameras)
    starts = read_starts(file, rows)
    assert len(starts.keys) == 1
    assert starts.skipped == ["2 x a camera that sees nothing (first: row 1)"]
    with pytest.raises(InputError, match="none that can be used"):
        read_starts(save(file, pose=arrays["pose"], betas=arrays["betas"], camera=cameras * 0), rows)


@pytest.mark.parametrize("kind", ["npy", "npz", "labels"])
def test_spin_fits(tmp_path: Path, body: BodyModel, bodies: Bodies, kind: str):
    """Nothing on places: people stand where they meet the photo's keypoints."""
    smpl, rows, arrays = smpl_like(body), squares(body, bodies), arrays_of(bodies)
    annotations = save(tmp_path / "coco_2014_train.npz", **rows)
    has = np.array([1, 0, 1], np.uint8)
    if kind == "npy":
        file = tmp_path / "coco_fits.npy"
        np.save(file, np.concatenate([arrays["pose"], arrays["betas"]], 1))
    elif kind == "npz":
        file = save(tmp_path / "mview_fits.npz", pose=arrays["pose"], shape=arrays["betas"], has_smpl=has)
    else:
        labels = {"pose": arrays["pose"], "shape": arrays["betas"], "has_smpl": has}
        file, annotations = save(tmp_path / "labels.npz", **rows, **labels), None
    starts = read_starts(file, annotations)
    found = starts.for_people(
        "train2014/COCO_train2014_000000000785.jpg", evidence_of(smpl, bodies), CAMERA, smpl
    )
    assert found.known.tolist() == ([True, True, False] if kind == "npy" else [True, False, False])
    assert float(joints_off(found, smpl, bodies, CAMERA)[found.known].max()) < 0.5
    assert torch.allclose(found.bodies.betas[found.known], bodies.betas[found.known])
    assert starts.for_people("000000000786.jpg", evidence_of(smpl, bodies), CAMERA, smpl).known.tolist() == [
        False, False, True,
    ], "COCO's image by the name that the set of 2017 gives it"  # fmt: skip


@pytest.mark.parametrize("wide", [False, True])
def test_4d_humans_training_labels(tmp_path: Path, body: BodyModel, bodies: Bodies, wide: bool):
    """scale is in pixels, of one side or both; body_pose has the root."""
    smpl, arrays, rows = smpl_like(body), arrays_of(bodies), squares(body, bodies, unit=1.0)
    file = save(
        tmp_path / "coco-train-2014.npz",
        imgname=rows["imgname"],
        center=rows["center"],
        scale=np.stack([rows["scale"] * 0.5, rows["scale"]], 1) if wide else rows["scale"],
        body_pose=arrays["pose"].astype(np.float32),
        has_body_pose=np.array([1.0, 0.0, 1.0], np.float32),
        betas=arrays["betas"].astype(np.float32),
        has_betas=np.array([0.0, 0.0, 1.0], np.float32),
        body_keypoints_2d=np.zeros((N, 25, 3), np.float32),
        extra_keypoints_2d=np.zeros((N, 19, 3), np.float32),
    )
    starts = read_starts(file)
    boxes = [person.box for person in map(starts.make, range(2))]
    half = rows["scale"][0] / 2
    assert boxes[0] is not None
    assert np.allclose(boxes[0][:2].numpy(), rows["center"][0] - half)
    assert (starts.make(0).betas is None, starts.make(1).betas is None) == (True, False)
    found = starts.for_people("a/COCO_train2014_000000000785.jpg", evidence_of(smpl, bodies), CAMERA, smpl)
    assert found.known.tolist() == [True, False, False]
    assert torch.allclose(found.bodies.rotations[0], bodies.rotations[0], atol=1e-5)


def camera_hmr(body: BodyModel, bodies: Bodies, lens: Camera, unit: float) -> dict[str, Any]:
    arrays, rows = arrays_of(bodies), squares(body, bodies, unit)
    return {
        **{key: rows[key] for key in ("center", "scale")},
        "imgname": np.array(["a/x.jpg"] * N),
        "shape": np.pad(arrays["betas"], ((0, 0), (0, 1))),
        "cam_int": np.repeat(lens.intrinsics()[None].double().numpy(), N, 0),
    }


@pytest.mark.parametrize("kind", ["fits", "labels", "bedlam"])
@pytest.mark.parametrize("focal", [1200.0, 2500.0])
def test_camera_hmr(tmp_path: Path, body: BodyModel, kind: str, focal: float):
    """Perspective of the full image; another focal length moves people so that they look the same."""
    smpl, lens, bodies = smpl_like(body), Camera.from_focal(focal, 1000, 800), crowd(N, focal=focal)
    arrays, shared = arrays_of(bodies), camera_hmr(body, bodies, lens, 1.0 if kind == "fits" else 200.0)
    if kind == "fits":
        own = {"pose": arrays["pose"], "cam_t": arrays["trans"], "gt_keypoints": np.zeros((N, 44, 3))}
    elif kind == "labels":
        own = {"pose_cam": np.pad(arrays["pose"], ((0, 0), (0, 9))), "trans_cam": arrays["trans"]}
    else:
        step = np.array([0.3, -0.2, 1.0])
        extrinsics = np.repeat(np.eye(4)[None], N, 0)
        extrinsics[:, :3, 3] = step
        own = {"pose_cam": arrays["pose"], "trans_cam": arrays["trans"] - step, "cam_ext": extrinsics}
    starts = read_starts(save(tmp_path / "a.npz", **shared, **own))
    evidence = evidence_of(smpl, bodies, lens)
    found = starts.for_people("elsewhere/a/x.jpg", evidence, CAMERA, smpl)
    assert found.known.all()
    off = joints_off(found, smpl, bodies, lens) / (evidence.boxes[:, 3] - evidence.boxes[:, 1])
    assert float(off.max()) < (1e-4 if focal == 1200 else 0.01)
    assert torch.allclose(found.bodies.rotations[:, 1:], bodies.rotations[:, 1:], atol=1e-4)
    if focal == 1200:
        assert torch.allclose(found.bodies.rotations, bodies.rotations, atol=1e-4)
        assert torch.allclose(found.bodies.translation, bodies.translation, atol=2e-3)


def test_camera_hmr_without_places(tmp_path: Path, body: BodyModel, bodies: Bodies):
    arrays = camera_hmr(body, bodies, CAMERA, 200.0) | {"pose": arrays_of(bodies)["pose"]}
    starts = read_starts(save(tmp_path / "a.npz", **arrays))
    found = starts.for_people("x.jpg", evidence_of(body, bodies), CAMERA, smpl_like(body))
    assert found.known.all()
    assert float(joints_off(found, body, bodies, CAMERA).max()) < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pose": np.zeros((N, 60))}, "expected poses of 72 numbers or more"),
        ({"cam_int": np.zeros((N, 4))}, r"expected 'cam_int' of shape \(3, 3, 3\)"),
        ({"cam_t": np.zeros(3)}, r"expected 'cam_t' of shape \(3, 3\)"),
        ({"imgname": np.zeros(N)}, "names of images in 'imgname'"),
        ({"imgname": np.array([""] * N)}, "none that can be used"),
        ({"pose": np.full((N, 72), np.nan)}, "none that can be used"),
        ({"scale": np.array(["a"] * N)}, "expected 'scale' of shape"),
        ({"pose": np.array([{}] * N)}, "got objects"),
    ],
)
def test_bad_rows(tmp_path: Path, body: BodyModel, bodies: Bodies, change: dict[str, Any], message: str):
    good = camera_hmr(body, bodies, CAMERA, 1.0) | {
        "pose": arrays_of(bodies)["pose"],
        "cam_t": np.ones((N, 3)),
    }
    with pytest.raises(InputError, match=message):
        read_starts(save(tmp_path / "a.npz", **(good | change)))


def test_bad_npy(tmp_path: Path):
    np.save(tmp_path / "a.npy", np.zeros((3, 80)))
    with pytest.raises(InputError, match="82 columns"):
        read_starts(tmp_path / "a.npy")
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:90])
    with pytest.raises(InputError, match="damaged"):
        read_starts(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([{}]))
    with pytest.raises(InputError, match="damaged"):
        read_starts(tmp_path / "b.npy")
