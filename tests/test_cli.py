"""Bad input, end to end: a clear message or a doubted result, never a traceback, never a loss."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import bodyloop.detect
from bodyloop.body import SKELETONS, BodyModel
from bodyloop.cli import main
from bodyloop.evaluate.protocols import PROTOCOLS
from bodyloop.evidence import Evidence
from bodyloop.train.recipes import RECIPES
from bodyloop.view import load_npz
from fit.people import CAMERA, observed

SIZE = (1000, 1000)
COCO17 = SKELETONS["coco17"]


@pytest.fixture(scope="module")
def person(body: BodyModel) -> Evidence:
    """Exact COCO keypoints of one made-up person."""
    return observed(body, 1)[1]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with one good photo, good.jpg."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(folder / "good.jpg")
    return folder


def photo(path: Path) -> Path:
    Image.new("RGB", SIZE, (120, 130, 140)).save(path)
    return path


@pytest.fixture
def detector(monkeypatch: pytest.MonkeyPatch, person: Evidence) -> list[np.ndarray]:
    """A detector that sees the made-up person in every photo that is not black; returns what it was shown."""
    shown: list[np.ndarray] = []

    def detect(pixels: np.ndarray, boxes: torch.Tensor | None = None) -> Any:
        shown.append(pixels)
        return SimpleNamespace(evidence=person if pixels.max() > 0 else person[:0])

    monkeypatch.setattr(bodyloop.detect, "load_detector", lambda name: detect)
    return shown


class Run:
    """What one call of the command line did."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, " ".join(out.split()), " ".join(err.split())


@pytest.fixture
def fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Run]:
    """Runs ``bodyloop fit`` into tmp_path/out, from mean starts and without pictures unless told so."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: object, pictures: bool = False) -> Run:
        few = [] if pictures else ["--no-pictures"]
        out = [] if "-o" in arguments else ["-o", tmp_path / "out"]
        status = main([str(a) for a in ("fit", *arguments, *out, *few, "--starts", "mean")])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        assert "internal error" not in captured.out + captured.err
        return Run(status, captured.out, captured.err)

    return run


def own_json(path: Path, people: dict[str, list[Any]], skeleton: str = "coco17") -> Path:
    images = {name: {"people": [{"keypoints": rows} for rows in rows_of]} for name, rows_of in people.items()}
    path.write_text(json.dumps({"format": "bodyloop-keypoints", "skeleton": skeleton, "images": images}))
    return path


def rows_of(person: Evidence) -> list[list[float]]:
    return torch.cat([person.keypoints[0], person.confidence[0, :, None]], 1).tolist()


# What works


def test_a_photo_becomes_files(fit, photos: Path, detector, tmp_path: Path):
    run = fit(photos / "good.jpg", pictures=True)
    assert run.status == 0
    assert "1 photo, 1 person fitted, 0 failures" in run.out
    assert "focal length: 1414 px (assumed: image diagonal)" in run.out
    assert f"results: {tmp_path / 'out' / 'good'}" in run.out
    names = sorted(p.name for p in (tmp_path / "out" / "good").iterdir())
    assert names == ["body.glb", "body.npz", "overlay.png", "side.png"]


def test_the_result_file_says_what_happened(fit, photos: Path, detector, tmp_path: Path, person: Evidence):
    fit(photos / "good.jpg", "--focal", "1200")
    saved = load_npz(tmp_path / "out" / "good" / "body.npz")
    assert torch.allclose(saved.camera.focal, CAMERA.focal)
    assert saved.scores["trusted"].tolist() == [True]
    assert saved.scores["error_box"][0] < 0.02
    assert saved.scores["photo"] == str(photos / "good.jpg")
    assert np.allclose(saved.scores["keypoints"], person.keypoints)


def test_formats(fit, photos: Path, detector, tmp_path: Path):
    assert fit(photos / "good.jpg", "--formats", "obj", "ply").status == 0
    assert sorted(p.name for p in (tmp_path / "out" / "good").iterdir()) == ["body.obj", "body.ply"]


def test_folder_glob_and_repetition(fit, photos: Path, detector, tmp_path: Path):
    photo(photos / "other.png")
    (photos / "notes.txt").write_text("no photo")
    run = fit(photos, photos / "*.jpg", photos / "good.jpg")
    assert run.status == 0
    assert "2 photos, 2 people fitted" in run.out
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good", "other"]


def test_photos_of_one_name_do_not_overwrite_each_other(fit, photos: Path, detector, tmp_path: Path):
    for folder, name in (("b", "good.jpg"), ("c", "good_2.jpg")):
        (photos / folder).mkdir()
        photo(photos / folder / name)
    run = fit(photos / "good.jpg", photos / "b", photos / "c")
    assert run.status == 0
    saved = {p.parent.name: load_npz(p) for p in (tmp_path / "out").glob("*/body.npz")}
    sources = {folder: Path(str(s.scores["photo"])).relative_to(photos) for folder, s in saved.items()}
    assert {k: str(v) for k, v in sources.items()} == {
        "good": "good.jpg", "good_3": "b/good.jpg", "good_2": "c/good_2.jpg",
    }  # fmt: skip


def test_resume_fits_only_what_is_missing(fit, photos: Path, detector):
    fit(photos)
    photo(photos / "new.jpg")
    run = fit(photos, "--resume")
    assert run.status == 0
    assert "1 photo, 1 person fitted, 1 photo done before, 0 failures" in run.out
    assert len(detector) == 2
    fit(photos, "--resume", "--formats", "npz", "obj")
    assert len(detector) == 4, "an asked-for file is missing"
    (photos.parent / "elsewhere").mkdir()
    run = fit(photo(photos.parent / "elsewhere" / "good.jpg"), "--resume")
    assert "1 person fitted" in run.out, "another photo of the same name"


def test_resume_with_nothing_to_do_loads_no_detector(fit, photos: Path, detector, monkeypatch):
    fit(photos)
    monkeypatch.setattr(bodyloop.detect, "load_detector", lambda name: pytest.fail("loaded"))
    run = fit(photos, "--resume")
    assert run.status == 0
    assert "0 photos, 0 people fitted, 1 photo done before" in run.out


def test_normalised_landmarks_take_their_size_from_the_photo(
    fit, photos: Path, tmp_path: Path, body: BodyModel
):
    points, _ = body.keypoints(SKELETONS["mediapipe33"])
    bodies, _ = observed(body, 1)
    places = (CAMERA.project(body.points(bodies, points))[0] + 0.5) / 1000
    landmarks = [{"x": x, "y": y, "z": 0.0, "visibility": 1.0} for x, y in places.tolist()]
    (tmp_path / "good.json").write_text(json.dumps([landmarks]))
    run = fit(photos / "good.jpg", "--keypoints", tmp_path / "good.json")
    assert run.status == 0
    assert " yes" in run.out


# Photos that fail; the good one's results stay


def truncated(path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (300, 300, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])


BAD_PHOTOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncated, "may be truncated: copy or download it again"),
    "text": (lambda p: p.write_text("I am no photo"), "convert it to JPEG or PNG"),
    "empty": (lambda p: p.write_bytes(b""), "got an empty file"),
    "tiny": (lambda p: Image.new("RGB", (1, 1)).save(p), "at least 16 x 16 pixels, got 1 x 1"),
    "nobody": (lambda p: Image.new("RGB", (300, 300)).save(p), "nobody found in it; give --boxes, or give"),
}


@pytest.mark.parametrize("kind", BAD_PHOTOS)
def test_a_bad_photo_costs_only_itself(fit, photos: Path, detector, tmp_path: Path, kind: str):
    make, message = BAD_PHOTOS[kind]
    make(photos / "bad.jpg")
    run = fit(photos / "bad.jpg", photos / "good.jpg")
    assert run.status == 1
    assert message in run.out
    assert "1 photo, 1 person fitted, 1 failure" in run.out
    assert (tmp_path / "out" / "good" / "body.npz").exists()
    assert not (tmp_path / "out" / "bad").exists()


def test_a_missing_input_costs_only_itself(fit, photos: Path, detector):
    run = fit(photos / "good.jpg", photos / "missing.jpg", photos / "*.tiff")
    assert run.status == 1
    assert "no such file or folder; check the path" in run.out
    assert "no photo matches this pattern" in run.out
    assert "1 photo, 1 person fitted, 2 failures" in run.out


def test_a_fault_of_ours_costs_only_its_photo(photos: Path, monkeypatch, tmp_path: Path, capsys, person):
    def faulty(pixels: np.ndarray, boxes: object) -> Any:
        if pixels.max() == 0:
            raise RuntimeError("a bug")
        return SimpleNamespace(evidence=person)

    monkeypatch.setattr(bodyloop.detect, "load_detector", lambda name: faulty)
    Image.new("RGB", (300, 300)).save(photos / "bad.png")
    assert main(["fit", str(photos), "-o", str(tmp_path / "out"), "--starts", "mean", "--no-pictures"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "internal error, please report it" in out
    assert "1 person fitted, 1 failure" in out


def test_odd_file_names_are_shown_not_obeyed(fit, photos: Path, detector):
    odd = photo(photos / "a[red]\x1b[31m.png")
    run = fit(odd)
    assert run.status == 0
    assert "a[red]?[31m.png" in run.out


# Keypoints


def test_nan_keypoints_are_unseen(fit, photos: Path, tmp_path: Path, person: Evidence):
    rows = rows_of(person)
    rows[COCO17.index("left_wrist")][0] = float("nan")
    run = fit(photos / "good.jpg", "--keypoints", own_json(tmp_path / "k.json", {"good.jpg": [rows]}))
    assert run.status == 0
    assert " 16 " in run.out
    assert " yes" in run.out


def test_confidences_all_zero(fit, photos: Path, tmp_path: Path, person: Evidence):
    unseen = [[x, y, 0.0] for x, y, _ in rows_of(person)]
    photo(photos / "empty.jpg")
    file = own_json(tmp_path / "k.json", {"good.jpg": [unseen, rows_of(person)], "empty.jpg": [unseen]})
    run = fit(photos, "--keypoints", file)
    assert run.status == 1
    assert "nobody to fit: every keypoint has confidence 0 or no finite place" in run.out
    assert "note: good.jpg: no keypoint seen of person 0, left out" in run.out
    assert "1 photo, 1 person fitted, 1 failure" in run.out


def test_three_visible_joints_are_not_trusted(fit, photos: Path, tmp_path: Path, person: Evidence):
    rows = [[x, y, float(i in (0, 5, 6))] for i, (x, y, _) in enumerate(rows_of(person))]
    run = fit(photos / "good.jpg", "--keypoints", own_json(tmp_path / "k.json", {"good.jpg": [rows]}))
    assert run.status == 0
    assert "not to be trusted: good.jpg, person 0: only 3 keypoints seen, fewer than 6" in run.out
    assert "1 not to be trusted" in run.out
    saved = load_npz(tmp_path / "out" / "good" / "body.npz")
    assert saved.scores["trusted"].tolist() == [False]
    assert "only 3 keypoints" in str(saved.scores["doubts"][0])


def test_a_broken_record_costs_only_itself(fit, photos: Path, tmp_path: Path, person: Evidence):
    file = own_json(tmp_path / "k.json", {"good.jpg": [[[1.0, 2.0, 1.0]], rows_of(person)]})
    run = fit(photos / "good.jpg", "--keypoints", file)
    assert run.status == 0
    assert "1 person fitted" in run.out
    assert "left out 1 x 'keypoints' must be 51 numbers, got 3" in run.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty file"),
        ("{}", "expected keypoints as COCO"),
        ("[]", "expected keypoints as COCO"),
        ('{"weather": "fine"}', "an object with the keys 'weather'"),
        ('{"people": [', "text that is not JSON"),
        (
            '{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}',
            "'pose_keypoints_2d' must be 75 or 54 numbers, got 3",
        ),
    ],
)
def test_keypoint_files_that_cannot_be_used(fit, photos: Path, tmp_path: Path, text: str, message: str):
    (tmp_path / "k.json").write_text(text)
    run = fit(photos / "good.jpg", "--keypoints", tmp_path / "k.json")
    assert run.status == 2
    assert message in run.err
    assert not (tmp_path / "out").exists()


def test_keypoints_of_other_photos(fit, photos: Path, tmp_path: Path, person: Evidence):
    photo(photos / "other.jpg")
    photo(photos / "lonely.jpg")
    file = own_json(tmp_path / "k.json", {"good.jpg": [rows_of(person)], "lonely.jpg": []})
    run = fit(photos, "--keypoints", file)
    assert run.status == 1
    assert "has no keypoints for it; the file speaks of good.jpg, lonely.jpg" in run.out
    assert "nobody in it, says" in run.out
    assert "1 photo, 1 person fitted, 2 failures" in run.out


def test_boxes_that_cannot_be_used(fit, photos: Path, tmp_path: Path, detector):
    (tmp_path / "boxes.csv").write_text("good.jpg,ten,20\n")
    run = fit(photos / "good.jpg", "--boxes", tmp_path / "boxes.csv")
    assert run.status == 2
    assert "boxes in pixels" in run.err


# What stops everything


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_output_that_cannot_be_written(fit, photos: Path, tmp_path: Path, detector, place: str):
    (tmp_path / "file").write_text("in the way")
    run = fit(photos / "good.jpg", "-o", tmp_path / place)
    assert run.status == 2
    assert "cannot be made" in run.err
    assert "give a folder that can be written to with -o" in run.err


def test_one_photo_that_cannot_be_written(fit, photos: Path, tmp_path: Path, detector):
    photo(photos / "other.jpg")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "good").write_text("in the way")
    run = fit(photos)
    assert run.status == 1
    assert "1 photo, 1 person fitted, 1 failure" in run.out
    assert (tmp_path / "out" / "good").read_text() == "in the way"


def test_smpl_file_with_wrong_shapes(fit, photos: Path, tmp_path: Path, smpl_arrays):
    np.savez(tmp_path / "smpl.npz", **{**smpl_arrays, "weights": np.ones((5, 24))})
    run = fit(photos / "good.jpg", "--body", tmp_path / "smpl.npz")
    assert run.status == 2
    assert "'weights' should have shape (96, 24), got (5, 24)" in run.err


class Hostile:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("hostile_was_here"),)


def test_hostile_pickle(fit, photos: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("smpl.pkl").write_bytes(pickle.dumps({"v_template": Hostile()}))
    run = fit(photos / "good.jpg", "--body", "smpl.pkl")
    assert run.status == 2
    assert "refused: it holds pathlib" in run.err
    assert not Path("hostile_was_here").exists()


def test_a_file_of_smpls_format_is_a_body(fit, photos: Path, tmp_path: Path, smpl_arrays, detector):
    np.savez(tmp_path / "own.npz", **smpl_arrays)
    assert fit(photos / "good.jpg", "--body", tmp_path / "own.npz").status == 0
    assert load_npz(tmp_path / "out" / "good" / "body.npz").body_name == "own"


def test_focal_length_in_millimetres(fit, photos: Path, detector):
    run = fit(photos / "good.jpg", "--focal", "50")
    assert run.status == 0
    assert "if it is millimetres (35 mm equivalent), give --focal 1634 instead" in run.out
    assert "focal length: 50 px (--focal)" in run.out


@pytest.mark.parametrize("focal", ["-1", "0", "nan", "inf"])
def test_focal_length_that_is_none(fit, photos: Path, detector, focal: str):
    run = fit(photos / "good.jpg", f"--focal={focal}")
    assert run.status == 2
    assert "expected a positive number of pixels" in run.err
    assert not detector


def test_no_photo_at_all(fit, tmp_path: Path):
    assert "no photo to work on" in fit(tmp_path / "none.jpg").err
    (tmp_path / "empty").mkdir()
    run = fit(tmp_path / "empty")
    assert run.status == 2
    assert "no photos in this folder" in run.err


def test_nothing_to_write(fit, photos: Path, detector):
    run = fit(photos, "--formats")
    assert run.status == 2
    assert "nothing to write" in run.err


def test_a_missing_detector(fit, photos: Path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rtmlib", None)
    run = fit(photos, "--detector", "rtmlib")
    assert run.status == 2
    assert "pip install" in run.err


def test_stopping_is_no_crash(fit, photos: Path, monkeypatch):
    def stop(name: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(bodyloop.detect, "load_detector", stop)
    run = fit(photos)
    assert run.status == 130
    assert "what was written stays" in run.err
    assert "--resume" in run.err


# The commands themselves


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bodyloop 0.")


def test_no_command_shows_the_help(capsys):
    assert main([]) == 2
    assert "demo" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["paint"],
        ["fit"],
        ["fit", "a.jpg"],
        ["fit", "a.jpg", "-o", "x", "--fokal", "3"],
        ["prior"],
        ["prior", "train"],
        ["prior", "train", "gmn", "--mocap", "x"],
        ["prior", "sample", "gmm"],
        ["reproduce", "zanfir-table9", "--mocap", "x", "-o", "y"],
    ],
)
def test_mistaken_commands(capsys, arguments):
    assert main(arguments) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["fit", "--help"],
        ["demo", "--help"],
        ["prior", "--help"],
        ["prior", "train", "--help"],
        ["prior", "sample", "--help"],
        ["reproduce", "--help"],
    ],
)
def test_help(capsys, arguments):
    assert main(arguments) == 0
    assert "usage: bodyloop" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "names"), [("train", RECIPES), ("evaluate", PROTOCOLS)])
def test_help_names_all_there_are(capsys, monkeypatch, command, names):
    monkeypatch.setenv("COLUMNS", "300")
    assert main([command, "--help"]) == 0
    assert set(names) <= set(re.split(r"[^\w-]+", capsys.readouterr().out))
