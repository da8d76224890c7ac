import numpy as np
import pytest
import torch
from motion_files import REST, random_angles, tiny_body, write_bvh
from scipy.spatial.transform import Rotation

from bodyloop.body import SMPL_JOINTS
from bodyloop.data.acrobatics import read_acrobatics
from bodyloop.data.bvh import read_bvh
from bodyloop.data.retarget import retarget, rotation_between
from bodyloop.data.rigs import Rig
from bodyloop.data.skeleton_clip import MotionFileError, SkeletonClip

BODY = tiny_body()
BONES = [("Arm", "ForeArm", "shoulder", "elbow"), ("ForeArm", "Hand", "elbow", "wrist"),
         ("UpLeg", "Leg", "hip", "knee"), ("Leg", "Foot", "knee", "ankle")]  # fmt: skip


def read_human(tmp_path, turns, frames, **options):
    places = np.tile([0.0, 0.9, 0.0], (frames, 1))
    return read_bvh(write_bvh(tmp_path / "01_02.bvh", turns, places, **options))


def test_t_pose_is_the_identity(tmp_path):
    still = {name: Rotation.identity(2) for name in random_angles(2, 0)}
    motion = retarget(read_human(tmp_path, still, 2), BODY)
    np.testing.assert_allclose(motion.pose.numpy(), 0, atol=1e-3)
    assert (motion.name, motion.subject, motion.fps) == ("01_02", "01", 30.0)
    assert motion.good.all()


def test_directions_of_limbs_are_kept(tmp_path):
    clip = read_human(tmp_path, random_angles(20, 3), 20)
    _, source = clip.world()
    ours = BODY.joints(retarget(clip, BODY).bodies()).numpy()
    for side in ("Left", "Right"):
        for start, end, smpl_start, smpl_end in BONES:
            bones = [
                source[:, clip.names.index(side + end)] - source[:, clip.names.index(side + start)],
                ours[:, SMPL_JOINTS.index(f"{side.lower()}_{smpl_end}")]
                - ours[:, SMPL_JOINTS.index(f"{side.lower()}_{smpl_start}")],
            ]
            a, b = (bone / np.linalg.norm(bone, axis=-1, keepdims=True) for bone in bones)
            np.testing.assert_allclose(a, b, atol=1e-3)


def test_lowest_point_is_the_ground_and_paths_scale_with_the_legs(tmp_path):
    turns = {name: Rotation.identity(2) for name in random_angles(2, 0)}
    places = np.array([[0.0, 5.0, 0.0], [0.3, 5.0, 0.0]])
    motion = retarget(read_bvh(write_bvh(tmp_path / "a.bvh", turns, places)), BODY)
    assert BODY.vertices(motion.bodies())[..., 1].min() == pytest.approx(0, abs=1e-5)
    assert (motion.trans[1] - motion.trans[0]).tolist() == pytest.approx([0.3, 0, 0], abs=1e-4)


@pytest.mark.parametrize("twist", [-40.0, 0.0, 30.0])
def test_elbow_axis_of_the_capture_does_not_matter(tmp_path, twist):
    """An elbow axis turned about the upper arm, with the arm turned back, is the same motion."""
    plain = random_angles(10, 4)
    turned = dict(plain)
    extra = Rotation.from_euler("x", twist, degrees=True)
    turned["LeftArm"] = plain["LeftArm"] * extra
    turned["LeftForeArm"] = extra.inv() * plain["LeftForeArm"]
    first, second = (retarget(read_human(tmp_path, t, 10), BODY) for t in (plain, turned))
    torch.testing.assert_close(first.rotations, second.rotations, atol=2e-4, rtol=0)


def test_elbow_bent_backwards_is_flagged(tmp_path):
    turns = {name: Rotation.identity(5) for name in random_angles(5, 0)}
    bend = np.deg2rad([0, 10, 60, 70, 80])  # the left elbow flexes about -y
    turns["LeftForeArm"] = Rotation.from_rotvec(np.stack([0 * bend, bend, 0 * bend], -1))
    motion = retarget(read_human(tmp_path, turns, 5, fps=10), BODY)
    assert motion.good.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_rest_that_faces_elsewhere(tmp_path, quarter):
    """The same clip on a skeleton that rests facing another way has the same pose but for the heading."""
    clip = read_human(tmp_path, random_angles(5, 5), 5)
    turn = Rotation.from_euler("y", 90 * quarter, degrees=True).as_matrix()
    moved = SkeletonClip(
        clip.names, clip.parents, clip.offsets @ turn.T, turn @ clip.rotations @ turn.T,
        clip.translations @ turn.T, clip.fps,
    )  # fmt: skip
    first, second = retarget(clip, BODY), retarget(moved, BODY)
    torch.testing.assert_close(first.rotations[:, 1:], second.rotations[:, 1:], atol=1e-4, rtol=0)
    expected = torch.from_numpy(turn).float() @ first.rotations[:, 0]
    torch.testing.assert_close(expected, second.rotations[:, 0], atol=1e-4, rtol=0)


def write_acrobatics(path, **changes):
    names = ["root", "chest", "neck", "right_hip", "right_knee", "right_ankle", "right_shoulder",
             "right_elbow", "left_hip", "left_knee", "left_ankle", "left_shoulder", "left_elbow"]  # fmt: skip
    offsets = np.array([[0, 0, 0], [0, 0.24, 0], [0, 0.22, 0], [0, 0, 0.085], [0, -0.42, 0], [0, -0.41, 0],
                        [-0.02, 0.24, 0.18], [0, -0.28, 0], [0, 0, -0.085], [0, -0.42, 0], [0, -0.41, 0],
                        [-0.02, 0.24, -0.18], [0, -0.28, 0]])  # fmt: skip
    arrays = {
        "names": np.array(names),
        "parents": np.array([-1, 0, 1, 0, 3, 4, 1, 6, 0, 8, 9, 1, 11]),
        "offsets": offsets,
        "quats": np.tile([1.0, 0, 0, 0], (3, 13, 1)),
        "root_pos": np.tile([0.0, 0.9, 0.0], (3, 1)),
        "fps": np.array(30.0),
        "good": np.array([True, True, False]),
        "end_names": np.array(["right_wrist", "left_wrist"]),
        "end_parents": np.array([7, 12]),
        "end_offsets": np.array([[0, -0.3, 0], [0, -0.3, 0.0]]),
    }
    arrays.update(changes)
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def test_arms_down_facing_x(tmp_path):
    motion = retarget(read_acrobatics(write_acrobatics(tmp_path / "02_03.npz")), BODY)
    joints = BODY.joints(motion.bodies())[0]
    at = {name: joints[k] for k, name in enumerate(SMPL_JOINTS)}
    for side in ("left", "right"):
        arm = at[f"{side}_wrist"] - at[f"{side}_shoulder"]
        assert (arm / arm.norm()).tolist() == pytest.approx([0, -1, 0], abs=1e-3)
    assert at["left_foot"][0] > at["left_ankle"][0] + 0.05  # toes towards +x
    assert at["left_hip"][2] < at["right_hip"][2]  # facing +x, the left is at -z
    assert motion.good.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quats": None}, "no 'quats'"),
        ({"quats": np.zeros((3, 13, 4))}, "length 1"),
        ({"quats": np.full((3, 13, 4), np.nan)}, "NaN"),
        ({"parents": np.arange(13)}, "'parents'"),
        ({"root_pos": np.zeros((2, 3))}, "'root_pos' should have shape"),
        ({"fps": np.array(0.0)}, "fps"),
        ({"names": np.array(["a", None], dtype=object)}, "pickled"),
    ],
)
def test_faulty_arrays_are_explained(tmp_path, changes, message):
    with pytest.raises(MotionFileError, match=message):
        read_acrobatics(write_acrobatics(tmp_path / "a.npz", **changes))


def test_unknown_skeleton_says_what_is_missing(tmp_path):
    clip = read_human(tmp_path, random_angles(1, 0), 1)
    names = tuple("x" + n for n in clip.names)
    odd = SkeletonClip(names, clip.parents, clip.offsets, clip.rotations, clip.translations, 30)
    with pytest.raises(MotionFileError, match="fit no known skeleton"):
        retarget(odd, BODY)
    with pytest.raises(ValueError, match="should name a joint"):
        Rig("mine", {"pelvis": "xHips"})


def test_rotation_between_any_directions():
    rng = np.random.default_rng(0)
    pairs = [*rng.normal(size=(20, 2, 3)), REST[[4, 7]], np.array([[1.0, 0, 0], [-1.0, 0, 0]])]
    for a, b in pairs:
        rotation = rotation_between(a, b)
        np.testing.assert_allclose(rotation @ a / np.linalg.norm(a), b / np.linalg.norm(b), atol=1e-9)
        assert np.linalg.det(rotation) == pytest.approx(1)
