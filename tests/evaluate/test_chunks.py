"""Chunks come back as they were, and a folder holds one run."""

import json
from pathlib import Path

import pytest
import torch

from bodyloop.errors import InputError
from bodyloop.evaluate.chunks import (
    Chunk,
    chunk_file,
    load_chunk,
    open_run,
    save_chunk,
    with_notes,
)
from bodyloop.evaluate.scores import Scores
from bodyloop.evaluate.segmentation import confusion
from made_up import random_bodies


def chunk(first: int, count: int, problems: tuple[tuple[str, str], ...] = ()) -> Chunk:
    maps = torch.randint(-1, 1, (2, count, 2, 3), generator=torch.Generator().manual_seed(first))
    scores = Scores(
        "protocol",
        tuple(f"person {first + i}" for i in range(count)),
        {"mpjpe_mm": torch.arange(first, first + count).double(), "pck": torch.full((count,), torch.nan)},
        ("knee", "hip"),
        torch.ones(count, 2).double(),
        {"foreground": confusion(maps[0], maps[1], ("body",))},
        True,
        ("TS1",) * count,
        ("a note",),
    )
    bodies = random_bodies(count, first, dtype=torch.float32)
    return Chunk(tuple(range(first, first + count)), bodies, torch.rand(count, 4), scores, problems)


def same(a: Chunk, b: Chunk) -> bool:
    assert a.scores is not None
    assert b.scores is not None
    return (
        a.rows == b.rows
        and a.problems == b.problems
        and torch.equal(a.found.rotations, b.found.rotations)
        and torch.equal(a.lenses, b.lenses)
        and json.dumps(a.scores.to_json()) == json.dumps(b.scores.to_json())
        and a.scores.to_csv() == b.scores.to_csv()
        and a.scores.ignored_as_background == b.scores.ignored_as_background
    )


def test_chunks_come_back(tmp_path: Path):
    open_run(tmp_path / "run", {"seed": 1})
    parts = [chunk(0, 3, (("x", "broken"),)), chunk(3, 2)]
    for number, part in enumerate(parts):
        save_chunk(chunk_file(tmp_path / "run", number), part)
    read = [load_chunk(chunk_file(tmp_path / "run", number)) for number in range(2)]
    assert all(a is not None and same(a, b) for a, b in zip(read, parts, strict=True))
    assert same(Chunk.cat([r for r in read if r is not None]), Chunk.cat(parts))
    assert Chunk.cat(parts).rows == (0, 1, 2, 3, 4)


def test_a_chunk_of_nobody(tmp_path: Path):
    empty = Chunk((), random_bodies(0, dtype=torch.float32), torch.zeros(0, 4), None, (("a", "no image"),))
    save_chunk(tmp_path / "a.npz", empty)
    read = load_chunk(tmp_path / "a.npz")
    assert read is not None
    assert (read.rows, read.scores, read.problems) == ((), None, empty.problems)
    whole = Chunk.cat([chunk(0, 2), read])
    assert whole.scores is not None
    assert len(whole.scores) == 2
    assert Chunk.cat([read]).scores is None


def test_damaged_chunks_are_none(tmp_path: Path):
    save_chunk(tmp_path / "a.npz", chunk(0, 2))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    assert load_chunk(tmp_path / "a.npz") is None
    assert load_chunk(tmp_path / "none.npz") is None


def test_a_folder_holds_one_run(tmp_path: Path):
    open_run(tmp_path, {"seed": 1, "count": 5})
    open_run(tmp_path, {"seed": 1, "count": 5})
    with pytest.raises(InputError, match=r"holds another evaluation \(other count, more\)"):
        open_run(tmp_path, {"seed": 1, "count": 6, "more": None} | {"more": 1})
    (tmp_path / "run.json").write_text("[1")
    with pytest.raises(InputError, match="not a file of 'bodyloop evaluate'"):
        open_run(tmp_path, {})
    (tmp_path / "run.json").unlink()
    save_chunk(chunk_file(tmp_path, 0), chunk(0, 1))
    with pytest.raises(InputError, match=r"holds chunks but no run\.json"):
        open_run(tmp_path, {})


def test_reasons_are_counted():
    whole = chunk(0, 1, (("a", "no image"), ("b", "no joints"), ("c", "no joints"), ("d", "x"), ("e", "y")))
    assert whole.left_out(3) == [
        "2 x no joints (first: b)",
        "1 x no image (first: a)",
        "1 x x (first: d)",
        "1 x other reasons",
    ]
    assert chunk(0, 1).left_out() == []


def test_notes_come_first():
    assert with_notes(chunk(0, 1).scores, "new").notes == ("new", "a note")
