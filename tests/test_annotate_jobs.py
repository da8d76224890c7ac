"""``bodyloop annotate`` and ``convert``, end to end: what they say, and never a traceback."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop import annotate_jobs
from bodyloop.annotate import consistency, labelling, methods
from bodyloop.annotate.campaign import LabelFolder, alone
from bodyloop.annotate.decisions import Decision, DecisionFile
from bodyloop.annotate.estimates import NAMED
from bodyloop.annotate.methods import Settings
from bodyloop.annotate.quality import Verdicts
from bodyloop.annotate.workers import Runner, choose_runner
from bodyloop.body import BodyModel
from bodyloop.cli import main
from bodyloop.commands.labels import Annotate
from bodyloop.data.crowd import Crowd, Labelled, joined
from bodyloop.data.formats import open_dataset
from bodyloop.data.writers import WRITERS
from bodyloop.errors import InputError
from bodyloop.fit import Fits
from bodyloop.fit.pool import CandidatePool, default_pool, save_pool
from bodyloop.geometry import Camera
from bodyloop.nets import cen
from bodyloop.nets.build import build, save_estimator
from bodyloop.progress import Rate
from coco_made_up import coco_people, write_json
from made_up_crops import TINY

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, body: BodyModel, capsys: pytest.CaptureFixture[str], monkeypatch) -> Run:
    """Runs a command with the annotations of five people, in this process."""
    monkeypatch.setenv("COLUMNS", "300")
    write_json(tmp_path / "coco.json", coco_people(body, 5))

    def go(command: str, *arguments: object) -> tuple[int, str]:
        common: list[object] = []
        if command == "annotate":
            common = ["--coco", tmp_path / "coco.json", "-o", tmp_path / "out", "--focal", 1200]
            common += [] if "--workers" in arguments else ["--workers", 0]
        status = main([str(x) for x in (command, *common, *arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return status, " ".join((captured.out + captured.err).split())

    return go


def labels_in(out: Path) -> Labelled:
    return joined(list(LabelFolder.open(out).parts()))


def test_annotate(run: Run, tmp_path: Path):
    status, said = run("annotate", "--write", "neuralannot", "spin")
    assert status == 0
    assert "5 people labelled: " in said
    assert "a second" in said
    for name in ("labels", "report.html", "export/neuralannot.json", "export/spin.npz"):
        assert str(tmp_path / "out" / name) in said
        assert (tmp_path / "out" / name).exists()
    assert len(labels_in(tmp_path / "out")) == 5
    status, said = run("annotate")
    assert status == 0
    assert "5 people were done already" in said
    assert "a second" not in said


def test_what_is_left_out_is_told(run: Run, tmp_path: Path, body: BodyModel):
    data = coco_people(body, 3)
    data["annotations"][1]["iscrowd"] = 1
    write_json(tmp_path / "coco.json", data)
    status, said = run("annotate", "--no-report")
    assert status == 0
    assert "2 people labelled" in said
    assert "left out: 1 x crowd (iscrowd 1) (first: annotation 101)" in said
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_folder_without_the_images_is_told_and_the_right_one_given_afterwards(run: Run, tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    status, said = run("annotate", "--images", tmp_path / "elsewhere")
    assert status == 0
    assert "and others in it, found none of" in said
    for number in range(5):
        Image.new("RGB", (1000, 1000), "red").save(tmp_path / f"{number:012d}.jpg")
    plain = (tmp_path / "out" / "report.html").read_bytes()
    status, said = run("annotate", "--images", tmp_path)
    assert status == 0
    assert "5 people were done already" in said
    assert "found none" not in said
    assert (tmp_path / "out" / "report.html").read_bytes() != plain


def test_convert(run: Run, tmp_path: Path):
    run("annotate", "--no-report")
    out = tmp_path / "out"
    verdicts = labels_in(out).words["verdict"].tolist()
    status, said = run("convert", out, "--to", "eft", "neuralannot")
    assert status == 0
    assert str(out / "export" / "eft.json") in said
    kept = [str(100 + i) for i, verdict in enumerate(verdicts) if verdict != "reject"]
    assert [record.id for record in open_dataset(out / "export" / "eft.json")] == kept
    assert [record.id for record in open_dataset(out / "export" / "neuralannot.json")] == kept


def test_reviewers_go_before(run: Run, tmp_path: Path):
    run("annotate", "--no-report")
    out = tmp_path / "out"
    for person, choice in (
        ("100", "accept"),
        ("101", "reject"),
        ("102", "accept"),
        ("103", "back"),
        ("104", "accept"),
    ):
        DecisionFile(out).add(Decision(person, choice))
    run("convert", out, "--to", "neuralannot", "-o", tmp_path / "elsewhere", "--verdicts", "accept")
    found = json.loads((tmp_path / "elsewhere" / "neuralannot.json").read_text())
    assert list(found) == ["100", "102", "104"]


@pytest.fixture
def pictures(tmp_path: Path) -> list[object]:
    """Options for a random network; the second of three pictures is missing."""
    save_estimator(build(TINY["hmr"]), tmp_path / "net.safetensors")
    noise = np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), np.uint8)
    for number in (0, 2):
        Image.fromarray(noise).save(tmp_path / f"{number:012d}.jpg")
    return ["--estimator", tmp_path / "net.safetensors", "--images", tmp_path, "--no-report"]


@pytest.mark.parametrize(("method", "starts"), [("network", {"network"}), ("spin", {"network", "refined"})])
def test_networks(run: Run, tmp_path: Path, pictures: list[object], method: str, starts: set[str]):
    """People whose picture is missing are fitted without, and doubted."""
    status, _ = run("annotate", "--method", method, *pictures)
    assert status == 0
    people = labels_in(tmp_path / "out")
    assert people.crowd.ids.tolist() == ["100", "101", "102", "103", "104"]
    found = people.words["start"].tolist()
    assert set(found[:2] + found[4:]) <= starts
    assert found[2:4] == ["lifter", "lifter"]
    assert ["no picture" in reason for reason in people.words["reasons"]] == [False, False, True, True, False]
    assert np.isfinite(people.figures["score"]).all()
    errors = people.figures["error_box"][[0, 1, 4]]
    assert (errors > 0.05).all() if method == "network" else (errors < 0.05).all()


@pytest.mark.parametrize(
    "options", [["--method", "network"], ["--method", "spin"], ["--method", "candidates", "--choose", "cen"]]
)
def test_a_folder_without_the_images_is_refused_by_methods_that_look(
    run: Run, tmp_path: Path, pictures: list[object], options: list[str]
):
    """Or all labels would be fits without pictures, and nothing would make them again."""
    (tmp_path / "elsewhere").mkdir()
    weights = pictures[:2] if "cen" not in options else []
    status, said = run("annotate", *options, *weights, "--images", tmp_path / "elsewhere")
    assert status == 2
    assert (
        f"--images {tmp_path / 'elsewhere'}: expected {0:012d}.jpg and others in it, found none of 3" in said
    )
    assert not any((tmp_path / "out" / "labels").iterdir())


def test_a_few_people_without_images_may_be_all_that_is_left(
    run: Run, tmp_path: Path, pictures: list[object]
):
    options = ["--method", "network", *pictures, "--per-file", "2"]
    run("annotate", *options)
    lost = tmp_path / "out" / "labels" / "000001.npz"
    before = lost.read_bytes()
    lost.unlink()
    assert run("annotate", *options)[0] == 0
    assert lost.read_bytes() == before


def test_other_images_make_another_annotation(run: Run, tmp_path: Path, pictures: list[object]):
    run("annotate", "--method", "network", *pictures)
    shutil.copytree(tmp_path, tmp_path / "copy", ignore=shutil.ignore_patterns("out"))
    status, said = run("annotate", "--method", "network", *pictures, "--images", tmp_path / "copy")
    assert status == 2
    assert "other images" in said


def test_networks_that_refine_candidates_are_refused(run: Run, pictures: list[object]):
    for weights in ("mrt", NAMED["mrt"]):
        status, said = run("annotate", "--method", "spin", *pictures, "--estimator", weights)
        assert status == 2
        assert "got one that refines candidates; give another, or take --method candidates" in said


def test_workers_elsewhere_get_whole_paths(run: Run, tmp_path: Path, pictures: list[object], monkeypatch):
    """Those of a cluster do not stand in the folder in which the command was given."""
    seen: list[Settings] = []

    def choose(settings: Settings, workers: int, ray: str | None) -> Runner:
        seen.append(settings)
        return choose_runner(settings, workers, None)

    monkeypatch.setattr(annotate_jobs, "choose_runner", choose)
    monkeypatch.chdir(tmp_path)
    options = ["--estimator", "net.safetensors", "--images", ".", "--no-report"]
    assert run("annotate", "--method", "network", *options)[0] == 0
    assert (seen[0].estimator, seen[0].images) == (tmp_path / "net.safetensors", tmp_path)
    assert "network" in labels_in(tmp_path / "out").words["start"]
    assert run("annotate", "--method", "network", *pictures)[0] == 0, "the same, by other words"


def test_other_weights_make_another_annotation(run: Run, tmp_path: Path, pictures: list[object]):
    run("annotate", "--method", "network", *pictures)
    other = build(TINY["hmr"])
    torch.nn.init.ones_(next(other.parameters()))
    save_estimator(other, tmp_path / "net.safetensors")
    status, said = run("annotate", "--method", "network", *pictures)
    assert status == 2
    assert "other files" in said


def test_candidates(run: Run, tmp_path: Path, monkeypatch):
    """Of lowest energy, or nearest to the picture; without a picture, of lowest energy and doubted."""
    status, _ = run("annotate", "--method", "candidates", "--candidates", "3", "--no-report")
    assert status == 0
    best = labels_in(tmp_path / "out")
    assert all(start.startswith("candidate ") for start in best.words["start"])
    assert (best.figures["error_box"] < 0.05).all()
    shutil.rmtree(tmp_path / "out")
    worst = torch.tensor([[3.0], [2.0], [1.0]])  # as if the picture spoke against all that energy says
    monkeypatch.setattr(cen, "default_cen", lambda: torch.nn.Identity())
    monkeypatch.setattr(consistency, "picture_distances", lambda *a: worst.expand(3, len(a[2])))
    Image.new("RGB", (1000, 1000)).save(tmp_path / f"{0:012d}.jpg")
    options = ["--method", "candidates", "--candidates", "3", "--choose", "cen", "--images", tmp_path]
    assert run("annotate", *options, "--no-report")[0] == 0
    seen = labels_in(tmp_path / "out")
    assert (seen.figures["energy"][:2] > best.figures["energy"][:2]).all()
    assert np.array_equal(seen.pose[2:], best.pose[2:])
    assert ["no picture" in reason for reason in seen.words["reasons"]] == [False, False, True, True, True]


def test_a_pool_of_ones_own_is_what_labels_depend_on(run: Run, tmp_path: Path):
    whole = default_pool()
    save_pool(tmp_path / "own.npz", CandidatePool(whole.pose[:40], whole.turns))
    options = ["--method", "candidates", "--candidates", "2", "--pool", tmp_path / "own.npz", "--no-report"]
    assert run("annotate", *options)[0] == 0
    mine = labels_in(tmp_path / "out")
    save_pool(tmp_path / "own.npz", CandidatePool(whole.pose[40:80], whole.turns))
    status, said = run("annotate", *options)
    assert status == 2
    assert "other files" in said
    shutil.rmtree(tmp_path / "out")
    options[5] = (tmp_path / "own.npz").rename(tmp_path / "other.npz")
    assert run("annotate", *options)[0] == 0
    assert not np.allclose(labels_in(tmp_path / "out").pose, mine.pose, atol=1e-3)


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [("pyarrow", ["--write", "spin", "parquet"], "need pyarrow"), ("ray", ["--ray", "auto"], "needs Ray")],
)
def test_a_library_that_is_missing_is_told_before_anything_is_done(
    run: Run, tmp_path: Path, monkeypatch, module: str, options: list[str], message: str
):
    monkeypatch.setitem(sys.modules, module, None)
    status, said = run("annotate", *options)
    assert status == 2
    assert message in said
    assert not (tmp_path / "out").exists()


def test_an_export_that_fails_costs_only_itself(run: Run, tmp_path: Path):
    run("annotate", "--no-report")
    for person in range(100, 105):
        DecisionFile(tmp_path / "out").add(Decision(str(person), "reject"))
    status, said = run("annotate", "--write", "human-data", "neuralannot")
    assert status == 1
    assert "5 people labelled: " in said
    assert "not written: " in said
    assert "nobody to write" in said
    assert (tmp_path / "out" / "export" / "neuralannot.json").exists()
    (tmp_path / "out" / "export" / "spin.npz").mkdir()
    status, said = run("annotate", "--write", "spin")
    assert status == 1
    assert "spin.npz" in said


def test_what_killed_exports_leave_behind_is_removed(run: Run, tmp_path: Path):
    run("annotate", "--no-report")
    out = tmp_path / "out"
    export = out / "export"
    (export / ".columns-abcd_123").mkdir(parents=True)
    (export / "amass" / "000000").mkdir(parents=True)
    halves = [
        out / ".report.html.abcd_123", export / ".columns-abcd_123" / "pose", export / ".spin.npz.abcd_123",
        export / ".labels.parquet.abcd_123", export / "amass" / "000000" / ".7_poses.npz.abcd_123",
    ]  # fmt: skip
    for half in halves:
        half.write_bytes(b"half a file")
    mine = export / ".notes"
    mine.write_text("mine")
    assert run("annotate", "--write", "neuralannot")[0] == 0
    assert [half for half in halves if half.exists()] == []
    assert not (export / ".columns-abcd_123").exists()
    assert mine.exists()


def test_nobody_else_writes_while_reports_and_exports_are_made(run: Run, tmp_path: Path, monkeypatch):
    out, asked = tmp_path / "out", list[Path]()

    def write(parts: Iterator[Labelled], folder: Path, body: BodyModel) -> Path:
        for place in (out, folder):
            with pytest.raises(InputError, match="another process"), alone(place):
                pass
            asked.append(place)
        return folder / "spin.npz"

    monkeypatch.setitem(WRITERS, "spin", write)
    run("annotate", "--no-report", "--write", "spin")
    assert asked == [out, out / "export"]


def test_thresholds_of_verdicts_are_options(run: Run, tmp_path: Path):
    """They are part of the recipe, and say the same as the command line where nobody sets them."""
    assert all(getattr(Annotate, name) == getattr(Verdicts, name) for name in annotate_jobs.THRESHOLDS)
    run("annotate", "--no-report")
    expected = labels_in(tmp_path / "out").figures["expected_mm"]
    middle = float(np.median(expected))
    status, said = run("annotate", "--no-report", "--reject-mm", middle)
    assert status == 2
    assert "other verdicts" in said
    shutil.rmtree(tmp_path / "out")
    assert run("annotate", "--no-report", "--reject-mm", middle)[0] == 0
    people = labels_in(tmp_path / "out")
    rejected = [f"over {middle:.0f}" in reason for reason in people.words["reasons"]]
    assert rejected == (expected > middle).tolist()
    assert set(people.words["verdict"][rejected]) == {"reject"}


def test_earlier_failures_are_told_and_tried_again(run: Run, tmp_path: Path, monkeypatch):
    """The exit status is that of the folder, not of the run."""

    class Moody(methods.FromKeypoints):
        def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, methods.Doubts]:
            if "103" in crowd.ids:
                raise InputError("nobody there")
            return super().__call__(crowd, camera)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(methods.METHODS, "fit", Moody)
        labelling._made.cache_clear()
        status, said = run("annotate", "--no-report")
    labelling._made.cache_clear()
    assert status == 1
    assert "nothing found for 103: nobody there" in said
    status, said = run("annotate", "--no-report")
    assert status == 1
    assert "4 people were done already" in said
    assert "nothing found for 1 person; --retry-failed tries again" in said
    status, said = run("annotate", "--no-report", "--retry-failed")
    assert status == 0
    assert "5 people labelled: " in said


def test_pictures_that_came_later_are_looked_at_when_asked(run: Run, tmp_path: Path, pictures: list[object]):
    run("annotate", "--method", "network", *pictures)
    shutil.copy(tmp_path / f"{0:012d}.jpg", tmp_path / f"{1:012d}.jpg")
    run("annotate", "--method", "network", *pictures)
    assert "lifter" in labels_in(tmp_path / "out").words["start"]
    assert run("annotate", "--method", "network", *pictures, "--retry-failed")[0] == 0
    assert set(labels_in(tmp_path / "out").words["start"]) == {"network"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "magic"], "invalid choice 'magic'"),
        (["--method", "network"], "--method network: expected the folder of the images with --images"),
        (["--method", "spin", "--images", "."], "--estimator: expected a network's weights"),
        (
            ["--method", "spin", "--images", ".", "--estimator", "/nowhere.safetensors"],
            "/nowhere.safetensors",
        ),
        (["--estimator", "a.safetensors"], "add --method network"),
        (["--choose", "cen"], "add --method candidates"),
        (["--method", "candidates", "--choose", "cen"], "--choose cen: expected the folder of the images"),
        (["--pool", "pool.npz"], "add --method candidates"),
        (["--method", "candidates", "--pool", "/nowhere.npz"], "no such file"),
        (["--method", "candidates", "--judge", "cen.safetensors"], "goes with --choose cen"),
        (["--method", "candidates", "--candidates", "0"], "--candidates: expected a whole number from 1 on"),
        (["--method", "candidates", "--candidates", "101"], "--candidates: expected at most 100"),
        (["--device", "abacus"], "--device abacus"),
        (["--device", "cuda:1", "--ray", "auto"], "Ray gives each worker a GPU of its own; give cuda"),
        (["--focal", "-3"], "--focal: expected a positive number"),
        (["--reject-error", "0"], "--reject-error: expected a positive number, got 0"),
        (["--doubtful-mm", "nan"], "--doubtful-mm: expected a positive number, got nan"),
        (["--workers", "-1"], "--workers: expected a whole number from 0 on"),
        (["--per-file", "0"], "--per-file"),
        (["--least", "0"], "--least"),
        (["--images", "/nowhere"], "--images /nowhere: expected a folder"),
        (["--body", "/nowhere.npz"], "/nowhere.npz"),
        (["--starts"], "--starts"),
    ],
)
def test_bad_options(run: Run, arguments: list[str], message: str):
    status, said = run("annotate", *arguments)
    assert status == 2
    assert message in said


def test_bad_files(run: Run, tmp_path: Path):
    for text, message in (
        ("", "an empty file"),
        ('{"images": []}', "no annotations at all"),
        ("[1]", "an object"),
    ):
        (tmp_path / "coco.json").write_text(text)
        status, said = run("annotate")
        assert status == 2
        assert message in said
    (tmp_path / "coco.json").unlink()
    assert "No such file" in run("annotate")[1]
    status, said = run("convert", tmp_path / "gone", "--to", "spin")
    assert status == 2
    assert "expected a folder of 'bodyloop annotate'" in said
    status, said = run("review", tmp_path / "gone")
    assert status == 2


def test_rate():
    rate = Rate()
    assert rate.words("reading", 5_000_000, 10_000_000, 0) == "reading: 5 of 10 MB"
    assert rate.words("labelling", 1_000, 101_000, 10) == "labelling: 1,000 of 101,000"
    assert (
        rate.words("labelling", 2_000, 101_000, 20)
        == "labelling: 2,000 of 101,000, 100 a second, 16 min 30 s left"
    )
    assert rate.line == "1,000 people in 10 s, 100 a second"
    assert rate.words("labelling", 1_100, 1_001_100, 30).endswith("5 a second, 55 h 33 min left")
