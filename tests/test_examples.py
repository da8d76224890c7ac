"""The lessons and the README's example do what they say."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bodyloop.view import save_picture

ROOT = Path(__file__).parents[1]


def run(*arguments: object, cwd: Path) -> str:
    """Output of a script in an empty folder; fails with what it printed."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_first_photo(tmp_path: Path):
    pytest.importorskip("mediapipe")
    out = run(ROOT / "examples" / "00_first_photo.py", cwd=tmp_path)
    assert "found: 1;" in out
    names = {p.name for p in (tmp_path / "runs" / "00_first_photo").iterdir()}
    assert {"overlay.png", "side.png", "body.glb"} <= names


def test_your_own_keypoints(tmp_path: Path):
    out = run(ROOT / "examples" / "01_your_own_keypoints.py", "here", cwd=tmp_path)
    assert "trusted: True" in out
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["body.npz", "body.obj"]


def test_smpl_body(tmp_path: Path, smpl_arrays):
    script = ROOT / "examples" / "02_smpl_body.py"
    assert "builtin: joints (2, 24, 3)" in run(script, cwd=tmp_path)
    np.savez(tmp_path / "own.npz", **smpl_arrays)
    assert "own: joints (2, 24, 3)" in run(script, tmp_path / "own.npz", "here", cwd=tmp_path)
    assert (tmp_path / "here" / "bodies.glb").exists()


def test_walk_to_blender(tmp_path: Path):
    out = run(ROOT / "examples" / "03_walk_to_blender.py", "here", cwd=tmp_path)
    assert "132 frames, 30 a second" in out
    names = {p.name for p in (tmp_path / "here").iterdir()}
    assert names == {"tracks.npz", "walk.glb", "walk.bvh", "walk_amass.npz"}


def readme_example() -> str:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return code


def test_the_readme_example_is_short():
    lines = [line for line in readme_example().splitlines() if line and not line.startswith("import")]
    assert len(lines) == 5


def test_the_readme_example_runs(tmp_path: Path):
    pytest.importorskip("mediapipe")
    save_picture(tmp_path / "photo.png", pytest.importorskip("skimage.data").astronaut())
    (tmp_path / "photo.png").rename(tmp_path / "photo.jpg")
    (tmp_path / "readme.py").write_text(readme_example())
    run("readme.py", cwd=tmp_path)
    assert (tmp_path / "body.glb").exists()
