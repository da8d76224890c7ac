"""Shards: the same bytes however they were made, and everything comes back out of them."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop.body import BodyModel
from bodyloop.cli import main
from bodyloop.data.synthetic import Recipe, SyntheticPeople, read_shard, read_shards, write_shards
from bodyloop.errors import InputError
from motion_folder import made_up_mocap

SIZE = 48


@pytest.fixture(scope="module")
def people(body: BodyModel) -> SyntheticPeople:
    return SyntheticPeople("wild", seed=1, size=SIZE, body=body)


def recipe(count: int) -> Recipe:
    return Recipe("wild", "train", 1, SIZE, "flow", (), "builtin", count, per_shard=4)


@pytest.fixture(scope="module")
def whole(people: SyntheticPeople, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    write_shards(people, recipe(10), folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class Killed(Exception):
    """The end of a run."""


def kill_after(count: int) -> Callable[[int], None]:
    def progress(done: int) -> None:
        if done >= count:
            raise Killed

    return progress


def test_archives_are_webdataset(whole: Path):
    assert sorted(contents(whole)) == [
        "manifest.json",
        "wild-000000.tar",
        "wild-000001.tar",
        "wild-000002.tar",
    ]
    with tarfile.open(whole / "wild-000002.tar") as archive:
        entries = archive.getmembers()
        what = json.load(archive.extractfile("000000009.json"))  # type: ignore[arg-type]
    assert [e.name for e in entries] == [
        f"00000000{i}.{suffix}" for i in (8, 9) for suffix in ("jpg", "npz", "json")
    ]
    assert {(e.mtime, e.uid, e.uname) for e in entries} == {(0, 0, "")}
    assert (what["index"], what["domain"], what["split"], what["seed"], what["size"]) == (
        9,
        "wild",
        "train",
        1,
        SIZE,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_goes_on_to_the_same_bytes(
    people: SyntheticPeople, whole: Path, tmp_path: Path, workers: int
):
    with pytest.raises(Killed):
        write_shards(people, recipe(10), tmp_path, workers, kill_after(6))
    assert sorted(contents(tmp_path)) == ["manifest.json", "wild-000000.tar"]
    written = (tmp_path / "wild-000000.tar").stat().st_mtime_ns
    counts: list[int] = []
    write_shards(people, recipe(10), tmp_path, workers, counts.append)
    assert counts == [4, 5, 6, 7, 8, 9, 10]
    assert (tmp_path / "wild-000000.tar").stat().st_mtime_ns == written, "whole shards are kept"
    assert contents(tmp_path) == contents(whole)


def test_a_longer_run_goes_on_too(people: SyntheticPeople, whole: Path, tmp_path: Path):
    write_shards(people, recipe(6), tmp_path)
    write_shards(people, recipe(10), tmp_path)
    assert contents(tmp_path) == contents(whole)


def test_samples_come_back(people: SyntheticPeople, whole: Path):
    found = list(read_shards(whole))
    assert [int(s.index) for s in found] == list(range(10))
    for sample in found[:6]:
        truth = people.sample(int(sample.index))
        assert (sample.image.float() - truth.image.float()).abs().mean() < 6, "JPEG loses a little"
        assert torch.equal(sample.bodies.rotations, truth.bodies.rotations)
        assert torch.equal(sample.bodies.translation, truth.bodies.translation)
        assert torch.equal(sample.camera.center, truth.camera.center)
        assert sample.camera.size == truth.camera.size
        assert torch.equal(sample.fragments.face_id, truth.fragments.face_id)
        assert (sample.fragments.barycentric - truth.fragments.barycentric).abs().max() < 0.006
        seen = truth.fragments.mask
        assert (sample.fragments.depth - truth.fragments.depth)[seen].abs().max() < 0.0006
        assert torch.isinf(sample.fragments.depth[~seen]).all()


def test_other_recipes_are_refused(people: SyntheticPeople, whole: Path, tmp_path: Path):
    other = Recipe("wild", "train", 2, SIZE, "flow", (), "builtin", 10, per_shard=4)
    with pytest.raises(InputError, match=r"10 samples of another recipe \(other seed\)"):
        write_shards(people, other, whole)
    with pytest.raises(InputError, match=r"another recipe \(other count\)"):
        write_shards(people, recipe(9), whole)
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(InputError, match=r"archives but no manifest\.json"):
        write_shards(people, recipe(10), tmp_path)


def test_damaged_files(tmp_path: Path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="not a manifest"):
        list(read_shards(tmp_path))
    (tmp_path / "a.tar").write_bytes(b"none")
    with pytest.raises(InputError, match="not a shard"):
        list(read_shard(tmp_path / "a.tar"))


# The command


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return status, " ".join(captured.out.split()), " ".join(captured.err.split())

    return run


def test_command_makes_shards_and_a_sheet(call, tmp_path: Path):
    out, sheet = tmp_path / "out", tmp_path / "sheets" / "sheet.png"
    common = ("synth", "--domain", "studio", "-n", 3, "-o", out, "--size", 40, "--workers", 0)
    status, said, told = call(*common, "--sheet", sheet)
    assert status == 0
    assert str(out / "studio-000000.tar") in said
    assert "3 samples, " in told
    assert "the shipped flow" in told
    assert np.asarray(Image.open(sheet)).shape == (44, 6 * 44, 3)
    assert len(list(read_shards(out))) == 3
    before = contents(out)
    status, _, told = call(*common)
    assert status == 0
    assert "3 samples were there already" in told
    assert contents(out) == before


def test_command_with_motion_capture(call, tmp_path: Path):
    mocap = made_up_mocap(tmp_path / "mocap", s01=3, s08=2)
    out = tmp_path / "out"
    options = ("-n", 2, "-o", out, "--size", 40, "--workers", 0, "--mocap", mocap, "--split", "test")
    assert call("synth", "--domain", "bridge", *options)[0] == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["poses"] == "motion capture, test subjects, 2 poses"
    assert manifest["split"] == "test"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-n", "0"], "-n: expected 1 to 100,000,000 samples, got 0"),
        (["-n", "-3"], "-n: expected"),
        (["--seed", "-1"], "seed: expected a whole number from 0 on"),
        (["--size", "5"], "size: expected 32 to 1024"),
        (["--workers", "-1"], "--workers: expected"),
        (["--sheet", "a.gif"], "ends in .png"),
        (["--mocap", "nowhere"], "expected a folder with CMU motion capture"),
        (["--photos", "nowhere"], "--photos nowhere: no such folder"),
    ],
)
def test_command_mistakes(call, tmp_path: Path, monkeypatch, options: list[str], message: str):
    monkeypatch.chdir(tmp_path)
    given = [f"{a}={b}" if b.startswith("-") else None for a, b in [options]]
    arguments = [given[0]] if given[0] else options
    status, _, told = call("synth", "--domain", "wild", "-o", "out", *arguments)
    assert status == 2
    assert message in told
    assert not list(tmp_path.iterdir())


def test_command_with_nothing_to_do(call):
    status, _, told = call("synth", "--domain", "wild")
    assert status == 2
    assert "nothing to do" in told
