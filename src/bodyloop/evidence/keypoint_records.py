"""What the readers of keypoint formats share: people gathered by image, and what was skipped."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body import Skeleton
from bodyloop.errors import InputError
from bodyloop.evidence.evidence import Evidence
from bodyloop.evidence.json_files import RecordError, Skips, match_image, to_numbers

FORMATS = (
    "COCO keypoint annotations or results, COCO-WholeBody, OpenPose (a file or a folder of them), MediaPipe "
    "landmarks, or bodyloop's own JSON"
)
EXPECTED = f"keypoints as {FORMATS}"
Sizes = Mapping[str, tuple[int, int]]


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
class Person:
    """One person as read from a file."""

    keypoints: np.ndarray  # (K, 3) x, y in pixels and confidence
    label: str
    box: list[float] | None = None


class Collector:
    """Gathers people by image while a file is walked through."""

    def __init__(self, path: Path) -> None:
        self.path, self.skips = path, Skips()
        self.people: dict[str, list[Person]] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.broken = 0

    def skip(self, reason: str, where: str, broken: bool = True) -> None:
        """Leave a record out; not `broken` if that is as it should be (crowds)."""
        self.broken += broken
        self.skips.add(reason, where)

    def add(self, image: str, person: Person) -> None:
        """One more person of an image."""
        self.people.setdefault(image, []).append(person)

    def finish(self, format_name: str, skeleton: Skeleton) -> KeypointFile:
        """What was gathered; an InputError if records were broken and nobody is left."""
        if self.broken and not any(self.people.values()):
            raise InputError(
                f"{self.path}: expected {EXPECTED}, got a file of {format_name} in which no record can be "
                f"used: {'; '.join(self.skips.lines(5))}; correct or write it again"
            )
        people = _to_evidence(skeleton, self.people)
        return KeypointFile(self.path, format_name, people, self.sizes, self.skips.lines())


def _to_evidence(skeleton: Skeleton, people: Mapping[str, list[Person]]) -> dict[str, Evidence]:
    """Evidence by image. All people are cleaned in one go: a file may have a hundred thousand."""
    everybody = [person for persons in people.values() for person in persons]
    rows = np.zeros((len(everybody), len(skeleton), 3), np.float32)
    with np.errstate(over="ignore"):
        for row, person in zip(rows, everybody, strict=True):
            row[: len(person.keypoints)] = person.keypoints
    clean = Evidence.from_keypoints(skeleton, torch.from_numpy(rows[..., :2]), torch.from_numpy(rows[..., 2]))
    boxes = clean.boxes.numpy().copy()
    for box, person in zip(boxes, everybody, strict=True):
        if person.box is not None:
            box[:] = person.box
    evidence, start = {}, 0
    for name, persons in people.items():
        part = slice(start, start + len(persons))
        evidence[name] = Evidence(
            skeleton,
            clean.keypoints[part],
            clean.confidence[part],
            torch.from_numpy(boxes[part]),
            _distinct(persons),
        )
        start += len(persons)
    return evidence


def _distinct(people: list[Person]) -> tuple[str, ...]:
    """Labels, a repeated one with a number behind it."""
    seen: dict[str, int] = {}
    labels = []
    for person in people:
        n = seen[person.label] = seen.get(person.label, 0) + 1
        labels.append(person.label if n == 1 else f"{person.label}_{n}")
    return tuple(labels)


def to_triplets(value: Any, counts: Mapping[int, Any], what: str = "keypoints") -> np.ndarray:
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
