"""bodyloop export: what fit, infer and tracks leave becomes files of other programs; mistakes are messages."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import bodyloop.export_jobs
from bodyloop.body import BodyModel
from bodyloop.cli import main
from bodyloop.data.bvh import read_bvh
from bodyloop.errors import InputError
from bodyloop.export_jobs import BodiesExportJob, export_bodies, file_names, read_scene
from bodyloop.track import load_tracks, save_tracks
from bodyloop.view import save_npz
from made_up import random_bodies
from made_up_tracks import CAMERA, in_viewer, small_body, track


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> BodyModel:
    """The body that is loaded, whatever is asked for."""
    body = small_body()
    monkeypatch.setattr(bodyloop.export_jobs, "load_body", lambda path: body)
    return body


@pytest.fixture
def tracks(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "tracks.npz"
    path.parent.mkdir()
    save_tracks(path, [track("anna"), track("ben/../x", 4, seed=1, start=0.1)])
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Results of two photos, as fit writes them."""
    for name, labels in (("one", ["0"]), ("two", ["0", "anna"])):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        people = random_bodies(len(labels), dtype=torch.float32)
        save_npz(folder / "body.npz", people, CAMERA, "small", {"label": np.array(labels)})
        (folder / "overlay.png").write_bytes(b"")
    return tmp_path / "photos"


def written(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("glb", {"tracks.glb"}),
        ("bvh", {"anna.bvh", "ben_.._x.bvh"}),
        ("amass", {"anna.npz", "ben_.._x.npz"}),
        ("npz", {"anna.npz", "ben_.._x.npz"}),
        ("obj", {f"anna/{n:06d}.obj" for n in range(9)} | {f"ben_.._x/{n:06d}.obj" for n in range(3, 7)}),
    ],
)
def test_tracks(small: BodyModel, tracks: Path, tmp_path: Path, kind: str, files: set[str], capsys):
    assert main(["export", str(tracks), "-o", str(tmp_path / "out"), "--format", kind]) == 0
    assert written(tmp_path / "out") == files
    told = capsys.readouterr()
    assert "2 people, frames in all: 13, failures: 0" in told.out
    assert not told.err


def test_usd(small: BodyModel, tracks: Path, tmp_path: Path):
    pytest.importorskip("pxr", reason="usd-core is not installed")
    assert main(["export", str(tracks), "-o", str(tmp_path / "walk.usda")]) == 0
    assert (tmp_path / "walk.usda").read_text().startswith("#usda")


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("glb", {"one.glb", "two.glb"}),
        ("bvh", {"one/person_0.bvh", "two/person_0.bvh", "two/person_anna.bvh"}),
    ],
)
def test_photos(small: BodyModel, photos: Path, tmp_path: Path, kind: str, files: set[str]):
    done = export_bodies(BodiesExportJob(photos, tmp_path / "out", kind))  # type: ignore[arg-type]
    assert written(tmp_path / "out") == files
    assert (done.people, done.frames, done.failures) == (3, 3, [])


def test_people_of_a_photo_are_tracks_of_one_frame(small: BodyModel, photos: Path, tmp_path: Path):
    people = read_scene(photos / "two" / "body.npz")
    truth = random_bodies(2, dtype=torch.float32)
    assert [one.name for one in people] == ["person_0", "person_anna"]
    for i, one in enumerate(people):
        assert len(one) == 1
        torch.testing.assert_close(one.bodies.rotations[0], truth.rotations[i], atol=2e-6, rtol=0)
    export_bodies(BodiesExportJob(photos / "two", tmp_path / "out", "bvh"))
    clip = read_bvh(tmp_path / "out" / "person_anna.bvh", unit="cm")
    np.testing.assert_allclose(clip.translations[0, 0], in_viewer(small.joints(truth))[1, 0], atol=1e-5)


def test_a_files_name_tells_the_format(small: BodyModel, photos: Path, tmp_path: Path):
    for name in ("a.glb", "sub/b.bvh", "c.npz"):
        export_bodies(BodiesExportJob(photos / "one", tmp_path / "out" / name))
    assert written(tmp_path / "out") == {"a.glb", "sub/b.bvh", "c.npz"}
    assert load_tracks(tmp_path / "out" / "c.npz")[0].name == "person_0"
    export_bodies(BodiesExportJob(photos / "one", tmp_path / "out" / "d.npz", "amass"))
    with np.load(tmp_path / "out" / "d.npz") as file:
        assert "mocap_framerate" in file.files


def test_on_the_ground_at_another_rate(small: BodyModel, tracks: Path, tmp_path: Path):
    job = BodiesExportJob(tracks, tmp_path / "out", "obj", ground=True, fps=15)
    export_bodies(job)
    low = [
        min(float(line.split()[2]) for line in file.read_text().splitlines() if line.startswith("v "))
        for file in (tmp_path / "out").rglob("*.obj")
    ]
    assert len(low) == 5 + 2
    assert min(low) == pytest.approx(0, abs=0.02)  # of all frames, of which every second is there
    assert min(low) > -1e-5


def test_a_broken_result_costs_only_itself(small: BodyModel, photos: Path, tmp_path: Path, capsys):
    (photos / "two" / "body.npz").write_bytes((photos / "two" / "body.npz").read_bytes()[:-300])
    save_tracks(photos / "nobody.npz", [])
    np.savez(photos / "samples.npz", pose=np.zeros(3))
    assert main(["export", str(photos), "-o", str(tmp_path / "out")]) == 1
    assert written(tmp_path / "out") == {"one.glb"}
    told = capsys.readouterr()
    assert "nobody in it" in told.err
    assert "not a readable .npz" in told.err
    assert "left out 1 .npz" in told.err
    assert "1 person, frames in all: 1, failures: 2" in told.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "-o", "out"], "got nothing there"),
        (["empty", "-o", "out"], "got none"),
        (["text.npz", "-o", "out"], "not a readable"),
        (["in/tracks.npz"], "expected -o"),
        (["in/tracks.npz", "-o", "walk.fbx"], "FBX is written by Blender"),
        (["in/tracks.npz", "-o", "walk.glb", "--format", "bvh"], r"ends in \.bvh"),
        (["in/tracks.npz", "-o", "walk.bvh"], "expected a folder for 2 files"),
        (["in/tracks.npz", "-o", "out", "--format", "bvh", "--fps", "0"], "--fps"),
        (["in/tracks.npz", "-o", "out", "--format", "bvh", "--fps", "nan"], "--fps"),
        (["in/tracks.npz", "-o", "out", "--format", "npz", "--ground"], "--ground"),
        (["in/tracks.npz", "-o", "text.npz/out"], "cannot be made"),
        (["other.npz", "-o", "out"], "give the model with --body"),
        (["in/tracks.npz", "-o", "out", "--format", "dae"], "invalid choice"),
    ],
)
def test_mistakes_are_messages(
    small: BodyModel, tracks: Path, tmp_path: Path, arguments: list[str], message: str, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.npz").write_text("hello")
    save_tracks(tmp_path / "other.npz", [track(body="SMPL_FEMALE")])
    before = written(tmp_path)
    assert main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert re.search(message, error), error
    assert written(tmp_path) == before


def test_unknown_formats_are_named(tracks: Path, tmp_path: Path):
    with pytest.raises(InputError, match="glb, bvh"):
        export_bodies(BodiesExportJob(tracks, tmp_path, "dae"))  # type: ignore[arg-type]


def test_names_become_names_of_files():
    names = ["anna", "Anna", "../../etc", "a b", "", "...", "con/x" * 60, "ünï"]
    found = file_names(names)
    assert found[:6] == ["anna", "Anna_2", "etc", "a_b", "unnamed", "unnamed_2"]
    assert len({name.lower() for name in found}) == len(names)
    assert all("/" not in name and len(name) <= 104 for name in found)
