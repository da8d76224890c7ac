"""2D keypoints of people in images, from the files that detectors and annotators write.

The format is told by a file's content. One broken record never loses the others: it is skipped, and
counted in `KeypointFile.skipped`.

Known formats, all in image pixels unless said otherwise:

- COCO annotations: ``{"images": [...], "annotations": [...]}``. The flag v becomes the confidence: 0 is
  unseen; 1 (labelled although hidden) and 2 (visible) both count fully, as in COCO's own OKS. Crowds and
  people without labelled keypoints are left out. COCO-WholeBody files give body and feet.
- COCO results: ``[{"image_id", "keypoints", "score"}, ...]``, the third number of a keypoint being its score.
- OpenPose: ``{"people": [{"pose_keypoints_2d": [...]}]}``, one file for each image, or a folder of them;
  BODY_25 (75 numbers) or COCO-18 (54).
- MediaPipe: 33 landmarks ``{"x", "y", "z", "visibility"}`` normalised to 0..1 for each person, as a bare
  list or under "landmarks", "poseLandmarks" or "pose_landmarks", as its JavaScript and Python results are
  written; beside them optionally "image", "width", "height". A list of such objects covers many images.
- bodyloop: ``{"format": "bodyloop-keypoints", "skeleton": "coco17", "images": {"a.jpg": {"width": 640,
  "height": 480, "people": [{"label": "0", "keypoints": [[x, y, confidence], ...], "box": [x, y, w, h]}]}}}``;
  width, height, label and box may be missing. `write_keypoints` writes it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body import SKELETONS, Skeleton
from bodyloop.errors import InputError
from bodyloop.evidence.evidence import Evidence
from bodyloop.evidence.json_files import (
    RecordError,
    Skips,
    describe,
    match_image,
    parse_json,
    read_text,
    to_box,
    to_number,
    to_numbers,
    to_size,
)
from bodyloop.evidence.photos import natural_key

FORMATS = (
    "COCO keypoint annotations or results, COCO-WholeBody, OpenPose (a file or a folder of them), MediaPipe "
    "landmarks, or bodyloop's own JSON"
)
EXPECTED = f"keypoints as {FORMATS}"
OWN_FORMAT = "bodyloop-keypoints"
Sizes = Mapping[str, tuple[int, int]]

_COCO17, _COCO23, _OPENPOSE = SKELETONS["coco17"], SKELETONS["coco23"], SKELETONS["openpose25"]
_OPENPOSE18 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""Places of OpenPose's COCO-18 keypoints in BODY_25, which adds the mid hip at 8 and the feet."""
_LANDMARK_KEYS = ("landmarks", "poseLandmarks", "pose_landmarks", "landmark")
_COCO_NAMES = tuple(name.removesuffix("_extra") for name in _COCO17.keypoints)


@dataclass(frozen=True)
class KeypointFile:
    """What a keypoint file says.

    Attributes:
        path: the file or folder.
        format: its format, in words.
        people: image name, as the file has it (the stem, for files of one image that name none), to the
            people seen there.
        sizes: image name to (width, height), where the file tells.
        skipped: why records were left out, one line for each reason.
    """

    path: Path
    format: str
    people: dict[str, Evidence]
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)

    def for_image(self, image: str | Path) -> Evidence | None:
        """People of an image, however the file spells its name (`match_image`); None if not there."""
        return match_image(self.people, image)


@dataclass
class _Person:
    keypoints: np.ndarray  # (K, 3) x, y in pixels and confidence
    label: str
    box: list[float] | None = None


class _Collector:
    """Gathers people by image while a file is walked through."""

    def __init__(self, path: Path) -> None:
        self.path, self.skips = path, Skips()
        self.people: dict[str, list[_Person]] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.skeletons: dict[int, Skeleton] = {}
        self.broken = 0

    def skip(self, reason: str, where: str, broken: bool = True) -> None:
        self.broken += broken
        self.skips.add(reason, where)

    def add(self, image: str, person: _Person) -> None:
        self.people.setdefault(image, []).append(person)

    def finish(self, format_name: str, skeleton: Skeleton) -> KeypointFile:
        if self.broken and not any(self.people.values()):
            raise InputError(
                f"{self.path}: expected {EXPECTED}, got a file of {format_name} in which no record can be "
                f"used: {'; '.join(self.skips.lines(5))}; correct or write it again"
            )
        people = {name: _evidence(skeleton, rows) for name, rows in self.people.items()}
        return KeypointFile(self.path, format_name, people, self.sizes, self.skips.lines())


def _evidence(skeleton: Skeleton, people: list[_Person]) -> Evidence:
    rows = np.zeros((len(people), len(skeleton), 3))
    for row, person in zip(rows, people, strict=True):
        row[: len(person.keypoints)] = person.keypoints
    with np.errstate(over="ignore"):
        values = torch.from_numpy(rows.astype(np.float32))
    plain = Evidence.from_keypoints(skeleton, values[..., :2], values[..., 2])
    boxes = plain.boxes.clone()
    for i, person in enumerate(people):
        if person.box is not None:
            boxes[i] = torch.tensor(person.box)
    return Evidence(skeleton, plain.keypoints, plain.confidence, boxes, _distinct(people))


def _distinct(people: list[_Person]) -> tuple[str, ...]:
    """Labels, a repeated one with a number behind it."""
    seen: dict[str, int] = {}
    labels = []
    for person in people:
        n = seen[person.label] = seen.get(person.label, 0) + 1
        labels.append(person.label if n == 1 else f"{person.label}_{n}")
    return tuple(labels)


def _triplets(value: Any, counts: Mapping[int, Any], what: str = "keypoints") -> np.ndarray:
    """(K, 3) rows x, y, confidence of a list of 3 K numbers, K among `counts`; none may be normalised.

    Raises:
        RecordError: on another count, on anything but numbers, or if all places lie within one pixel.
    """
    numbers = to_numbers(value, f"'{what}'")
    if numbers.size % 3 or numbers.size // 3 not in counts:
        known = " or ".join(str(3 * n) for n in counts)
        raise RecordError(f"'{what}' must be {known} numbers, got {numbers.size}")
    rows = numbers.reshape(-1, 3)
    with np.errstate(invalid="ignore"):
        seen = rows[(rows[:, 2] > 0) & np.isfinite(rows).all(1), :2]
    if len(seen) > 1 and np.abs(seen).max() <= 1:
        raise RecordError(f"'{what}' must be in pixels, got values within -1..1: multiply by the image size")
    return rows


def read_keypoints(path: str | Path, sizes: Sizes | None = None) -> KeypointFile:
    """Read a keypoint file, or a folder with one file for each image.

    Args:
        path: the file or folder; formats in this module's docstring.
        sizes: (width, height) by image, for MediaPipe's normalised landmarks where the file has no sizes.

    Raises:
        InputError: if it is none of the formats, or no record in it is usable.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, sizes or {})
    text = read_text(path, EXPECTED)
    data = parse_json(path, text, EXPECTED)
    del text
    return _read_value(path, data, sizes or {})


def _read_value(path: Path, data: Any, sizes: Sizes) -> KeypointFile:
    out = _Collector(path)
    if isinstance(data, dict):
        if data.get("format") == OWN_FORMAT or "skeleton" in data:
            return _read_own(out, data)
        if "annotations" in data and "images" in data:
            return _read_coco(out, data)
        if "people" in data:
            return _read_openpose(out, data)
    if isinstance(data, list) and any(isinstance(r, dict) and "image_id" in r for r in data[:100]):
        return _read_coco_results(out, data)
    if _has_landmarks(data):
        return _read_mediapipe(out, data, sizes)
    raise InputError(
        f"{path}: expected {EXPECTED}, got {describe(data)}; convert the file to one of them (bodyloop's own "
        "is the simplest, see bodyloop.evidence.keypoint_files)"
    )


def _read_folder(folder: Path, sizes: Sizes) -> KeypointFile:
    files = sorted((p for p in folder.iterdir() if p.suffix.lower() == ".json"), key=natural_key)
    if not files:
        raise InputError(
            f"{folder}: expected a folder of OpenPose files (name_keypoints.json), got one without any .json "
            "file; name the keypoint file itself"
        )
    people: dict[str, Evidence] = {}
    known: dict[str, tuple[int, int]] = {}
    formats: dict[str, None] = {}
    skipped: list[str] = []
    for file in files:
        try:
            one = read_keypoints(file, sizes)
        except InputError as error:
            skipped.append(str(error))
            continue
        people |= one.people
        known |= one.sizes
        formats[one.format] = None
        skipped += [f"{file.name}: {line}" for line in one.skipped]
    if not formats:
        raise InputError(
            f"{folder}: none of its {len(files)} .json files can be used; the first: {skipped[0]}"
        )
    return KeypointFile(folder, f"folder of {' and '.join(formats)}", people, known, skipped)


# COCO


def _read_coco(out: _Collector, data: dict[str, Any]) -> KeypointFile:
    images, annotations = data["images"], data["annotations"]
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise InputError(
            f"{out.path}: expected COCO's 'images' and 'annotations' to be lists, got {describe(images)} and "
            f"{describe(annotations)}; write the file again"
        )
    names = _coco_images(out, images)
    body = _coco_skeleton(out.path, data.get("categories"))
    if annotations and not any(isinstance(a, dict) and "keypoints" in a for a in annotations):
        raise InputError(
            f"{out.path}: expected COCO annotations with 'keypoints' (person_keypoints_*.json), got "
            f"{describe(annotations[0])}; use the keypoint file of the same data set"
        )
    for i, record in enumerate(annotations):
        where = f"annotation {record.get('id', i) if isinstance(record, dict) else i}"
        try:
            _coco_record(out, record, names, body, where)
        except RecordError as error:
            out.skip(str(error), where)
    return out.finish("COCO annotations", _with_feet(out, body))


def _coco_images(out: _Collector, images: list[Any]) -> dict[str, str]:
    """Image id, as text, to file name."""
    names: dict[str, str] = {}
    for i, record in enumerate(images):
        name = record.get("file_name") if isinstance(record, dict) else None
        if not isinstance(name, str) or not name or "id" not in record:
            out.skip("an image needs 'id' and 'file_name'", f"image {i}")
            continue
        key = str(record["id"])
        if names.setdefault(key, name) != name:
            out.skip("image id used before for another file", f"image {key}, {name}")
            continue
        if size := to_size(record):
            out.sizes[name] = size
    return names


def _coco_skeleton(path: Path, categories: Any) -> Skeleton:
    """The body's keypoint set: COCO's, unless the file's categories name another one that is known."""
    named = [c for c in categories if isinstance(c, dict)] if isinstance(categories, list) else []
    lists = [c["keypoints"] for c in named if isinstance(c.get("keypoints"), list) and c["keypoints"]]
    if not lists:
        return _COCO17
    names = tuple(str(name).lower().replace(" ", "_") for name in lists[0])
    if names[:17] == _COCO_NAMES:
        return _COCO17
    for skeleton in SKELETONS.values():
        if names == skeleton.keypoints:
            return skeleton
    raise InputError(
        f"{path}: expected the keypoints of {' or '.join(SKELETONS)} in 'categories', got {len(names)}: "
        f"{', '.join(names[:6])} ...; convert the file to bodyloop's own format"
    )


def _coco_record(out: _Collector, record: Any, names: dict[str, str], body: Skeleton, where: str) -> None:
    if not isinstance(record, dict):
        raise RecordError(f"an annotation must be an object, got {describe(record)}")
    if record.get("iscrowd"):
        return out.skip("crowd (iscrowd 1)", where, broken=False)
    if record.get("num_keypoints") == 0 or "keypoints" not in record:
        return out.skip("no labelled keypoints", where, broken=False)
    image = names.get(str(record.get("image_id")))
    if image is None:
        raise RecordError("'image_id' names no image of the file")
    out.add(
        image, _Person(_coco_points(record, body), str(record.get("id", where)), to_box(record.get("bbox")))
    )


def _coco_points(record: dict[str, Any], body: Skeleton) -> np.ndarray:
    """(K, 3), or (23, 3) where COCO-WholeBody's feet are given."""
    if body is not _COCO17:
        return _triplets(record["keypoints"], {len(body): body})
    points = _triplets(record["keypoints"], {17: 0, 23: 0, 133: 0})[:23]
    if len(points) == 17 and record.get("foot_kpts"):
        points = np.concatenate([points, _triplets(record["foot_kpts"], {6: 0}, "foot_kpts")])
    return points


def _with_feet(out: _Collector, body: Skeleton) -> Skeleton:
    longest = max((len(p.keypoints) for rows in out.people.values() for p in rows), default=0)
    return _COCO23 if body is _COCO17 and longest == len(_COCO23) else body


def _read_coco_results(out: _Collector, records: list[Any]) -> KeypointFile:
    for i, record in enumerate(records):
        try:
            if not isinstance(record, dict) or "image_id" not in record or "keypoints" not in record:
                raise RecordError(f"a result needs 'image_id' and 'keypoints', got {describe(record)}")
            if record.get("category_id", 1) != 1:
                out.skip("not a person (category_id is not 1)", f"result {i}", broken=False)
                continue
            if type(record["image_id"]) not in (int, str):
                raise RecordError(
                    f"'image_id' must be a number or a name, got {describe(record['image_id'])}"
                )
            person = _Person(
                _coco_points(record, _COCO17), str(record.get("id", i)), to_box(record.get("bbox"))
            )
            out.add(str(record["image_id"]), person)
        except RecordError as error:
            out.skip(str(error), f"result {i}")
    return out.finish("COCO results", _with_feet(out, _COCO17))


# OpenPose


def _read_openpose(out: _Collector, data: dict[str, Any]) -> KeypointFile:
    people = data["people"]
    if not isinstance(people, list):
        raise InputError(
            f"{out.path}: expected OpenPose's 'people' to be a list, got {describe(people)}; write it again"
        )
    name = out.path.stem.removesuffix("_keypoints")
    out.people[name] = []
    for i, person in enumerate(people):
        try:
            if not isinstance(person, dict):
                raise RecordError(f"a person must be an object, got {describe(person)}")
            key = "pose_keypoints_2d" if "pose_keypoints_2d" in person else "pose_keypoints"
            rows = _triplets(person.get(key), {25: 0, 18: 0}, key)
            if len(rows) == 18:
                full = np.zeros((25, 3))
                full[list(_OPENPOSE18)] = rows
                rows = full
            out.add(name, _Person(rows, str(i)))
        except RecordError as error:
            out.skip(str(error), f"person {i}")
    return out.finish("OpenPose", _OPENPOSE)


# MediaPipe


def _has_landmarks(data: Any) -> bool:
    for _ in range(3):
        if isinstance(data, dict):
            return any(key in data for key in _LANDMARK_KEYS) or {"x", "y"} <= data.keys()
        if not isinstance(data, list) or not data:
            return False
        data = data[0]
    return isinstance(data, dict) and {"x", "y"} <= data.keys()


def _read_mediapipe(out: _Collector, data: Any, sizes: Sizes) -> KeypointFile:
    many = isinstance(data, list) and any(_is_result(record) for record in data)
    for i, record in enumerate(data if many else [data]):
        where = f"image {i}" if many else "the image"
        try:
            result = record if isinstance(record, dict) else {"landmarks": record}
            name = result.get(
                "image", result.get("file_name", f"{out.path.stem}_{i}" if many else out.path.stem)
            )
            if not isinstance(name, str):
                raise RecordError(f"'image' must be a file name, got {describe(name)}")
            size = to_size(result) or match_image(sizes, name)
            if size is None and len(sizes) == 1 and not many:
                size = next(iter(sizes.values()))
            if size is None:
                raise RecordError(
                    "MediaPipe's landmarks are fractions of the image: add its 'width' and 'height' in pixels"
                )
            out.sizes[name] = size
            out.people.setdefault(name, [])
        except RecordError as error:
            out.skip(str(error), where)
            continue
        for j, landmarks in enumerate(_landmark_lists(result)):
            try:
                out.add(name, _Person(_landmarks_to_pixels(landmarks, size), str(j)))
            except RecordError as error:
                out.skip(str(error), f"person {j} of {name}")
    return out.finish("MediaPipe", SKELETONS["mediapipe33"])


def _is_result(record: Any) -> bool:
    return isinstance(record, dict) and any(key in record for key in _LANDMARK_KEYS)


def _landmark_lists(result: dict[str, Any]) -> Iterator[Any]:
    """Every person's list of landmarks."""
    value = next((result[key] for key in _LANDMARK_KEYS if key in result), None)
    people = value if isinstance(value, list) else [value]
    if people and isinstance(people[0], dict) and "x" in people[0]:
        people = [people]
    for person in people:
        yield person.get("landmark") if isinstance(person, dict) else person


def _landmarks_to_pixels(landmarks: Any, size: tuple[int, int]) -> np.ndarray:
    """33 landmarks to (33, 3) x, y in pixels and visibility (1 where none is given).

    MediaPipe counts from the image's outer edge, pixel centres here are at integers: hence the half.
    """
    if not isinstance(landmarks, list) or len(landmarks) != 33:
        raise RecordError(
            f"a person must be a list of 33 landmarks, got {len(landmarks)}"
            if isinstance(landmarks, list)
            else f"a person must be a list of 33 landmarks, got {describe(landmarks)}"
        )
    rows = np.zeros((33, 3))
    for row, landmark in zip(rows, landmarks, strict=True):
        if not isinstance(landmark, dict) or not {"x", "y"} <= landmark.keys():
            raise RecordError(f"a landmark must be an object with x, y, visibility, got {describe(landmark)}")
        x, y = to_number(landmark, "x", 0.0), to_number(landmark, "y", 0.0)
        seen = to_number(landmark, "visibility", 1.0)
        row[:] = x * size[0] - 0.5, y * size[1] - 0.5, seen
    with np.errstate(invalid="ignore"):
        seen_rows = rows[rows[:, 2] > 0]
        if len(seen_rows) and np.nanmedian(np.abs((seen_rows[:, :2] + 0.5) / size)) > 10:
            raise RecordError("MediaPipe's landmarks must be fractions of the image, got pixels")
    return rows


# bodyloop's own


def _read_own(out: _Collector, data: dict[str, Any]) -> KeypointFile:
    name = data.get("skeleton")
    skeleton = SKELETONS.get(name) if isinstance(name, str) else None
    if skeleton is None:
        raise InputError(
            f"{out.path}: expected 'skeleton' to be one of {', '.join(sorted(SKELETONS))}, got "
            f"{describe(name)}"
        )
    images = data["images"] if "images" in data else {str(data.get("image", out.path.stem)): data}
    if not isinstance(images, dict):
        raise InputError(
            f"{out.path}: expected 'images' to be an object from image name to people, got {describe(images)}"
        )
    for image, record in images.items():
        record = {"people": record} if isinstance(record, list) else record
        people = record.get("people") if isinstance(record, dict) else None
        if not isinstance(people, list):
            out.skip(f"an image needs a list 'people', got {describe(record)}", image)
            continue
        out.people.setdefault(image, [])
        if size := to_size(record):
            out.sizes[image] = size
        for i, person in enumerate(people):
            try:
                if not isinstance(person, dict):
                    raise RecordError(f"a person must be an object with 'keypoints', got {describe(person)}")
                points = _triplets(person.get("keypoints"), {len(skeleton): skeleton})
                out.add(image, _Person(points, str(person.get("label", i)), to_box(person.get("box"))))
            except RecordError as error:
                out.skip(str(error), f"person {i} of {image}")
    return out.finish("bodyloop keypoints", skeleton)


def write_keypoints(path: str | Path, people: Mapping[str, Evidence], sizes: Sizes | None = None) -> None:
    """Write people by image in bodyloop's own format, which `read_keypoints` reads.

    Raises:
        ValueError: if the images use different skeletons, or one that is not in `SKELETONS`.
    """
    used = {evidence.skeleton.name for evidence in people.values()} or {"coco17"}
    if len(used) > 1 or not used <= SKELETONS.keys():
        raise ValueError(f"one known skeleton per file, got {', '.join(sorted(used))}; convert them first")
    images = {}
    for name, evidence in people.items():
        size = dict(zip(("width", "height"), (sizes or {}).get(name, ()), strict=False))
        images[name] = size | {"people": [_own_record(evidence, i) for i in range(len(evidence))]}
    data = {"format": OWN_FORMAT, "skeleton": used.pop(), "images": images}
    Path(path).write_text(json.dumps(data), encoding="utf-8")


def _own_record(evidence: Evidence, i: int) -> dict[str, Any]:
    rows = torch.cat([evidence.keypoints[i], evidence.confidence[i, :, None]], -1)
    record: dict[str, Any] = {"label": evidence.labels[i], "keypoints": rows.tolist()}
    x0, y0, x1, y1 = evidence.boxes[i].tolist()
    if x1 > x0 and y1 > y0:
        record["box"] = [x0, y0, x1 - x0, y1 - y0]
    return record
