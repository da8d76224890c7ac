from pathlib import Path

import pytest

from bodyloop.data.splits import HELD_OUT_ANGLE, data_lines, read_poses
from bodyloop.errors import InputError
from motion_folder import made_up_mocap


def test_training_poses_are_mirrored_and_others_not(tmp_path: Path):
    root = made_up_mocap(tmp_path, s01=6, s09=5, s08=4)
    said: list[str] = []
    found = {name: read_poses(root, name, 8.0, None, said.append) for name in ("train", "validation", "test")}
    assert {name: len(poses) for name, poses in found.items()} == {"train": 12, "validation": 5, "test": 4}
    assert "train: 1 clips, 6 frames, 12 distinct poses with their mirror images" in said
    known = data_lines({k: found[k] for k in ("train", "validation")}, 8.0)
    assert "8 degrees" in known[0]
    assert "12 training poses of subjects 01 02" in known[0]
    assert f"5 poses, {HELD_OUT_ANGLE:g} degrees" in known[1]
    assert known[1].endswith("Test subjects 08 61 85 94: not used.")
    assert data_lines(found, 8.0)[1].endswith("judged only, 4 poses.")


def test_the_cache_is_made_and_read(tmp_path: Path):
    root = made_up_mocap(tmp_path / "data", s01=6)
    read_poses(root, "train", 8.0, tmp_path / "new" / "cache", lambda _: None)
    assert (tmp_path / "new" / "cache" / "train.npz").exists()
    assert len(read_poses(root, "train", 8.0, tmp_path / "new" / "cache", lambda _: None)) == 12


def test_a_clip_that_fails_is_told(tmp_path: Path):
    root = made_up_mocap(tmp_path, s01=6)
    (root / "cmu" / "bvh" / "02_01.bvh").write_text("no motion")
    said: list[str] = []
    assert len(read_poses(root, "train", 8.0, None, said.append)) == 12
    assert any(line.startswith("left out: ") and "02_01.bvh" in line for line in said)


def test_long_reading_is_told(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("bodyloop.data.splits.TELL_EVERY", -1.0)
    said: list[str] = []
    read_poses(made_up_mocap(tmp_path, s01=3, s02=3), "train", 8.0, None, said.append)
    assert "reading train clips: 2, 02_01.bvh" in said


def test_no_motion_capture(tmp_path: Path):
    with pytest.raises(InputError, match=r"--mocap .*none of .* exists; expected a folder"):
        read_poses(tmp_path, "train", 8.0, None, lambda _: None)
    with pytest.raises(InputError, match="no usable clip of the validation subjects, 09 11"):
        read_poses(made_up_mocap(tmp_path, s01=3), "validation", 8.0, None, lambda _: None)
