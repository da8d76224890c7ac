"""What the readers of keypoint and box files share: safe JSON, numbers, image names, a tally of skips."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bodyloop.errors import InputError

T = TypeVar("T")

_BULK = ("segmentation", "face_kpts", "lefthand_kpts", "righthand_kpts")


class RecordError(Exception):
    """One record of a file cannot be used; the reader notes why and goes on."""


class Skips:
    """Tally of records left out: few lines, however many records."""

    def __init__(self) -> None:
        self._count: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, reason: str, where: str, times: int = 1) -> None:
        """Count one record at `where`, or several things in it."""
        self._count[reason] += times
        self._first.setdefault(reason, where)

    def lines(self, limit: int = 20) -> list[str]:
        """One line for each reason, the most frequent first."""
        ranked = self._count.most_common()
        lines = [f"{n} x {reason} (first: {self._first[reason]})" for reason, n in ranked[:limit]]
        rest = sum(n for _, n in ranked[limit:])
        return [*lines, f"{rest} x other reasons"] if rest else lines


def read_text(path: Path, expected: str) -> str:
    """Text of a file, with or without a byte order mark.

    Raises:
        InputError: if it cannot be read, is empty or is not text; `expected` says what it should hold.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{path}: expected {expected}, got a file that is not text; check the path"
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: expected {expected}, got '{reason}'; check the path") from None
    except ValueError as error:  # a null byte in the path
        raise InputError(f"{path!r}: expected {expected}, got '{error}'; check the path") from None
    if not text.strip():
        raise InputError(f"{path}: expected {expected}, got an empty file; write or download it again")
    return text


def parse_json(path: Path, text: str, expected: str) -> Any:
    """JSON value of a text. Polygons and other bulk that nobody here reads is dropped while parsing.

    Raises:
        InputError: if it is not JSON.
    """
    try:
        return json.loads(text, object_hook=_without_bulk)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: expected {expected}, got text that is not JSON ({error}); it starts with "
            f"{text[:40]!r}; if it is cut short, write or download it again"
        ) from None


def _without_bulk(record: dict[str, Any]) -> dict[str, Any]:
    for key in _BULK:
        record.pop(key, None)
    return record


def describe(value: Any) -> str:
    """A few words on a JSON value, for messages."""
    if isinstance(value, dict):
        keys = ", ".join(repr(k)[:40] for k in list(value)[:8])
        return f"an object with the keys {keys}" + (" ..." if len(value) > 8 else "") if value else "{}"
    if isinstance(value, list):
        return f"a list of {len(value)}, the first being {describe(value[0])[:80]}" if value else "[]"
    return repr(value)[:60]


def to_numbers(value: Any, what: str) -> np.ndarray:
    """Flat float64 array of a list of numbers, nested or not; null becomes NaN, out of range infinite.

    Raises:
        RecordError: if it is no list, or holds anything but numbers.
    """
    if not isinstance(value, list):
        raise RecordError(f"{what} must be a list of numbers, got {describe(value)}")
    if value and isinstance(value[0], list):
        value = [number for row in value for number in (row if isinstance(row, list) else [row])]
    if set(map(type, value)) <= {int, float}:
        try:
            return np.array(value, dtype=np.float64)
        except OverflowError:
            pass  # an integer beyond all floats: one by one
    numbers = np.empty(len(value))
    for i, number in enumerate(value):
        numbers[i] = _to_float(number, what)
    return numbers


def _to_float(number: Any, what: str) -> float:
    kind = type(number)
    if kind is float:
        return number
    if kind is int:
        try:
            return float(number)
        except OverflowError:
            return math.inf
    if number is None:
        return math.nan
    raise RecordError(f"{what} must be numbers, got {describe(number)}")


def to_number(record: Mapping[str, Any], key: str, default: float) -> float:
    """One number of a record, `default` where it is missing."""
    return _to_float(record[key], f"'{key}'") if key in record else default


def to_box(value: Any) -> list[float] | None:
    """COCO's [x, y, w, h] to [x0, y0, x1, y1]; None if it is no box of positive finite size."""
    try:
        numbers = to_numbers(value, "a box")
    except RecordError:
        return None
    if numbers.shape != (4,) or not np.all(np.abs(numbers) < 1e7) or not (numbers[2:] > 0).all():
        return None
    x, y, w, h = numbers.tolist()
    return [x, y, x + w, y + h]


def to_size(record: Mapping[str, Any]) -> tuple[int, int] | None:
    """(width, height) of an image record that tells it."""
    width, height = (record.get(key) for key in ("width", "height"))
    if not isinstance(width, int | float) or not isinstance(height, int | float):
        return None
    return (int(width), int(height)) if 1 <= width < 1e7 and 1 <= height < 1e7 else None


def match_image(table: Mapping[str, T], image: str | Path) -> T | None:
    """Entry of a file for an image, by its path as written, its file name, its stem, or COCO's number.

    Files name images in many ways: "train2017/000000000785.jpg", "000000000785.jpg", "000000000785" or
    785 all mean the photo 000000000785.jpg.
    """
    path = Path(image)
    for key in (str(image), path.as_posix(), path.name, path.stem):
        if key in table:
            return table[key]
    last = {key: key.replace("\\", "/").rsplit("/", 1)[-1] for key in table}
    names = [key for key in table if last[key] == path.name]
    names = names or [key for key in table if last[key].rsplit(".", 1)[0] == path.stem]
    if not names and path.stem.isdecimal():
        names = [key for key in table if key.isdecimal() and int(key) == int(path.stem)]
    return table[names[0]] if len(names) == 1 else None
