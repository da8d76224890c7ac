"""COCO annotations of any size into files of some hundred people each, in one pass and little memory.

The file is read element by element (`bodyloop.evidence.json_stream`). Ids and images are kept in a small database on
disk meanwhile: annotations name their images by number, before or after the images are listed.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bodyloop.body import SKELETONS, Skeleton
from bodyloop.data.crowd import Crowd, load_arrays, npz_bytes
from bodyloop.errors import InputError
from bodyloop.evidence.coco_files import coco_points, coco_skeleton
from bodyloop.evidence.json_files import RecordError, Skips, describe, to_box, to_size
from bodyloop.evidence.json_stream import stream_object
from bodyloop.evidence.photos import photo_sizes
from bodyloop.writing import make_folder, remove_unfinished, write_atomic

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""

EXPECTED = 'COCO keypoint annotations {"images": [...], "annotations": [...]}'
INDEX, STORE = "index.json", "index.sqlite"
BROKEN_TEXT = "an id or 'file_name' with half a surrogate pair, which is no text"
FARTHEST = 1e5
"""Pixels; no keypoint lies farther from the image's corner."""


@dataclass(frozen=True)
class ReadPeople:
    """What was read.

    Attributes:
        folder: of the files.
        skeleton: everybody's keypoints.
        counts: number of people in each file.
        skipped: why others were left out, a line for each reason.
    """

    folder: Path
    skeleton: Skeleton
    counts: tuple[int, ...]
    skipped: tuple[str, ...]

    def load(self, number: int) -> Crowd:
        """The people of a file.

        Raises:
            InputError: if it is missing or damaged.
        """
        path = people_file(self.folder, number)
        arrays = load_arrays(path)
        try:
            crowd = Crowd.from_arrays(arrays)
        except (KeyError, ValueError) as error:
            raise InputError(f"{path}: damaged ({error}); remove {self.folder} and run again") from None
        missing = len(self.skeleton) - len(crowd.skeleton)  # feet come after COCO's 17
        full = np.pad(crowd.keypoints, [(0, 0), (0, missing), (0, 0)])
        return Crowd(self.skeleton, crowd.ids, crowd.images, crowd.sizes, crowd.boxes, full)


def people_file(folder: Path, number: int) -> Path:
    """Where the people of a number are."""
    return folder / f"{number:06d}.npz"


def load_index(folder: Path) -> ReadPeople | None:
    """What a finished pass wrote; None if there was none, or it did not come to its end."""
    try:
        data = json.loads((folder / INDEX).read_text())
        skipped, counts = tuple(map(str, data["skipped"])), tuple(map(int, data["counts"]))
        return ReadPeople(folder, SKELETONS[data["skeleton"]], counts, skipped)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def read_people(
    coco: Path,
    folder: Path,
    per_file: int,
    least: int,
    images: Path | None = None,
    progress: Progress = lambda what, done, wanted: None,
) -> ReadPeople:
    """Read all people with enough keypoints; what an earlier, unfinished pass left is thrown away.

    Crowds, people without a box or an image, and those whose id another had before are left out and counted. The flag
    v of a keypoint becomes its confidence as in `bodyloop.evidence.keypoint_files`.

    Args:
        coco: the annotations.
        folder: for the files; made anew.
        per_file: people in each.
        least: keypoints with confidence above 0 that a person must have.
        images: folder of the images, looked at only for the sizes that the annotations do not tell.
        progress: told how many bytes are read.

    Raises:
        InputError: no such file, a broken one, one in which nobody can be used, or a folder that cannot be written to.
    """
    skeleton: Skeleton | None = None
    while True:
        remove_people(folder)
        make_folder(folder)
        try:
            reading = _Pass(coco, folder, per_file, least, images, skeleton)
            with closing(reading.store):
                return reading.run(progress)
        except _OtherSkeletonError as other:  # "categories" came last and named other keypoints than COCO's
            skeleton = other.skeleton
        except sqlite3.Error as error:
            raise InputError(
                f"{folder / STORE}: cannot be written ({error}); make room on the disk, or give a folder on another "
                "with -o"
            ) from None


def remove_people(folder: Path) -> None:
    """Remove what `read_people` wrote, or began to write.

    Raises:
        InputError: if there are files of others in the folder.
    """
    if not folder.is_dir():
        return
    remove_unfinished(folder, INDEX, "*.npz")
    for path in (folder / INDEX, *folder.glob(f"{STORE}*"), *folder.glob("[0-9]*.npz")):
        path.unlink(missing_ok=True)
    if any(folder.iterdir()):
        raise InputError(f"{folder}: holds files of others; give another folder with -o")


class _OtherSkeletonError(Exception):
    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton


class _Store:
    """Images by id, and the ids of people, on disk. Nothing of it outlives the pass, so nothing is made safe."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path, isolation_level=None)
        for line in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "PRAGMA cache_size = -65536",
            "BEGIN",
        ):
            self.database.execute(line)
        self.database.execute(
            "CREATE TABLE images (id TEXT PRIMARY KEY, name TEXT, width INTEGER, height INTEGER) WITHOUT ROWID"
        )
        self.database.execute("CREATE TABLE people (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def add_image(self, key: str, name: str, size: tuple[int, int] | None) -> bool:
        """False if the id is another's."""
        row = (key, name, *(size or (0, 0)))
        return self.database.execute("INSERT OR IGNORE INTO images VALUES (?, ?, ?, ?)", row).rowcount > 0

    def add_person(self, key: str) -> bool:
        """False if the id is another's."""
        return self.database.execute("INSERT OR IGNORE INTO people VALUES (?)", (key,)).rowcount > 0

    def image(self, key: str) -> tuple[str, tuple[int, int]] | None:
        """Name and size; (0, 0) where it is not told."""
        row = self.database.execute("SELECT name, width, height FROM images WHERE id = ?", (key,)).fetchone()
        return None if row is None else (row[0], (row[1], row[2]))

    def close(self) -> None:
        self.database.close()


def _is_text(words: str) -> bool:
    """Whether files and databases can hold the words: halves of surrogate pairs, which JSON allows, are no text."""
    return not any("\ud800" <= letter <= "\udfff" for letter in words)


@dataclass(frozen=True)
class _Person:
    id: str
    image: str  # the image's id
    box: list[float]
    keypoints: np.ndarray  # (K, 3)


class _Pass:
    """One way through the file."""

    def __init__(
        self,
        coco: Path,
        folder: Path,
        per_file: int,
        least: int,
        images: Path | None,
        skeleton: Skeleton | None,
    ) -> None:
        self.coco, self.folder, self.per_file, self.least, self.images = coco, folder, per_file, least, images
        self.body = SKELETONS["coco17"] if skeleton is None else skeleton
        self.certain = skeleton is not None
        self.skips, self.store = Skips(), _Store(folder / STORE)
        self.waiting: list[_Person] = []
        self.counts: list[int] = []
        self.unsettled: list[int] = []
        self.feet = False

    def run(self, progress: Progress) -> ReadPeople:
        whole = self.coco.stat().st_size if self.coco.is_file() else 0
        told = lambda done: progress("reading", done, whole)  # noqa: E731
        number = 0
        for key, element in stream_object(self.coco, EXPECTED, progress=told):
            if key == "images":
                self._image(element)
            elif key == "annotations":
                self._annotation(element, number)
                number += 1
            elif key == "categories":
                self._category(element)
        if self.waiting:
            self._flush()
        for unsettled in self.unsettled:
            self._settle(unsettled)
        if not sum(self.counts):
            why = "; ".join(self.skips.lines(5)) or "no annotations at all"
            raise InputError(
                f"{self.coco}: expected {EXPECTED} with people of {self.least} keypoints or more, got nobody who can "
                f"be annotated: {why}; take the keypoint file (person_keypoints_*.json), or ask for fewer with --least"
            )
        skeleton = SKELETONS["coco23"] if self.feet else self.body
        found = ReadPeople(self.folder, skeleton, tuple(self.counts), tuple(self.skips.lines()))
        index = {"skeleton": skeleton.name, "counts": found.counts, "skipped": found.skipped}
        self.store.close()
        (self.folder / STORE).unlink()
        write_atomic(self.folder / INDEX, json.dumps(index).encode())
        return found

    def _image(self, record: Any) -> None:
        name = record.get("file_name") if isinstance(record, dict) else None
        if not isinstance(name, str) or not name or "id" not in record:
            return self.skips.add("an image needs 'id' and 'file_name'", describe(record))
        if not _is_text(name + str(record["id"])):
            return self.skips.add(BROKEN_TEXT, describe(record))
        if not self.store.add_image(str(record["id"]), name, to_size(record)):
            self.skips.add("image id used before", f"image {record['id']}")

    def _category(self, record: Any) -> None:
        if self.certain or not isinstance(record, dict) or not record.get("keypoints"):
            return
        found = coco_skeleton(self.coco, [record])
        if found is not self.body:
            raise _OtherSkeletonError(found)
        self.certain = True

    def _annotation(self, record: Any, number: int) -> None:
        where = f"annotation {record.get('id', number) if isinstance(record, dict) else number}"
        if not _is_text(where):
            return self.skips.add(BROKEN_TEXT, f"annotation #{number}")
        try:
            person = self._person(record, number)
        except RecordError as error:
            return self.skips.add(str(error), where)
        if not self.store.add_person(person.id):
            return self.skips.add("annotation id used before", where)
        self.waiting.append(person)
        if len(self.waiting) == self.per_file:
            self._flush()

    def _person(self, record: Any, number: int) -> _Person:
        if not isinstance(record, dict):
            raise RecordError(f"an annotation must be an object, got {describe(record)}")
        if record.get("iscrowd"):
            raise RecordError("crowd (iscrowd 1)")
        if record.get("num_keypoints") == 0 or "keypoints" not in record:
            raise RecordError("no labelled keypoints")
        if not _is_text(str(record.get("image_id"))):
            raise RecordError(BROKEN_TEXT)
        points = coco_points(record, self.body)
        with np.errstate(invalid="ignore", over="ignore"):
            seen = np.isfinite(points).all(1) & (points[:, 2] > 0) & (np.abs(points[:, :2]) < FARTHEST).all(1)
            points = np.where(seen[:, None], points, 0).astype(np.float32)
        points[:, 2] = points[:, 2].clip(0, 1)
        if seen.sum() < self.least:
            raise RecordError(f"fewer than {self.least} keypoints")
        box = to_box(record.get("bbox"))
        if box is None:
            low, high = points[seen, :2].min(0), points[seen, :2].max(0)
            if not (high > low).all():
                raise RecordError("no box, and keypoints that span none")
            box = [*low.tolist(), *high.tolist()]
        return _Person(str(record.get("id", f"#{number}")), str(record.get("image_id")), box, points)

    def _flush(self) -> None:
        """The people who wait become a file, which is settled once the images of all are known."""
        people, self.waiting = self.waiting, []
        width = max(len(p.keypoints) for p in people)
        self.feet |= self.body.name == "coco17" and width > len(self.body)
        keypoints = np.zeros((len(people), width, 3), np.float32)
        for row, person in zip(keypoints, people, strict=True):
            row[: len(person.keypoints)] = person.keypoints
        arrays = {
            "id": np.array([p.id for p in people]),
            "image_id": np.array([p.image for p in people]),
            "box": np.array([p.box for p in people], np.float32),
            "keypoints": keypoints,
        }
        self.counts.append(len(people))
        if all(self.store.image(p.image) is not None for p in people):
            self._write(len(self.counts) - 1, arrays)
        else:
            self.unsettled.append(len(self.counts) - 1)
            write_atomic(people_file(self.folder, self.unsettled[-1]), npz_bytes(arrays))

    def _settle(self, number: int) -> None:
        self._write(number, load_arrays(people_file(self.folder, number)))

    def _write(self, number: int, arrays: dict[str, np.ndarray]) -> None:
        """Write the people whose images and sizes are known, and count the others."""
        names, sizes, kept = [], [], []
        for row, (person, key) in enumerate(
            zip(arrays["id"].tolist(), arrays["image_id"].tolist(), strict=True)
        ):
            image = self.store.image(key)
            if image is None:
                self.skips.add("'image_id' names no image of the file", f"annotation {person}")
                continue
            name, told = image
            size = told if all(told) else self._size_on_disk(name)
            if size is None:
                self.skips.add("nobody tells the image's size; give --images", f"annotation {person}, {name}")
                continue
            names.append(name)
            sizes.append(size)
            kept.append(row)
        width = arrays["keypoints"].shape[1]
        skeleton = self.body if width == len(self.body) else SKELETONS["coco23"]
        crowd = Crowd(
            skeleton,
            arrays["id"][kept],
            np.array(names, dtype=str),
            np.array(sizes, np.int32).reshape(-1, 2),
            arrays["box"][kept],
            arrays["keypoints"][kept],
        )
        self.counts[number] = len(crowd)
        write_atomic(people_file(self.folder, number), npz_bytes(crowd.arrays()))

    def _size_on_disk(self, name: str) -> tuple[int, int] | None:
        if self.images is None:
            return None
        path = self.images / name
        return photo_sizes([path]).get(str(path))
