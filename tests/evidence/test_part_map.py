"""Maps of body parts: what is read, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bodyloop.body.parts import PARTITIONS
from bodyloop.data.part_maps import GreyPng
from bodyloop.errors import InputError
from bodyloop.evidence import IuvMap, PartMap, read_parts, write_iuv
from bodyloop.evidence.part_map import UNKNOWN, UPI_PARTS
from drawn_iuv import drawn

LABELS = np.tile(np.arange(15, dtype=np.uint8), (10, 2))


def saved(path: Path, labels: np.ndarray = LABELS, mode: str = "L") -> Path:
    image = Image.fromarray(labels)
    if mode == "P":
        image = image.copy()
        image.putpalette([c for i in range(256) for c in (255 - i, i, 7)])
    image.save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "P"])
def test_labels_are_read_as_they_are(tmp_path: Path, mode: str):
    found = read_parts(saved(tmp_path / "a.png", mode=mode), size=(30, 10))
    assert np.array_equal(found.labels, LABELS)
    assert found.size == (30, 10)
    assert found.partition == "densepose"


@pytest.mark.parametrize("suffix", ["png", "npz"])
def test_an_iuv_map_gives_its_parts(tmp_path: Path, suffix: str):
    write_iuv(tmp_path / f"a.{suffix}", drawn())
    found = read_parts(tmp_path / f"a.{suffix}")
    part, charts = found.labels, drawn().part
    assert np.array_equal(part > 0, charts > 0)
    assert set(part[np.isin(charts, (23, 24))]) == {14}, "the head's halves are one part"
    assert set(part[charts == 2]) == {1}
    assert set(part[np.isin(charts, (4,))]) == {3}, "the left hand"


def test_files_of_lsp_have_the_right_side_first_and_pixels_without_a_class(tmp_path: Path):
    labels = np.array([[0, 1, 2, 3], [4, 5, 6, UNKNOWN]], np.uint8)
    found = read_parts(saved(tmp_path / "a.png", labels), "lsp").labels
    names = ("background", *PARTITIONS["lsp"].parts)
    assert [names[i] for i in found.ravel()] == [
        "background", "head", "torso", "right_arm", "left_arm", "right_leg", "left_leg", "background",
    ]  # fmt: skip
    stored = GreyPng(tmp_path / "a.png", "lsp", UPI_PARTS).read().labels
    assert np.array_equal(np.where(stored == UNKNOWN, 0, stored), found), "as in data sets"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda p: saved(p, np.full((4, 4), 7, np.uint8)),
            "expected labels 0 to 6 of the parts 'lsp', got up to 7",
        ),
        (lambda p: saved(p, np.zeros((4, 4), np.uint8)), "all background"),
        (lambda p: Image.fromarray(np.ones((4, 4), np.uint8)).save(p, "JPEG"), "got JPEG"),
        (lambda p: Image.fromarray(np.ones((4, 4), np.uint16)).save(p, "PNG"), "not L or P"),
        (lambda p: p.write_bytes(b""), "empty file"),
        (lambda p: p.write_bytes(b"\x89PNG\r\n"), "no complete image"),
        (lambda p: None, "check the path"),
    ],
)
def test_others_are_refused(tmp_path: Path, make, message: str):
    path = tmp_path / "a.png"
    make(path)
    with pytest.raises(InputError, match=message):
        read_parts(path, "lsp")


def test_sizes_and_names_are_checked(tmp_path: Path):
    path = saved(tmp_path / "a.png")
    with pytest.raises(InputError, match="photo's size, 31 x 10, got 30 x 10"):
        read_parts(path, size=(31, 10))
    with pytest.raises(InputError, match=r"expected one of .*smpl.*, got 'coco'"):
        read_parts(path, "coco")


def test_a_map_of_a_box_is_refused(tmp_path: Path):
    boxed = IuvMap(drawn().part, drawn().uv, (0.0, 0.0, 10.0, 10.0))
    write_iuv(tmp_path / "a.npz", boxed)
    with pytest.raises(InputError, match="got one of a box"):
        read_parts(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="covers a box"):
        PartMap.from_iuv(boxed)


@pytest.mark.parametrize(
    ("labels", "partition"),
    [
        (np.zeros((3, 3), np.int64), "lsp"),
        (np.zeros(3, np.uint8), "lsp"),
        (np.full((3, 3), 7, np.uint8), "lsp"),
        (np.zeros((3, 3), np.uint8), "nobody's"),
    ],
)
def test_part_maps_are_checked(labels: np.ndarray, partition: str):
    with pytest.raises(ValueError, match=r"part|labels"):
        PartMap(labels, partition)
