import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from motion_files import random_angles, tiny_body, write_bvh
from test_retarget import write_acrobatics

from bodyloop.body import Bodies
from bodyloop.data.amass import read_amass
from bodyloop.data.mocap import SPLIT, load_motions, load_split, read_folder, read_motion, save_motions
from bodyloop.data.skeleton_clip import MotionFileError
from motion_data import shared_data

BODY = tiny_body()
PLACES = np.tile([0.0, 0.9, 0.0], (4, 1))


def amass_arrays(frames=5, width=156, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "poses": rng.normal(0, 0.05, (1, width)) + rng.normal(0, 0.01, (frames, width)),
        "betas": rng.normal(size=16),
        "trans": rng.normal(0, 0.01, (frames, 3)),
        "dmpls": rng.normal(size=(frames, 8)),
        "mocap_framerate": np.array(120.0),
        "gender": np.array("female"),
    }
    arrays.update(changes)
    return {k: v for k, v in arrays.items() if v is not None}


def test_amass_smplh(tmp_path):
    arrays = amass_arrays()
    path = tmp_path / "walk_poses.npz"
    np.savez(path, **arrays)
    motion = read_amass(path, BODY, to_y_up=False)
    np.testing.assert_allclose(motion.pose[:, :66].numpy(), arrays["poses"][:, :66], atol=1e-5)
    assert motion.pose[:, 66:].abs().max() < 1e-6
    assert (motion.fps, motion.gender, motion.good.all().item()) == (120.0, "female", True)
    np.testing.assert_allclose(motion.betas.numpy(), arrays["betas"][:10], atol=1e-6)


def test_amass_world_is_turned_upright(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **amass_arrays(betas=None))
    flat, upright = (BODY.vertices(read_amass(path, BODY, to_y_up=up).bodies()) for up in (False, True))
    x, y, z = flat.unbind(-1)
    torch.testing.assert_close(upright, torch.stack([x, z, -y], -1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("gender", "expected"),
    [(np.array(b"male"), "male"), (np.array(["neutral"]), "neutral"), (np.array("b'female'"), "female")],
)
@pytest.mark.parametrize("key", ["mocap_framerate", "mocap_frame_rate"])
def test_amass_spellings(tmp_path, gender, expected, key):
    path = tmp_path / "a.npz"
    np.savez(path, **amass_arrays(width=165, gender=gender, mocap_framerate=None), **{key: np.array([59.94])})
    motion = read_motion(path, BODY)
    assert motion.gender == expected
    assert motion.fps == pytest.approx(59.94)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": np.zeros((5, 60))}, "72 .SMPL."),
        ({"poses": np.zeros((0, 156)), "trans": np.zeros((0, 3))}, "no frames"),
        ({"trans": np.zeros((4, 3))}, "'trans' should have shape"),
        ({"mocap_framerate": None}, "give the frame rate"),
        ({"poses": np.full((5, 156), np.inf)}, "infinity"),
        ({"gender": np.array([{"a": 1}], dtype=object)}, "pickled"),
        ({"poses": None}, "neither AMASS"),
    ],
)
def test_amass_faults_are_explained(tmp_path, changes, message):
    path = tmp_path / "a.npz"
    np.savez(path, **amass_arrays(**changes))
    with pytest.raises(MotionFileError, match=message):
        read_motion(path, BODY)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1), insert=st.binary(max_size=20), skip=st.integers(0, 40))
def test_damaged_archives_raise_nothing_else(tmp_path, cut, insert, skip):
    whole = write_acrobatics(tmp_path / "whole.npz").read_bytes()
    place = int(cut * len(whole))
    path = tmp_path / "damaged.npz"
    for damaged in (whole[:place], whole[:place] + insert + whole[place + skip :], insert):
        path.write_bytes(damaged)
        try:
            motion = read_motion(path, BODY)
        except MotionFileError:
            continue
        assert motion.rotations.isfinite().all()


@pytest.fixture
def root(tmp_path):
    bvh, npz = tmp_path / "cmu" / "bvh" / "09", tmp_path / "cmu" / "npz_deepmimic"
    bvh.mkdir(parents=True)
    npz.mkdir()
    write_bvh(bvh / "09_01.bvh", random_angles(4, 0, 10), PLACES)
    write_acrobatics(npz / "11_01.npz")
    write_acrobatics(npz / "85_01.npz")
    return tmp_path


def test_split_reads_both_folders_and_caches(root, tmp_path):
    cache = tmp_path / "cache" / "validation.npz"
    seen = []
    first = load_split(root, "validation", BODY, cache, seen.append)
    assert [m.name for m in first.motions] == ["09_01", "11_01"]
    assert first.frames == 7
    again = load_split(root, "validation", BODY, cache, seen.append)
    assert len(seen) == 2
    for a, b in zip(first.motions, again.motions, strict=True):
        torch.testing.assert_close(a.rotations, b.rotations, atol=1e-4, rtol=0)
        assert (a.name, a.subject, a.fps, a.good.tolist()) == (b.name, b.subject, b.fps, b.good.tolist())
    cache.write_bytes(b"PK nonsense")
    write_acrobatics(root / "cmu" / "npz_deepmimic" / "11_02.npz")
    assert len(load_split(root, "validation", BODY, cache)) == 3


def test_failures_are_collected(root):
    bad = root / "cmu" / "bvh" / "09" / "09_02.bvh"
    bad.write_text("HIERARCHY")
    result = read_folder(root / "cmu", body=BODY)
    assert len(result) == 3
    assert list(result.failures) == [str(bad)]
    assert len(read_folder(root / "cmu", subjects=["85"], body=BODY)) == 1


def test_wrong_places(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_split(tmp_path, "test", BODY)
    with pytest.raises(KeyError, match="train"):
        load_split(tmp_path, "all", BODY)
    assert len({s for group in SPLIT.values() for s in group}) == sum(map(len, SPLIT.values()))


def test_saved_motions_keep_everything(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **amass_arrays())
    motion = read_amass(path, BODY)
    save_motions(tmp_path / "b.npz", [motion])
    (back,) = load_motions(tmp_path / "b.npz")
    torch.testing.assert_close(back.betas, motion.betas)
    assert back.gender == "female"
    assert isinstance(back.bodies(), Bodies)


@pytest.mark.skipif(shared_data() is None, reason="the CMU motion data is not on this machine")
def test_real_clips():
    data = shared_data() / "cmu"
    for path in ("bvh/09/09_01.bvh", "npz_deepmimic/09_02.npz"):
        motion = read_motion(data / path, BODY)
        assert motion.fps == 30
        assert motion.good.float().mean() > 0.8
        assert (motion.pose[:, [12, 15]] > np.deg2rad(-15)).all()  # knees bend backwards in nobody
        assert motion.subject == "09"
