"""SPIN's and HumanData's npz, AMASS, SURREAL: small files in the official layouts, traps included."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from bodyloop.body import SMPL_FLIP, Bodies, BodyModel, get_skeleton
from bodyloop.body.parts import partition
from bodyloop.body.skeletons import UNION45
from bodyloop.data.formats import open_dataset
from bodyloop.errors import InputError
from surface import mirror_vertices

RNG = np.random.default_rng(0)
N = 4


def spin_arrays(**changes: object) -> dict[str, Any]:
    openpose = RNG.random((N, 25, 3)) * [300, 200, 1]
    openpose[2] = 0  # OpenPose found nobody
    part = np.concatenate([RNG.random((N, 24, 2)) * 300, np.ones((N, 24, 1))], -1)
    part[:, 14:] = 0  # LSP has 14
    joints = np.concatenate([RNG.normal(size=(N, 24, 3)) * 0.4, np.ones((N, 24, 1))], -1)
    arrays: dict[str, Any] = {
        "imgname": np.array([f"images/im{i:04d}.jpg" for i in range(N)]),
        "center": np.array([[100.0, 150.0]] * N),
        "scale": np.array([1.5] * N),
        "part": part,
        "openpose": openpose,
        "S": joints,
        "pose": RNG.normal(size=(N, 72)) * 0.3,
        "shape": RNG.normal(size=(N, 10)),
        "has_smpl": np.array([1, 0, 1, 1], np.uint8),
        "gender": np.array(["m", "f", "m", "f"]),
    }
    return {k: v for k, v in {**arrays, **changes}.items() if v is not None}


def save_npz(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.filterwarnings("error")
def test_spin(tmp_path: Path):
    arrays = spin_arrays()
    records = open_dataset(save_npz(tmp_path / "h36m_train.npz", arrays), images=tmp_path / "root")
    assert len(records) == N
    assert records.name == "h36m_train"
    first, second, third = records[0], records[1], records[2]
    assert first.image == tmp_path / "root" / "images/im0000.jpg"
    # a square of 200 scale pixels, which SPIN made 1.2 times the person
    assert first.box == pytest.approx((100 - 125, 150 - 125, 100 + 125, 150 + 125))
    assert first.keypoints is not None
    assert first.keypoints.skeleton is get_skeleton("spin49")
    assert np.allclose(first.keypoints.pixels[25:39], arrays["part"][0, :14, :2], atol=1e-4)
    assert np.allclose(first.keypoints.confidence[:25], arrays["openpose"][0, :, 2])
    assert first.keypoints.detected.tolist() == [True] * 25 + [False] * 24
    assert third.keypoints is not None
    assert not third.keypoints.confidence[:25].any()
    assert first.joints is not None
    assert (first.joints.frame, first.joints.skeleton) == ("root", get_skeleton("spin24"))
    assert np.allclose(first.joints.points, arrays["S"][0, :, :3])
    assert first.body is not None
    assert np.allclose(first.body.bodies.pose, arrays["pose"][0], atol=1e-5)
    assert np.allclose(first.body.bodies.betas, arrays["shape"][0])
    assert (first.body.frame, first.body.has_betas, first.body.has_translation) == ("camera", True, False)
    assert second.body is None
    assert not second.has_smpl
    assert (first.gender, second.gender) == ("male", "female")
    assert [r.id for r in records] == ["0", "1", "2", "3"]
    assert [r.id for r in records[1:3]] == ["1", "2"]


@pytest.mark.filterwarnings("error")
def test_spins_defaults(tmp_path: Path):
    """Without has_smpl every pose counts; without part, openpose, S or pose there is nothing instead."""
    one = open_dataset(save_npz(tmp_path / "a.npz", spin_arrays(has_smpl=None)))
    assert all(r.has_smpl for r in one)
    bare = spin_arrays(part=None, openpose=None, S=None, pose=None, shape=None, gender=None)
    record = open_dataset(save_npz(tmp_path / "b.npz", bare))[0]
    assert (record.keypoints, record.joints, record.body, record.gender) == (None, None, None, None)
    part = open_dataset(save_npz(tmp_path / "c.npz", spin_arrays(openpose=None)))[0].keypoints
    assert part is not None
    assert part.skeleton.name == "spin24"
    assert not part.detected.any()


def test_spins_masks(tmp_path: Path):
    labels = np.zeros((20, 30), np.uint8)
    labels[5:9, 5:9], labels[9:12, 5:9], labels[0, 0] = 3, 6, 255
    Image.fromarray(labels).save(tmp_path / "part.png")
    Image.fromarray((labels > 0).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    names = {
        "maskname": np.array(["mask.png"] * N),
        "partname": np.array(["part.png", "", "gone.png", "mask.png"]),
    }
    records = open_dataset(save_npz(tmp_path / "lsp_dataset_test.npz", spin_arrays(**names)), masks=tmp_path)
    assert records[0].parts is not None
    parts = records[0].parts.read()
    assert parts.partition == "lsp"
    names = partition("lsp").parts
    assert names[parts.labels[6, 6] - 1] == "right_arm", "the files have the right side first"
    assert names[parts.labels[10, 6] - 1] == "left_leg"
    assert np.array_equal(parts.labels == 255, labels == 255)
    assert np.array_equal(parts.labels == 0, labels == 0)
    assert records[0].silhouette is not None
    assert np.array_equal(records[0].silhouette.read().labels > 0, labels > 0)
    assert records[1].parts is not None
    mask = records[1].parts.read()
    assert (mask.partition, set(mask.labels.ravel().tolist())) == ("person", {0, 1})
    assert records[1].silhouette is None, "it takes the parts' place"
    for broken, message in ((2, "gone.png"), (3, "expected labels of 'lsp'")):
        source = records[broken].parts
        assert source is not None
        if broken == 3:
            Image.fromarray(labels + 7).save(tmp_path / "mask.png")
        with pytest.raises(InputError, match=message):
            source.read()


def test_spins_broken_rows(tmp_path: Path):
    arrays = spin_arrays()
    arrays["scale"][0] = 0
    arrays["imgname"][1] = ""
    arrays["pose"][2, 5] = np.nan
    arrays["S"][2, 3] = [1000, 0, 0, 1]  # millimetres
    arrays["S"][3, 4] = [np.nan, 0, 0, 1]
    arrays["part"][3, 2] = [np.nan, 0, 1]
    path = save_npz(tmp_path / "a.npz", arrays)
    with pytest.warns(UserWarning, match="left out 2 of 4 records and 4 labels") as caught:
        records = open_dataset(path)
    assert len(caught) == 1
    assert [r.id for r in records] == ["2", "3"]
    assert records[0].body is None
    joints, keypoints = records[0].joints, records[1].keypoints
    assert joints is not None
    assert joints.mask.sum() == 23
    assert keypoints is not None
    assert keypoints.confidence[25 + 2] == 0
    assert len(records.skipped) == 5
    with pytest.raises(InputError, match="without faults"):
        open_dataset(path, strict=True)
    arrays["scale"][:] = np.nan
    with pytest.raises(InputError, match="none that can be used"):
        open_dataset(save_npz(tmp_path / "b.npz", arrays))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"part": np.zeros((N, 14, 3))}, r"'part' of shape \(4, 24, 3\), got \(4, 14, 3\)"),
        ({"center": np.zeros((N - 1, 2))}, "'center'"),
        ({"imgname": np.arange(N)}, "names of images"),
        ({"S": np.array([None] * N)}, "'S'"),
        ({"gender": np.zeros(N)}, "'gender'"),
    ],
)
def test_misshapen_spin_files(tmp_path: Path, changes: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        open_dataset(save_npz(tmp_path / "a.npz", spin_arrays(**changes)))


def human_data(compressed: bool = True, **changes: object) -> dict[str, Any]:
    mask = np.zeros(190, np.uint8)
    mask[[0, 4, 146, 147, 153, 163, 22]] = (
        1  # pelvis, knee, neck_extra, headtop, OpenPose's nose and knee, jaw
    )
    flat = np.concatenate([RNG.random((N, 190, 2)) * 200, np.ones((N, 190, 1))], -1)
    deep = np.concatenate([RNG.random((N, 190, 3)), np.ones((N, 190, 1))], -1)
    flat[0, 4, 2] = 0
    if compressed:
        flat, deep = flat[:, mask > 0], deep[:, mask > 0]
    smpl = {
        "body_pose": RNG.normal(size=(N, 23, 3)) * 0.3,
        "global_orient": RNG.normal(size=(N, 3)),
        "betas": RNG.normal(size=(N, 10)),
        "transl": RNG.normal(size=(N, 3)),
    }
    arrays = {
        "image_path": [f"train/{i}.jpg" for i in range(N)],
        "bbox_xywh": np.array([[10, 20, 100, 200, 1.0]] * N),
        "keypoints2d": flat, "keypoints2d_mask": mask, "keypoints3d": deep, "keypoints3d_mask": mask,
        "smpl": smpl, "has_smpl": np.array([1, 1, 0, 1]), "config": "pw3d",
        "meta": {"gender": np.array(["male", "f", "neutral", "x"])},
        "misc": {"kps3d_root_aligned": False, "focal_length": np.array([[900.0, 901.0]]),
                 "principal_point": np.array([[320.0, 240.0]]), "image_shape": np.array([[480, 640]])},
        "__keypoints_compressed__": compressed, "__data_len__": N, "__key_strict__": False,
    }  # fmt: skip
    return {k: v for k, v in {**arrays, **changes}.items() if v is not None}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("compressed", [True, False])
def test_human_data(tmp_path: Path, compressed: bool):
    arrays = human_data(compressed)
    np.savez_compressed(tmp_path / "pw3d_train.npz", **arrays)
    records = open_dataset(tmp_path / "pw3d_train.npz", images=tmp_path)
    first, second = records[0], records[1]
    assert first.image == tmp_path / "train/0.jpg"
    assert first.box == (10, 20, 110, 220)
    assert first.size == (640, 480)
    assert second.keypoints is not None
    assert second.keypoints.skeleton is UNION45
    order = np.flatnonzero(arrays["keypoints2d_mask"]) if not compressed else np.arange(7)
    full = {
        int(k): arrays["keypoints2d"][:, i]
        for k, i in zip(sorted([0, 4, 22, 146, 147, 153, 163]), order, strict=True)
    }
    seen = {name for name, c in zip(UNION45.keypoints, second.keypoints.confidence, strict=True) if c > 0}
    assert seen == {"pelvis", "left_knee", "neck_extra", "headtop", "nose", "right_knee"}
    place = {name: second.keypoints.pixels[UNION45.index(name)] for name in seen}
    assert np.allclose(place["pelvis"], full[0][1, :2], atol=1e-4)
    assert np.allclose(place["headtop"], full[147][1, :2], atol=1e-4)
    assert np.allclose(place["nose"], full[153][1, :2], atol=1e-4)
    detected = {n for n, d in zip(UNION45.keypoints, second.keypoints.detected, strict=True) if d}
    assert {"nose", "right_knee"} <= detected
    assert not detected & {"pelvis", "left_knee", "neck_extra", "headtop"}
    assert first.keypoints is not None
    assert first.keypoints.confidence[UNION45.index("left_knee")] == 0
    assert first.joints is not None
    assert first.joints.frame == "camera"
    assert first.body is not None
    smpl = arrays["smpl"]
    pose = np.concatenate([smpl["global_orient"][:, None], smpl["body_pose"]], 1)
    expected = Bodies.from_smpl(torch.from_numpy(pose.reshape(N, 72)))
    assert torch.allclose(first.body.bodies.rotations.double(), expected.rotations[0], atol=1e-5)
    assert np.allclose(first.body.bodies.translation, smpl["transl"][0])
    assert records[2].body is None
    assert [r.gender for r in records] == ["male", "female", "neutral", None]
    assert first.camera is not None
    assert first.camera.focal.tolist() == [900, 901]
    assert first.camera.center.tolist() == [320, 240]


def test_human_datas_other_ways(tmp_path: Path):
    """SMPL-X poses, several people an image, cameras by the list, boxes without confidence."""
    smplx = {
        "body_pose": RNG.normal(size=(N, 21, 3)),
        "global_orient": np.zeros((N, 3)),
        "betas": np.ones((N, 10)),
    }
    k = np.array([[700.0, 0, 300], [0, 710, 200], [0, 0, 1]])
    arrays = human_data(
        smpl=None, smplx=smplx, misc={}, image_path=["a.jpg", "b.jpg"], frame_range=np.array([[0, 3], [3, 4]]),
        cam_param=[{"K": k, "W": 600, "H": 400}] * N, bbox_xywh=np.array([[10, 20, 100, 200]] * N),
    )  # fmt: skip
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    records = open_dataset(tmp_path / "a.npz")
    assert [r.image.name for r in records if isinstance(r.image, Path)] == ["a.jpg"] * 3 + ["b.jpg"]
    body, joints, camera = records[0].body, records[0].joints, records[0].camera
    assert body is not None
    assert (body.has_betas, body.has_translation) == (False, False)
    assert torch.equal(body.bodies.rotations[22:], torch.eye(3).expand(2, 3, 3))
    assert joints is not None
    assert joints.frame == "root"
    assert camera is not None
    assert (camera.focal.tolist(), camera.size) == ([700, 710], (600, 400))


def test_hostile_and_misshapen_human_data(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return Path, ("x",)

    for changes, message in (
        ({"meta": {"gender": Evil()}}, r"refused.*pathlib"),
        ({"keypoints2d": np.zeros((N, 50, 3))}, "expected 190 keypoints"),
        ({"bbox_xywh": np.zeros((N, 3))}, "4 or 5 columns"),
        ({"image_path": None, "smpl": None}, "no known format"),
    ):
        np.savez_compressed(tmp_path / "a.npz", **human_data(**changes))
        with pytest.raises(InputError, match=message):
            open_dataset(tmp_path / "a.npz")


@pytest.mark.filterwarnings("error")
def test_amass(tmp_path: Path, body: BodyModel):
    folder = tmp_path / "CMU" / "01"
    folder.mkdir(parents=True)
    poses = RNG.normal(size=(12, 156)) * 0.2
    poses = np.repeat(poses[:1], 12, 0) + np.linspace(0, 0.2, 12)[:, None]
    arrays = {
        "poses": poses, "betas": np.arange(16.0), "trans": np.zeros((12, 3)), "dmpls": np.zeros((12, 8)),
        "mocap_framerate": np.array(120.0), "gender": np.array("female"),
    }  # fmt: skip
    np.savez(folder / "01_01_poses.npz", **arrays)
    np.savez(folder / "shape.npz", betas=np.zeros(16), gender=np.array("female"))
    records = open_dataset(tmp_path / "CMU", fps=30)
    assert len(records) == 3
    first = records[0]
    assert first.id == "01/01_01_poses/0"
    assert first.image is None
    assert first.body is not None
    assert first.body.frame == "world"
    assert first.gender == "female"
    assert first.body.bodies.betas.tolist() == list(range(10))
    expected = Bodies.from_smpl(torch.from_numpy(np.pad(poses[4, :66], (0, 6)))[None])
    second = records[1].body
    assert second is not None
    assert torch.allclose(second.bodies.rotations[1:], expected.rotations[0, 1:].float(), atol=1e-5)
    (folder / "broken.npz").write_bytes(b"PK no archive")
    with pytest.warns(UserWarning, match="left out 1"):
        assert len(open_dataset(tmp_path / "CMU", fps=30)) == 3


def surreal_clip(body: BodyModel, frames: int) -> tuple[dict[str, Any], Bodies, np.ndarray, np.ndarray]:
    """Official variables of a clip, the people as the official code poses them, and its 3 x 4 matrix of the camera."""
    pose = RNG.normal(size=(frames, 72)) * 0.3
    shape, zrot, place = RNG.normal(size=10), 0.7, np.array([6.5, -1.0, 0.2])
    upright = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    c, s = np.cos(zrot), np.sin(zrot)
    turn = torch.from_numpy(upright @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
    people = Bodies.from_smpl(torch.from_numpy(pose), torch.from_numpy(shape).repeat(frames, 1))
    rotations = torch.cat([(turn @ people.rotations[:, 0])[:, None], people.rotations[:, 1:]], 1)
    world = Bodies(rotations, people.betas, torch.from_numpy(RNG.normal(size=(frames, 3)) * 0.1))
    joints = body.to(torch.float64).joints(world).numpy()
    to_blender = np.array([[0.0, 0, 1], [0, -1, 0], [-1, 0, 0]]).T
    to_cv = np.diag([1.0, -1, -1])
    matrix = np.concatenate([to_cv @ to_blender, (to_cv @ -(to_blender @ place))[:, None]], 1)
    seen = joints @ matrix[:, :3].T + matrix[:, 3]
    flat = seen[..., :2] / seen[..., 2:] * 600 + np.array([160, 120])
    arrays = {
        "pose": pose.T.astype(np.float32), "shape": np.repeat(shape[:, None], frames, 1).astype(np.float32),
        "joints2D": flat.transpose(2, 1, 0).astype(np.float32),
        "joints3D": joints.transpose(2, 1, 0).astype(np.float32),
        "zrot": np.full((frames, 1), zrot, np.float32), "gender": np.zeros((frames, 1), np.uint8),
        "camLoc": place[:, None], "camDist": np.array([[6.5]]), "clipNo": np.array([[1]], np.uint8),
    }  # fmt: skip
    if frames == 1:
        arrays["joints2D"], arrays["joints3D"] = arrays["joints2D"][..., 0], arrays["joints3D"][..., 0]
    return arrays, world, matrix, flat


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frames", [1, 3])
def test_surreal_shows_people_in_a_mirror(tmp_path: Path, body: BodyModel, frames: int):
    arrays, world, matrix, _ = surreal_clip(body, frames)
    savemat(tmp_path / "01_01_c0001_info.mat", arrays)
    records = open_dataset(tmp_path, body=body)
    assert len(records) == frames
    model, mirror = body.to(torch.float64), mirror_vertices(body)
    for frame, record in enumerate(records):
        label, joints, keypoints, camera = record.body, record.joints, record.keypoints, record.camera
        assert label is not None
        assert joints is not None
        assert keypoints is not None
        assert camera is not None
        assert torch.linalg.det(label.bodies.rotations).allclose(torch.ones(24), atol=1e-5)
        # The official way: vertices by the 3 x 4 matrix, which mirrors them. Ours is an ordinary body in camera axes.
        vertices = model.vertices(world[frame]).numpy() @ matrix[:, :3].T + matrix[:, 3]
        own = body.vertices(label.bodies)
        assert np.abs(own[mirror].numpy() - vertices).max() < 2e-3
        assert (body.joints(label.bodies) - joints.points).abs().max() < 2e-3
        assert (camera.project(joints.points) - keypoints.pixels).abs().max() < 0.05
        assert joints.frame == "camera"
        assert record.gender == "female"
        assert record.image is None
    without_body = open_dataset(tmp_path)[0].body
    assert without_body is not None
    assert not without_body.has_translation


def test_surreals_frames_and_parts(tmp_path: Path, body: BodyModel):
    arrays, _, _, flat = surreal_clip(body, 2)
    savemat(tmp_path / "a_c0001_info.mat", arrays)
    labels = np.zeros((240, 320), np.uint8)
    labels[10:20, 10:20], labels[30:40, 10:20] = 1 + 1, 12 + 1  # left hip, neck
    savemat(tmp_path / "a_c0001_segm.mat", {"segm_1": labels, "segm_2": labels * 0})
    (tmp_path / "a_c0001_frames").mkdir()
    record = open_dataset(tmp_path / "a_c0001_info.mat")[0]
    assert record.image == tmp_path / "a_c0001_frames" / "frame_000000.jpg"
    assert record.parts is not None
    parts = record.parts.read()
    assert parts.partition == "smpl"
    assert set(parts.labels[10:20, 10:20].ravel()) == {2 + 1}, "what the file calls left is seen as right"
    assert set(parts.labels[30:40, 10:20].ravel()) == {12 + 1}
    keypoints = record.keypoints
    assert keypoints is not None
    assert np.allclose(keypoints.pixels, flat[0][list(SMPL_FLIP)], atol=1e-2)
    savemat(tmp_path / "b_c0001_info.mat", {k: v for k, v in arrays.items() if k != "joints3D"})
    with pytest.warns(UserWarning, match="joints3D"):
        assert len(open_dataset(tmp_path)) == 2
