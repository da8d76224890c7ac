"""BVH, AMASS, OBJ sequences, a person's arrays: other readers find the same joints."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from bodyloop.body import SMPL_JOINTS, Bodies, BodyModel
from bodyloop.data.amass import read_amass
from bodyloop.data.bvh import euler_to_rotmat, read_bvh
from bodyloop.data.rigs import SMPL_RIG, find_rig
from bodyloop.errors import InputError
from bodyloop.track import Track, load_tracks
from bodyloop.view.amass import save_amass
from bodyloop.view.bvh import continuous, rotmat_to_zxy, save_bvh
from bodyloop.view.obj_sequence import save_obj_sequence
from bodyloop.view.person_npz import save_person
from made_up_tracks import in_viewer, small_body, track

Y_UP_TO_Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


@pytest.fixture(scope="module")
def small() -> BodyModel:
    return small_body()


def in_metres(path: Path) -> np.ndarray:
    """Joints (T, 24, 3) of a BVH file in SMPL's order."""
    clip = read_bvh(path, unit="cm")
    return clip.world()[1][:, [clip.names.index(name) for name in SMPL_JOINTS]]


def uneven(one: Track) -> Track:
    return dataclasses.replace(one, times=one.times + 0.01 * torch.sin(torch.arange(len(one)).double()))


def test_bvh_comes_back_through_our_reader(small: BodyModel, tmp_path: Path):
    one = track(frames=40)
    save_bvh(tmp_path / "a.bvh", small, one)
    clip = read_bvh(tmp_path / "a.bvh", unit="cm")
    assert set(clip.names) == set(SMPL_JOINTS)
    assert find_rig(clip.names) is SMPL_RIG
    assert clip.fps == 30
    assert {name.removesuffix("_end") for name in clip.ends} == {
        "head", "left_hand", "right_hand", "left_foot", "right_foot",
    }  # fmt: skip
    np.testing.assert_allclose(in_metres(tmp_path / "a.bvh"), in_viewer(small.joints(one.bodies)), atol=5e-6)
    order = [clip.names.index(name) for name in SMPL_JOINTS]
    turned = one.bodies.rotations.double().numpy().copy()
    turned[:, 0] = np.diag([1.0, -1.0, -1.0]) @ turned[:, 0]
    np.testing.assert_allclose(clip.rotations[:, order], turned, atol=2e-6)


def test_bvh_of_the_built_in_body_is_told_to_be_in_centimetres(body: BodyModel, tmp_path: Path):
    one = dataclasses.replace(track(body="builtin"), bodies=Bodies.rest(9))
    save_bvh(tmp_path / "a.bvh", body, one)
    clip = read_bvh(tmp_path / "a.bvh")  # the reader guesses the unit from the size
    world = in_viewer(body.joints(one.bodies))
    np.testing.assert_allclose(
        clip.world()[1][:, [clip.names.index(name) for name in SMPL_JOINTS]], world, atol=5e-6
    )
    names = {name: clip.names[joint] for name, (joint, _) in clip.ends.items()}
    assert names["head_end"] == "head"
    crown = float(body.v_template[:, 1].max() - body.rest_joints[0][SMPL_JOINTS.index("head"), 1])
    assert clip.ends["head_end"][1][1] == pytest.approx(crown, abs=0.02)


def test_bvh_of_uneven_frames_has_even_ones(small: BodyModel, tmp_path: Path):
    one = uneven(track())
    save_bvh(tmp_path / "a.bvh", small, one, fps=60)
    found = in_metres(tmp_path / "a.bvh")
    truth = in_viewer(small.joints(one.even(60).bodies))
    assert len(found) == int(float(one.times[-1] - one.times[0]) * 60) + 1
    np.testing.assert_allclose(found, truth, atol=1e-5)


def test_angles_follow_one_another():
    """A spin of several turns, and joints that swing: no step that a rotation so small does not need."""
    turns = track(frames=60).bodies.rotations.double().numpy()
    turns = (
        Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_matrix().reshape(turns.shape)
    )  # to the last digit
    angles = continuous(rotmat_to_zxy(turns))
    np.testing.assert_allclose(euler_to_rotmat(angles, (2, 0, 1)), turns, atol=1e-9)
    safe = np.abs(np.cos(angles[1:, :, 1])) > 0.5  # near the poles of x, z and y do run
    steps = np.abs(np.diff(angles, axis=0)).max(-1)
    moved = Rotation.from_matrix((turns[:-1].swapaxes(-1, -2) @ turns[1:]).reshape(-1, 3, 3)).magnitude()
    assert (steps[safe] <= 2.5 * moved.reshape(steps.shape)[safe] + 1e-9).all()
    assert np.abs(angles[-1, 0]).max() > 2 * np.pi


def test_angles_at_the_poles_are_right():
    for x in (np.pi / 2, -np.pi / 2):
        turns = Rotation.from_euler("ZXY", [[0.3, x, 0.4], [-2.0, x, 0.0]]).as_matrix()
        np.testing.assert_allclose(euler_to_rotmat(rotmat_to_zxy(turns), (2, 0, 1)), turns, atol=1e-7)
    turns = Rotation.random(200, random_state=np.random.default_rng(0)).as_matrix()
    np.testing.assert_allclose(euler_to_rotmat(rotmat_to_zxy(turns), (2, 0, 1)), turns, atol=1e-12)


def test_amass_comes_back_through_our_reader(small: BodyModel, tmp_path: Path):
    one = track()
    save_amass(tmp_path / "a.npz", small, one)
    motion = read_amass(tmp_path / "a.npz", small, to_y_up=False)
    truth = in_viewer(small.joints(one.bodies)) @ Y_UP_TO_Z_UP.T
    np.testing.assert_allclose(small.joints(motion.bodies()).numpy(), truth, atol=5e-6)
    assert motion.fps == 30
    assert motion.betas is not None
    torch.testing.assert_close(motion.betas, one.bodies.betas[0])
    body_joints = slice(1, 22)
    torch.testing.assert_close(
        motion.rotations[:, body_joints], one.bodies.rotations[:, body_joints], atol=2e-6, rtol=0
    )


def test_amass_turned_back_is_what_it_was(small: BodyModel, tmp_path: Path):
    """In the mean shape, for which the reader knows the pelvis."""
    one = track(frame="world")
    one = dataclasses.replace(one, bodies=dataclasses.replace(one.bodies, betas=torch.zeros(9, 10)))
    save_amass(tmp_path / "a.npz", small, one, fps=30)
    motion = read_amass(tmp_path / "a.npz", small)
    torch.testing.assert_close(motion.trans, one.bodies.translation, atol=5e-6, rtol=0)
    torch.testing.assert_close(motion.rotations[:, :22], one.bodies.rotations[:, :22], atol=2e-6, rtol=0)


def test_amass_has_the_keys_that_tools_read(small: BodyModel, tmp_path: Path):
    save_amass(tmp_path / "a.npz", small, uneven(track(start=2.0)), fps=25)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        frames = len(file["poses"])
        shapes = {key: file[key].shape for key in file.files}
        assert shapes["poses"] == (frames, 156)
        assert shapes["trans"] == (frames, 3)
        assert shapes["dmpls"] == (frames, 8)
        assert shapes["betas"] == (16,)
        assert (float(file["mocap_framerate"]), str(file["gender"]), str(file["body"])) == (
            25,
            "neutral",
            "small",
        )
        assert float(file["start"]) == 2.0
        assert not file["poses"][:, 66:].any()


def test_obj_sequence_has_the_exact_meshes(tmp_path: Path):
    body = small_body(correctives=True)
    people = [track(), track("ben", 4, seed=1, start=0.1)]
    told: list[tuple[int, int]] = []
    for one in people:
        made = save_obj_sequence(
            tmp_path / one.name, body, one, begin=0.0, progress=lambda n, of: told.append((n, of))
        )
        assert made == sorted((tmp_path / one.name).iterdir())
    assert [p.name for p in sorted((tmp_path / "ben").iterdir())] == [f"{n:06d}.obj" for n in range(3, 7)]
    assert told[-1] == (4, 4)
    for one, first in zip(people, (0, 3), strict=True):
        truth = in_viewer(body.vertices(one.bodies))
        for t in (0, len(one) - 1):
            lines = [line.split() for line in (tmp_path / one.name / f"{first + t:06d}.obj").open()]
            vertices = np.array([line[1:] for line in lines if line[0] == "v"], float)
            faces = [[int(corner.split("//")[0]) for corner in line[1:]] for line in lines if line[0] == "f"]
            np.testing.assert_allclose(vertices, truth[t], atol=2e-6)
            np.testing.assert_array_equal(np.array(faces) - 1, body.faces.numpy())


def test_a_persons_arrays(small: BodyModel, tmp_path: Path):
    one = uneven(track("ben"))
    save_person(tmp_path / "a.npz", small, one)
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_allclose(file["joints"], small.joints(one.bodies).numpy(), atol=1e-6)
        assert tuple(file["joint_names"]) == SMPL_JOINTS
    [again] = load_tracks(tmp_path / "a.npz")
    assert torch.equal(again.times, one.times)
    assert again.name == "ben"


def test_one_frame_will_do(small: BodyModel, tmp_path: Path):
    one = track(frames=1)
    save_bvh(tmp_path / "a.bvh", small, one)
    save_amass(tmp_path / "a.npz", small, one)
    np.testing.assert_allclose(in_metres(tmp_path / "a.bvh"), in_viewer(small.joints(one.bodies)), atol=5e-6)
    assert len(read_amass(tmp_path / "a.npz", small)) == 1


def test_unwritable_places_and_other_bodies_are_named(small: BodyModel, tmp_path: Path):
    for save in (save_bvh, save_amass, save_person):
        with pytest.raises(InputError, match="cannot be written"):
            save(tmp_path / "none" / "a", small, track())
        with pytest.raises(InputError, match="'builtin'"):
            save(tmp_path / "a", small, track(body="builtin"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be made"):
        save_obj_sequence(tmp_path / "file" / "folder", small, track())
