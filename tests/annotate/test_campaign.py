"""An annotation is the same whoever does it and however often it is interrupted."""

import os
import random
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bodyloop.annotate import campaign as campaigns
from bodyloop.annotate import labelling, methods
from bodyloop.annotate.campaign import Campaign, LabelFolder, annotate
from bodyloop.annotate.methods import Settings
from bodyloop.annotate.people import fit_people
from bodyloop.annotate.workers import choose_runner
from bodyloop.body import BodyModel
from bodyloop.data.crowd import Crowd, Labelled, joined
from bodyloop.errors import InputError
from bodyloop.fit import Fits
from bodyloop.geometry import Camera
from coco_made_up import coco_people, write_json

PEOPLE, PER_FILE = 7, 2
SETTINGS = Settings(starts=("lifter",), focal=1200.0)


@pytest.fixture(scope="module")
def coco(body: BodyModel, tmp_path_factory) -> Path:
    return write_json(tmp_path_factory.mktemp("coco") / "people.json", coco_people(body, PEOPLE))


def run(
    coco: Path,
    out: Path,
    settings: Settings = SETTINGS,
    workers: int = 0,
    per_file: int = PER_FILE,
    **more: Any,
):
    return annotate(Campaign(coco, out, settings, per_file), choose_runner(settings, workers, None), **more)


def contents(out: Path) -> dict[str, bytes]:
    """All files of an annotation that are for keeps."""
    files = [p for p in out.rglob("*") if p.is_file() and p.name != ".lock"]
    return {str(p.relative_to(out)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def undisturbed(coco: Path, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    run(coco, out)
    return contents(out)


def test_labels(coco: Path, tmp_path: Path, body: BodyModel):
    told: list[tuple[str, int, int]] = []
    finished = run(coco, tmp_path, progress=lambda *words: told.append(words))
    assert (finished.people, finished.found, finished.failures) == (PEOPLE, 0, ())
    labels = LabelFolder.open(tmp_path)
    assert labels.complete
    people = joined(list(labels.parts()))
    assert people.crowd.ids.tolist() == [str(100 + i) for i in range(PEOPLE)]
    fits = fit_people(people.crowd.evidence(), Camera.from_focal(1200, 1000, 1000), body, starts=("lifter",))
    assert (body.joints(people.bodies()) - body.joints(fits.bodies)).norm(dim=-1).max() < 0.01
    assert (people.focal == 1200).all()
    assert (people.center == 499.5).all()
    assert people.figures["seen"].tolist() == [14] + [17] * 6
    assert (people.figures["error_box"] < 0.02).all()
    assert np.allclose(
        people.figures["error_px"] / people.figures["error_box"], side(people.crowd), rtol=1e-4
    )
    off = people.figures["joint_error"]
    assert np.isnan(off[0, :3]).all()
    assert np.allclose(np.nanmean(off, 1), people.figures["error_box"], rtol=1e-3)
    assert ((people.figures["score"] > 0) & (people.figures["score"] < 1)).all()
    assert [w for w, _, _ in told][-1] == "labelling"
    assert told[-1][1:] == (PEOPLE, PEOPLE)


def side(crowd: Crowd) -> np.ndarray:
    return np.asarray((crowd.boxes[:, 2:] - crowd.boxes[:, :2]).max(1))


def test_a_second_run_does_nothing(coco: Path, tmp_path: Path, undisturbed, monkeypatch):
    run(coco, tmp_path)
    monkeypatch.setitem(methods.METHODS, "fit", lambda *_: pytest.fail("fitted again"))
    finished = run(coco, tmp_path)
    assert (finished.people, finished.found) == (PEOPLE, PEOPLE)
    assert contents(tmp_path) == undisturbed


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


def test_killed_at_every_write(coco: Path, tmp_path: Path, monkeypatch):
    """The process ends before and after each file takes its name, in one run after the other."""
    run(coco, tmp_path / "whole", per_file=4)
    undisturbed = contents(tmp_path / "whole")
    replace, steps = os.replace, 0

    def counted(*args: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        replace(*args)
        left -= 1
        if left == 0:
            raise Killed

    monkeypatch.setattr(os, "replace", counted)
    for at in range(1, 40):
        out, left = tmp_path / str(at), at
        try:
            run(coco, out, per_file=4)
        except Killed:
            steps += 1
            left = -1
            run(coco, out, per_file=4)
            assert contents(out) == undisturbed
        else:
            break
    assert steps == 2 * 6, "recipe, index, people and labels in two files each"


def test_what_a_killed_process_leaves_behind_is_removed(coco: Path, tmp_path: Path, undisturbed):
    (tmp_path / "labels").mkdir()
    (tmp_path / "people").mkdir()
    for folder, name in (
        ("labels", ".000000.npz.abcd_123"),
        ("people", "000000.npz"),
        ("people", "index.sqlite"),
    ):
        (tmp_path / folder / name).write_bytes(b"half a file")
    run(coco, tmp_path)
    assert contents(tmp_path) == undisturbed


def test_a_lost_file_is_made_again(coco: Path, tmp_path: Path, undisturbed):
    run(coco, tmp_path)
    (tmp_path / "labels" / "000001.npz").unlink()
    finished = run(coco, tmp_path)
    assert finished.found == PEOPLE - PER_FILE
    assert contents(tmp_path) == undisturbed


def test_processes_do_the_same(coco: Path, tmp_path: Path):
    """With more files than are given out at once."""
    run(coco, tmp_path / "here", per_file=1)
    run(coco, tmp_path / "processes", workers=2, per_file=1)
    assert contents(tmp_path / "processes") == contents(tmp_path / "here")


def test_a_runner_that_stops_early_is_noticed(coco: Path, tmp_path: Path, undisturbed):
    campaign = Campaign(coco, tmp_path, SETTINGS, PER_FILE)
    whole = choose_runner(SETTINGS, 0, None)
    with pytest.raises(InputError, match="2 files of labels were not made"):
        annotate(campaign, lambda tasks: whole(islice(tasks, 2)))
    annotate(campaign, whole)
    assert contents(tmp_path) == undisturbed


def test_another_annotation_is_refused(coco: Path, tmp_path: Path, body: BodyModel):
    run(coco, tmp_path)
    with pytest.raises(InputError, match=r"other focal\)"):
        run(coco, tmp_path, Settings(starts=("lifter",), focal=1000.0))
    with pytest.raises(InputError, match="other per_file"):
        run(coco, tmp_path, per_file=3)
    other = write_json(tmp_path / "people.json", coco_people(body, PEOPLE, seed=1))
    with pytest.raises(InputError, match="other content"):
        run(other, tmp_path)
    big = tmp_path / "big.json"
    big.write_bytes(coco.read_bytes() + b" " * (1 << 23))
    known = campaigns.fingerprint(big, "--coco")
    with big.open("r+b") as file:  # a byte somewhere
        file.seek(5_000_003)
        file.write(b"\n")
    assert campaigns.fingerprint(big, "--coco") != known
    (tmp_path / "annotation.json").unlink()
    with pytest.raises(InputError, match=r"no annotation\.json"):
        run(coco, tmp_path)


def test_files_of_others_are_left_alone(coco: Path, tmp_path: Path):
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "anna.jpg").write_bytes(b"a photo")
    with pytest.raises(InputError, match="files of others"):
        run(coco, tmp_path)
    assert (tmp_path / "people" / "anna.jpg").exists()


def test_two_at_once_are_refused(coco: Path, tmp_path: Path):
    with campaigns.alone(tmp_path), pytest.raises(InputError, match="another process"):
        run(coco, tmp_path)


def test_a_folder_that_cannot_be_written_to(coco: Path, tmp_path: Path):
    (tmp_path / ".lock").mkdir()  # cannot be opened even by those whom no rights bind
    with pytest.raises(InputError, match="cannot be written to"):
        run(coco, tmp_path)


def test_unknown_method_and_missing_file(coco: Path, tmp_path: Path):
    with pytest.raises(InputError, match="expected one of fit, network, spin, candidates"):
        run(coco, tmp_path, Settings(method="magic"))
    with pytest.raises(InputError, match="No such file"):
        run(tmp_path / "gone.json", tmp_path / "out")
    (tmp_path / "annotation.json").write_text("{}")
    with pytest.raises(InputError, match="no labels yet"):
        LabelFolder.open(tmp_path)
    with pytest.raises(InputError, match="expected a folder of 'bodyloop annotate'"):
        LabelFolder.open(tmp_path / "out")


def test_a_person_on_whom_the_method_fails_costs_only_themself(coco: Path, tmp_path: Path, monkeypatch):
    class Moody(methods.FromKeypoints):
        def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, tuple[tuple[str, ...], ...]]:
            if "102" in crowd.ids:
                raise RuntimeError("a bug")
            if "104" in crowd.ids:
                raise InputError("nobody there")
            return super().__call__(crowd, camera)

    become(monkeypatch, Moody)
    settings = Settings(method="moody", starts=("lifter",), focal=1200.0)
    finished = run(coco, tmp_path, settings, per_file=1)
    assert finished.people == PEOPLE - 2
    assert finished.failures == (("102", "RuntimeError: a bug"), ("104", "nobody there"))
    labels = LabelFolder.open(tmp_path)
    assert labels.complete
    assert labels.failures() == list(finished.failures)
    assert sum(map(len, labels.parts())) == PEOPLE - 2
    again = run(coco, tmp_path, settings, per_file=1)
    assert (again.people, again.found, again.failures) == (PEOPLE - 2, PEOPLE - 2, finished.failures)

    (tmp_path / "labels" / "000003.npz").unlink()
    again = run(coco, tmp_path, settings, per_file=1)
    assert (again.people, again.found, again.failures) == (PEOPLE - 2, PEOPLE - 3, finished.failures)


def moody(what: Exception, whom: tuple[str, ...] = ("103",)) -> type[methods.FromKeypoints]:
    """A method that fails as soon as one of these people is in a crowd."""

    class Moody(methods.FromKeypoints):
        def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, tuple[tuple[str, ...], ...]]:
            if set(whom) & set(crowd.ids.tolist()):
                raise what
            return super().__call__(crowd, camera)

    return Moody


def become(patch: pytest.MonkeyPatch, method: type[methods.FromKeypoints]) -> None:
    """From now on the method "moody" is this one."""
    patch.setitem(methods.METHODS, "moody", method)
    labelling._made.cache_clear()


@pytest.fixture
def mended(coco: Path, tmp_path: Path) -> dict[str, bytes]:
    """What a method that is moody no more makes."""
    settings = Settings(method="moody", starts=("lifter",), focal=1200.0)
    with pytest.MonkeyPatch.context() as patch:
        become(patch, methods.FromKeypoints)
        run(coco, tmp_path / "mended", settings)
    return contents(tmp_path / "mended")


@pytest.mark.parametrize(
    "what",
    [
        MemoryError(), OSError(24, "Too many open files"), torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda what: type(what).__name__,
)  # fmt: skip
@pytest.mark.parametrize("per_file", [1, PER_FILE])
def test_a_fault_of_the_machine_is_nobody_s_failure(
    coco: Path, tmp_path: Path, monkeypatch, what: Exception, per_file: int
):
    """It stops the run, and what is left is done by the next."""
    settings = Settings(method="moody", starts=("lifter",), focal=1200.0)
    become(monkeypatch, moody(what))
    with pytest.raises(InputError, match=f"stopped by the machine .{type(what).__name__}: .*run again"):
        run(coco, tmp_path / "out", settings, per_file=per_file)
    become(monkeypatch, methods.FromKeypoints)
    finished = run(coco, tmp_path / "out", settings, per_file=per_file)
    assert (finished.people, finished.failures) == (PEOPLE, ())
    assert finished.found == 3 // per_file * per_file


def test_what_nobody_foresaw_and_fails_for_all_stops_the_run(
    coco: Path, tmp_path: Path, monkeypatch, mended: dict[str, bytes]
):
    settings = Settings(method="moody", starts=("lifter",), focal=1200.0)
    become(monkeypatch, moody(TypeError("a bug"), ("102", "103")))
    with pytest.raises(InputError, match=r"fails for 102 and all other 1 people .*TypeError: a bug"):
        run(coco, tmp_path / "out", settings)
    become(monkeypatch, methods.FromKeypoints)
    run(coco, tmp_path / "out", settings)
    assert contents(tmp_path / "out") == mended


def test_everybody_may_fail_for_a_reason_that_was_foreseen(coco: Path, tmp_path: Path, monkeypatch):
    settings = Settings(method="moody", starts=("lifter",), focal=1200.0)
    become(monkeypatch, moody(InputError("nobody there"), ("102", "103")))
    assert run(coco, tmp_path, settings).failures == (("102", "nobody there"), ("103", "nobody there"))


def test_failures_are_tried_again_when_asked(
    coco: Path, tmp_path: Path, monkeypatch, mended: dict[str, bytes]
):
    settings = Settings(method="moody", starts=("lifter",), focal=1200.0)
    become(monkeypatch, moody(ValueError("for now")))
    finished = run(coco, tmp_path / "out", settings)
    assert finished.failures == (("103", "ValueError: for now"),)
    again = run(coco, tmp_path / "out", settings, retry_failed=True)
    assert (again.people, again.found, again.failures) == (PEOPLE - 1, PEOPLE - PER_FILE, finished.failures)
    become(monkeypatch, methods.FromKeypoints)
    assert run(coco, tmp_path / "out", settings).failures == finished.failures, "nobody asked"
    again = run(coco, tmp_path / "out", settings, retry_failed=True)
    assert (again.people, again.found, again.failures) == (PEOPLE, PEOPLE - PER_FILE, ())
    assert contents(tmp_path / "out") == mended


def test_a_method_may_say_what_it_doubts(coco: Path, tmp_path: Path, monkeypatch):
    class Unsure(methods.FromKeypoints):
        def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, tuple[tuple[str, ...], ...]]:
            return super().__call__(crowd, camera)[0], (("who knows",),) * len(crowd)

    monkeypatch.setitem(methods.METHODS, "unsure", Unsure)
    run(coco, tmp_path, Settings(method="unsure", starts=("lifter",)))
    people = joined(list(LabelFolder.open(tmp_path).parts()))
    assert set(people.words["verdict"]) <= {"doubtful", "reject"}
    assert all("who knows" in reason for reason in people.words["reasons"])


def test_a_body_that_is_not_finite_is_a_failure(coco: Path, tmp_path: Path, monkeypatch):
    from dataclasses import replace

    class Broken(methods.FromKeypoints):
        def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, tuple[tuple[str, ...], ...]]:
            fits, hints = super().__call__(crowd, camera)
            bad = torch.from_numpy(crowd.ids == "101")
            return replace(fits, energy=torch.where(bad, torch.nan, fits.energy)), hints

    monkeypatch.setitem(methods.METHODS, "broken", Broken)
    finished = run(coco, tmp_path, Settings(method="broken", starts=("lifter",)), per_file=4)
    assert [person for person, _ in finished.failures] == ["101"]
    assert [len(part) for part in LabelFolder.open(tmp_path).parts()] == [3, 3]


def test_a_damaged_file_is_named(coco: Path, tmp_path: Path):
    run(coco, tmp_path)
    file = tmp_path / "labels" / "000001.npz"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InputError, match=r"000001\.npz"):
        list(LabelFolder.open(tmp_path).parts())


SUICIDE = """
import os, signal, sys, threading
left, delay, replace = int(sys.argv.pop(1)), float(sys.argv.pop(1)), os.replace

def counted(*paths):
    global left
    replace(*paths)
    left -= 1
    if left == 0:
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()

os.replace = counted
from bodyloop.cli import console
console()
"""
"""Runs a command, and kills it a moment after so many files have been written."""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_kill_9_at_random_moments(body: BodyModel, tmp_path: Path, workers: int):
    """Killed again and again while it works, the command ends with the files of an undisturbed run, byte by byte."""
    people, per_file = 60, 2
    coco = write_json(tmp_path / "people.json", coco_people(body, people))

    def died(out: Path, files: int, delay: float) -> bool:
        options = ["--focal", "1200", "--no-report", "--workers", str(workers), "--per-file", str(per_file)]
        words = [str(files), str(delay), "annotate", "--coco", str(coco), "-o", str(out), *options]
        done = subprocess.run([sys.executable, "-c", SUICIDE, *words], capture_output=True, text=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode != 0

    assert not died(tmp_path / "whole", 10**6, 0)
    draw, out, kills = random.Random(0), tmp_path / "killed", 0
    read = people // per_file + 2  # the recipe, everybody, and the index
    while True:
        first = draw.choice((draw.randint(1, read - 1), read))
        files = draw.randint(1, 3) if (out / "people" / "index.json").exists() else first
        if not died(out, files, draw.uniform(0, 0.02)):
            break
        kills += 1
    assert kills >= 10
    assert contents(out) == contents(tmp_path / "whole")
    assert sum(map(len, LabelFolder.open(out).parts())) == people


def test_files_of_labels_are_themselves_again(coco: Path, tmp_path: Path):
    run(coco, tmp_path)
    file = tmp_path / "labels" / "000000.npz"
    labels = Labelled.load(file)
    assert labels.to_bytes(failures=np.array("[]")) == file.read_bytes()
    halves = [labels[:1], labels[1:]]
    assert joined(halves).to_bytes() == labels.to_bytes()
    camera = labels.camera(0)
    assert (camera.focal.tolist(), camera.center.tolist(), camera.size) == (
        [1200, 1200],
        [499.5, 499.5],
        (1000, 1000),
    )
