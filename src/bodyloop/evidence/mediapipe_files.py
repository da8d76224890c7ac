"""MediaPipe's landmarks, as its JavaScript and Python results are written to JSON."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bodyloop.body import SKELETONS
from bodyloop.evidence.json_files import RecordError, describe, match_image, to_number, to_size
from bodyloop.evidence.keypoint_records import Collector, KeypointFile, Person, Sizes

_LANDMARK_KEYS = ("landmarks", "poseLandmarks", "pose_landmarks", "landmark")


def has_landmarks(data: Any) -> bool:
    """Whether a JSON value looks like landmarks in any of their wrappings."""
    for _ in range(3):
        if isinstance(data, dict):
            return any(key in data for key in _LANDMARK_KEYS) or {"x", "y"} <= data.keys()
        if not isinstance(data, list) or not data:
            return False
        data = data[0]
    return isinstance(data, dict) and {"x", "y"} <= data.keys()


def read_mediapipe(out: Collector, data: Any, sizes: Sizes) -> KeypointFile:
    """One result or a list of them; `sizes` where they do not tell the size of their image."""
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
                out.add(name, Person(_landmarks_to_pixels(landmarks, size), str(j)))
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
