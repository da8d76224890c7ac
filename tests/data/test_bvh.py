import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from motion_files import HUMAN, random_angles, write_bvh
from scipy.spatial.transform import Rotation

from bodyloop.data.bvh import euler_to_rotmat, read_bvh
from bodyloop.data.skeleton_clip import MotionFileError

PLACES = np.array([[0.1, 0.9, 0.2], [0.2, 0.95, 0.3], [0.3, 0.9, 0.4]])


@pytest.mark.parametrize("order", ["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"])
def test_channel_order_and_layout_do_not_matter(tmp_path, order):
    turns = random_angles(3, 0)
    clip = read_bvh(write_bvh(tmp_path / "a.bvh", turns, PLACES, order, newline="\r\n", position_last=True))
    for k, name in enumerate(clip.names):
        np.testing.assert_allclose(clip.rotations[:, k], turns[name].as_matrix(), atol=1e-6)
    np.testing.assert_allclose(clip.translations[:, 0], PLACES, atol=1e-6)
    assert clip.fps == 30.0


@pytest.mark.parametrize(("unit", "scale"), [("m", 1.0), ("cm", 100.0), ("inch", 1 / 0.0254)])
def test_units_are_stated_or_guessed(tmp_path, unit, scale):
    path = write_bvh(tmp_path / "a.bvh", random_angles(3, 1), PLACES, scale=scale)
    for given_unit in (unit, "auto"):
        clip = read_bvh(path, unit=given_unit)
        np.testing.assert_allclose(clip.translations[:, 0], PLACES, atol=1e-5)
        assert clip.rest_positions[clip.names.index("LeftLeg"), 1] == pytest.approx(-0.47, abs=1e-4)


def test_forward_kinematics_matches_a_plain_walk_up_the_tree(tmp_path):
    turns = random_angles(3, 2)
    clip = read_bvh(write_bvh(tmp_path / "a.bvh", turns, PLACES))
    rotations, places = clip.world()
    spot = {name: place for name, _, place in HUMAN}
    parent = {name: p for name, p, _ in HUMAN}

    def walk(name, t):
        if parent[name] is None:
            return turns[name][t], PLACES[t]
        above, place = walk(parent[name], t)
        return above * turns[name][t], place + above.apply(spot[name] - spot[parent[name]])

    for name in ("LeftHand", "RightFoot", "Head"):
        k = clip.names.index(name)
        for t in range(3):
            rotation, place = walk(name, t)
            np.testing.assert_allclose(rotations[t, k], rotation.as_matrix(), atol=1e-6)
            np.testing.assert_allclose(places[t, k], place, atol=1e-5)


def test_euler_product_in_the_order_written():
    angles = np.array([[0.3, -1.0, 2.0]])
    expected = Rotation.from_euler("YZX", angles).as_matrix()
    np.testing.assert_allclose(euler_to_rotmat(angles, (1, 2, 0)), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "hello", "not a BVH"),
        (lambda t: t[: t.index("MOTION")], "no 'MOTION'"),
        (lambda t: t.replace("Frames: 3", "Frames: 4"), "promises 4 frames"),
        (lambda t: t.replace("Frames: 3", "Frames: 99999999999999"), "number of frames"),
        (lambda t: t.replace("Frames: 3", "Frames: 0"), "no frames"),
        (lambda t: t.replace("Frame Time: 0.03", "Frame Time: -0.03"), "frame time"),
        (lambda t: t.replace("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation", 1), "expected a channel"),
        (lambda t: t.replace("OFFSET 0.0", "OFFSET x0.0", 1), "expected an offset"),
        (lambda t: t[:-20] + "nan\n", "expected"),
        (lambda t: t.rstrip() + " 1.0\n", "expected|promises"),
        (lambda t: t.replace("ROOT", "JOINT", 1), "expected 'ROOT'"),
        (lambda t: t.replace("Frame Time", "Time Frame"), "expected 'Frame'"),
    ],
)
def test_faults_are_explained(tmp_path, change, message):
    path = write_bvh(tmp_path / "a.bvh", random_angles(3, 0), PLACES)
    path.write_text(change(path.read_text()))
    with pytest.raises(MotionFileError, match=message) as caught:
        read_bvh(path)
    assert "a.bvh" in str(caught.value)


def test_missing_file_is_a_motion_file_error(tmp_path):
    with pytest.raises(MotionFileError, match="cannot be read"):
        read_bvh(tmp_path / "none.bvh")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), insert=st.binary(max_size=30), skip=st.integers(0, 40))
def test_damaged_files_raise_nothing_else(tmp_path, cut, insert, skip):
    whole = write_bvh(tmp_path / "whole.bvh", random_angles(2, 0), PLACES[:2]).read_bytes()
    place = int(cut * len(whole))
    path = tmp_path / "damaged.bvh"
    for damaged in (whole[:place], whole[:place] + insert + whole[place + skip :]):
        path.write_bytes(damaged)
        try:
            clip = read_bvh(path)
        except MotionFileError:
            continue
        assert np.isfinite(clip.rotations).all()
