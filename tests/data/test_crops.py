"""Crops on disk: the same whoever draws them, complete or not there, and as true as the records."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.data import crops as module
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Layout
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.crops import FLAGS, MANIFEST, Crops, CropSpec, Surface, draw_crops, read_spec
from bodyloop.data.mixture import Draw, RecordDataset
from bodyloop.data.record import Record
from bodyloop.errors import InputError
from made_up_people import full_record

SPEC = CropSpec("made", {"seeds": "0 and on"}, resolution=40, maps=20)


@pytest.fixture(scope="module")
def records(body: BodyModel) -> list[Record]:
    return [full_record(body, seed) for seed in range(7)]


@pytest.fixture(autouse=True)
def _short_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "PER_FILE", 3)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_crops_hold_the_records(tmp_path: Path, records: list[Record], body: BodyModel):
    crops = draw_crops(records, SPEC, tmp_path)
    assert len(crops) == 7
    layout = Layout(dense=150, parts="smpl", iuv=True)
    dataset = RecordDataset(records, AugmentConfig.none(40, SPEC.margin), layout, body=body)
    surface = Surface.builtin()
    for number in (0, 5):
        (row,), sample = crops.rows([number]), dataset[number]
        assert row["id"] == str(number).encode()
        assert np.array_equal(row["image"], (sample.image * 255).round().byte().permute(1, 2, 0).numpy())
        for name in (
            "keypoints",
            "confidence",
            "joints",
            "joints_known",
            "dense_pixels",
            "has_iuv",
            "crop_center",
        ):
            assert np.array_equal(row[name], getattr(sample, name).numpy()), name
        assert np.array_equal(row["rotations"], sample.bodies.rotations.numpy())
        assert np.array_equal(row["focal"], sample.camera.focal.numpy())
        assert sample.parts is not None
        assert sample.iuv is not None
        assert np.array_equal(row["parts"], sample.parts[1::2, 1::2].numpy())
        assert np.abs(row["iuv"][1:] / 255 - sample.iuv[1:, 1::2, 1::2].numpy()).max() <= 0.5 / 255 + 1e-6
        corners, weights = surface.atlas.locate(sample.dense_part, *sample.dense_uv.T)
        assert np.array_equal(row["corners"][0], corners.numpy())
        assert np.array_equal(row["barycentric"][0], weights.numpy())
    assert np.array_equal(crops.column("id"), np.array([str(i).encode() for i in range(7)]))


def test_the_same_whatever_the_workers_and_however_often_it_was_stopped(
    tmp_path: Path, records: list[Record]
):
    whole = tmp_path / "whole"
    draw_crops(records, SPEC, whole)
    draw_crops(records, SPEC, tmp_path / "two", workers=2)
    assert contents(whole) == contents(tmp_path / "two")
    stopped = tmp_path / "stopped"

    def stop(done: int, wanted: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_crops(records, SPEC, stopped, progress=stop)
    assert {"crops-000000.npy", MANIFEST} == set(contents(stopped))
    with pytest.raises(InputError, match="expected 7 crops, got 3"):
        Crops(stopped, 7)
    drawn = []
    draw_crops(records, SPEC, stopped, progress=lambda done, wanted: drawn.append(done))
    assert drawn == [3, 4, 5, 6, 7]
    assert contents(whole) == contents(stopped)


def test_more_crops_are_added_to_those_there_are(tmp_path: Path, records: list[Record]):
    draw_crops(records[:5], SPEC, tmp_path / "grown")
    drawn = []
    draw_crops(records, SPEC, tmp_path / "grown", progress=lambda done, wanted: drawn.append(done))
    assert drawn[0] == 3, "the last file was not full"
    draw_crops(records, SPEC, tmp_path / "whole")
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")
    fewer = draw_crops(records[:2], SPEC, tmp_path / "whole")
    assert len(fewer) == 2
    with pytest.raises(IndexError):
        fewer.rows([2])


def test_other_crops_go_elsewhere(tmp_path: Path, records: list[Record]):
    draw_crops(records[:2], SPEC, tmp_path)
    other = CropSpec("made", {"seeds": "others"}, resolution=40, maps=20)
    assert other.folder(tmp_path) != SPEC.folder(tmp_path)
    with pytest.raises(InputError, match="other crops"):
        draw_crops(records, other, tmp_path)
    assert read_spec(tmp_path) == SPEC
    with pytest.raises(InputError, match="no records"):
        draw_crops([], SPEC, tmp_path)
    with pytest.raises(InputError, match="resolution"):
        CropSpec("made", {}, resolution=40, maps=80)


def without_pictures(records: list[Record], missing: set[int], folder: Path) -> list[Record]:
    """The records, the pictures of some in files that are not there."""
    return [replace(r, image=folder / f"{i}.jpg") if i in missing else r for i, r in enumerate(records)]


@pytest.mark.parametrize("workers", [0, 1])
def test_people_whose_pictures_are_missing_count_for_nothing(
    workers: int, tmp_path: Path, records: list[Record], body: BodyModel
):
    """Nobody stands in for them, and all others are as they were."""
    whole, told = draw_crops(records, SPEC, tmp_path / "whole"), []
    some = without_pictures(records, {1, 5}, tmp_path)
    crops = draw_crops(some, SPEC, tmp_path / "some", workers=workers, tell=told.append)
    (line,) = told
    assert "2 of 7 records cannot be read" in line
    assert "1.jpg" in line
    there = [i for i in range(7) if i not in (1, 5)]
    for name in SPEC.layout.names or ():
        assert np.array_equal(crops.rows(there)[name], whole.rows(there)[name]), name
    empty = crops.rows([1, 5])
    assert empty["id"].tolist() == [b"1", b"5"]
    for name in ("image", "confidence", "joints_known", "dense_weight", "parts", "iuv", *FLAGS):
        assert not empty[name].any(), name
    batch = CropBatches([CropSource(crops)], AugmentConfig(24), body).lesson(
        [Draw(0, i, i) for i in range(7)], np.random.default_rng(0)
    )
    assert all(
        v.isfinite().all() for v in (batch.batch.keypoints, batch.batch.camera.focal, batch.batch.image)
    )
    draw_crops(some, SPEC, tmp_path / "some", tell=told.append)
    assert len(told) == 1, "told when they are drawn"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_set_without_any_picture_is_given_up(workers: int, tmp_path: Path, records: list[Record]):
    with pytest.raises(InputError, match=r"none of the first 2 records can be read: .*0\.jpg"):
        draw_crops(without_pictures(records, {0, 1}, tmp_path)[:2], SPEC, tmp_path / "none", workers=workers)
    assert set(contents(tmp_path / "none")) == {MANIFEST}


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_damaged_files_are_told(tmp_path: Path, records: list[Record], damage: bytes | None):
    draw_crops(records, SPEC, tmp_path)
    file = tmp_path / "crops-000001.npy"
    file.write_bytes(file.read_bytes()[:-9] if damage is None else damage)
    with pytest.raises(InputError, match="delete"):
        Crops(tmp_path)
    file.write_bytes(b"")
    np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="delete"):
        Crops(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(InputError, match="manifest"):
        Crops(tmp_path)


def test_processes_map_for_themselves(tmp_path: Path, records: list[Record]):
    crops = draw_crops(records, SPEC, tmp_path)
    rows = crops.rows([6, 0])
    text = pickle.dumps(crops)
    assert len(text) < 10_000
    again = pickle.loads(text).rows([6, 0])
    assert all(np.array_equal(again[name], rows[name]) for name in SPEC.layout.names or ())


def test_records_with_nothing_but_a_picture(tmp_path: Path, body: BodyModel):
    bare = Record("made", "bare", np.full((30, 20, 3), 128, np.uint8), (20, 30))
    crops = draw_crops([bare], SPEC, tmp_path, body=body)
    (row,) = crops.rows([0])
    flags = [name for name in module.FLAGS if row[name]]
    assert flags == ["has_image"]
    assert row["dense_weight"].sum() == row["confidence"].sum() == 0
    assert torch.equal(torch.from_numpy(row["rotations"].copy()), torch.eye(3).expand(24, 3, 3))
