"""COCO-DensePose annotations: points of the surface and part masks that people clicked and drew.

Files such as ``densepose_coco_2014_train.json`` of Güler, Neverova, Kokkinos, "DensePose", 2018. They are COCO
annotations, so `read_keypoints` and `read_boxes` read their keypoints and boxes.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.errors import InputError
from bodyloop.evidence.dense_keypoints import DenseKeypoints
from bodyloop.evidence.iuv import CHART_COUNT
from bodyloop.evidence.json_files import (
    RecordError,
    Skips,
    describe,
    match_image,
    parse_json,
    read_text,
    to_box,
    to_numbers,
    to_size,
)
from bodyloop.evidence.rle import decode_rle, rle_counts

EXPECTED = 'COCO-DensePose annotations {"images": [...], "annotations": [... with "dp_x" or "dp_masks"]}'

FRAME = 256
"""Side of the square frame to which every person's box is scaled for the annotators."""

MASK_NAMES = (
    "torso", "right_hand", "left_hand", "left_foot", "right_foot", "right_upper_leg", "left_upper_leg",
    "right_lower_leg", "left_lower_leg", "left_upper_arm", "right_upper_arm", "left_lower_arm",
    "right_lower_arm", "head",
)  # fmt: skip
"""What values 1 to 14 of a part mask mean."""

_POINT_KEYS = ("dp_x", "dp_y", "dp_I", "dp_U", "dp_V")


@dataclass(frozen=True, eq=False)
class DensePoseAnnotation:
    """One person's dense annotation.

    Attributes:
        label: the annotation's id.
        box: x0, y0, x1, y1 in image pixels.
        points: annotated points, of weight 1; none where the file has only masks.
        masks: the file's 14 RLEs, empty lists where a part is not seen.
    """

    label: str
    box: tuple[float, float, float, float]
    points: DenseKeypoints
    masks: tuple[Any, ...]

    def part_mask(self) -> np.ndarray:
        """(256, 256) uint8 in the annotators' frame: 1 to 14 of `MASK_NAMES`, 0 elsewhere.

        Where masks overlap the later counts, as in DensePose's own code.
        """
        mask = np.zeros((FRAME, FRAME), dtype=np.uint8)
        for value, rle in enumerate(self.masks, start=1):
            if rle:
                mask[decode_rle(rle)] = value
        return mask

    def image_part_mask(self, size: tuple[int, int]) -> np.ndarray:
        """(H, W) uint8: the part mask in an image of `size` (width, height), by the nearest pixel.

        Column c of the frame lies where a point with ``dp_x`` = c does, so that points and masks agree.
        """
        width, height = size
        columns, in_x = _frame_indices(width, self.box[0], self.box[2])
        rows, in_y = _frame_indices(height, self.box[1], self.box[3])
        image = np.zeros((height, width), dtype=np.uint8)
        image[np.ix_(in_y, in_x)] = self.part_mask()[np.ix_(rows, columns)]
        return image


def _frame_indices(length: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Nearest index of the frame for the pixels of one axis within the box, and those pixels."""
    places = (np.arange(length) - low) / (high - low)
    inside = np.flatnonzero((places >= 0) & (places <= 1))
    return np.rint(places[inside] * (FRAME - 1)).astype(np.int64), inside


@dataclass(frozen=True)
class DensePoseFile:
    """What a file of dense annotations says.

    Attributes:
        path: the file.
        people: image name, as the file has it, to its people with dense annotations.
        sizes: image name to (width, height), where the file tells.
        skipped: why records or points were left out, one line for each reason.
    """

    path: Path
    people: dict[str, list[DensePoseAnnotation]]
    sizes: dict[str, tuple[int, int]]
    skipped: list[str]

    def for_image(self, image: str | Path) -> list[DensePoseAnnotation] | None:
        """People of an image, however the file spells its name (`match_image`); None if not there."""
        return match_image(self.people, image)


def read_densepose_annotations(path: str | Path) -> DensePoseFile:
    """Read COCO-DensePose annotations. People without dense annotations, and crowds, are passed over.

    ``dp_x`` and ``dp_y`` are 0 to 255 within the box: x = bbox x + dp_x / 255 * bbox width, as DensePose's
    evaluation has it (some of its notebooks round the box first; it is not rounded here).

    Broken records, and points whose I is not 1 to 24, whose U or V is not in [0, 1], or which lie outside the
    frame, are left out; one UserWarning counts them, and `skipped` says why.

    Raises:
        InputError: if the file cannot be read, is another format, or nothing in it can be used.
    """
    path = Path(path)
    data = parse_json(path, read_text(path, EXPECTED), EXPECTED)
    file, broken, dropped = densepose_from_json(path, data)
    if broken or dropped:
        total, why = len(data["annotations"]), "; ".join(file.skipped[:5])
        warnings.warn(
            f"{path}: left out {broken} of {total} annotations and {dropped} points: {why}", stacklevel=2
        )
    return file


def densepose_from_json(path: Path, data: Any) -> tuple[DensePoseFile, int, int]:
    """What `read_densepose_annotations` reads, from the file's JSON value, without a warning.

    Returns:
        The file, and how many annotations and how many points were broken.

    Raises:
        InputError: if it is another format, or nothing in it can be used.
    """
    images, annotations = (data.get(k) if isinstance(data, dict) else None for k in ("images", "annotations"))
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise InputError(f"{path}: expected {EXPECTED}, got {describe(data)}; give a densepose_coco_*.json")
    skips = Skips()
    names, sizes = _images(images)
    people: dict[str, list[DensePoseAnnotation]] = {}
    broken = dropped = 0
    for i, record in enumerate(annotations):
        where = f"annotation {record.get('id', i) if isinstance(record, dict) else i}"
        try:
            if not isinstance(record, dict):
                raise RecordError(f"an annotation must be an object, got {describe(record)}")
            if record.get("iscrowd") or not (record.keys() & {"dp_x", "dp_masks"}):
                skips.add("no dense annotation, or a crowd", where)
                continue
            image = names.get(str(record.get("image_id")))
            if image is None:
                raise RecordError("'image_id' names no image of the file")
            person, bad = _annotation(record, str(record.get("id", i)))
        except RecordError as error:
            skips.add(str(error), where)
            broken += 1
            continue
        if bad:
            skips.add("a point with I, U, V or a place out of range", where, bad)
            dropped += bad
        people.setdefault(image, []).append(person)
    if not people:
        why = "; ".join(skips.lines(5)) or "no annotations at all"
        raise InputError(
            f"{path}: expected {EXPECTED}, got none that can be used: {why}; give a densepose_coco_*.json"
        )
    return DensePoseFile(path, people, sizes, skips.lines()), broken, dropped


def _images(records: list[Any]) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """Image id, as text, to file name; and file name to size."""
    names, sizes = {}, {}
    for record in records:
        name = record.get("file_name") if isinstance(record, dict) else None
        if isinstance(name, str) and name:
            names[str(record.get("id"))] = name
            if size := to_size(record):
                sizes[name] = size
    return names, sizes


def _annotation(record: dict[str, Any], label: str) -> tuple[DensePoseAnnotation, int]:
    """One person, and the number of points left out."""
    box = to_box(record.get("bbox"))
    if box is None:
        raise RecordError("'bbox' must be four numbers x, y, w, h with w and h above 0")
    masks = _masks(record.get("dp_masks", []))
    points, bad = _points(record, box)
    if not len(points) and not any(masks):
        raise RecordError("neither a point nor a mask that can be used")
    return DensePoseAnnotation(label, (box[0], box[1], box[2], box[3]), points, masks), bad


def _masks(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list) or len(value) not in (0, len(MASK_NAMES)):
        raise RecordError(f"'dp_masks' must be a list of {len(MASK_NAMES)}")
    for rle in value:
        if rle:
            try:
                height, width, _ = rle_counts(rle)
            except InputError:
                raise RecordError("a mask of 'dp_masks' is no RLE that decodes") from None
            if (height, width) != (FRAME, FRAME):
                raise RecordError(f"a mask of 'dp_masks' must be {FRAME} x {FRAME}")
    return tuple(value)


def _points(record: Mapping[str, Any], box: list[float]) -> tuple[DenseKeypoints, int]:
    """Points in the image, and the number left out."""
    columns = [to_numbers(record.get(key, []), f"'{key}'") for key in _POINT_KEYS]
    if len({len(column) for column in columns}) != 1:
        raise RecordError("dp_x, dp_y, dp_I, dp_U, dp_V must be of one length")
    x, y, i, u, v = columns
    with np.errstate(invalid="ignore"):
        good = (i >= 1) & (i <= CHART_COUNT) & (np.floor(i) == i)
        for values, top in ((x, FRAME), (y, FRAME), (u, 1), (v, 1)):
            good &= (values >= 0) & (values <= top)
    low, high = np.array(box[:2]), np.array(box[2:])
    pixels = low + np.stack([x, y], -1)[good] / (FRAME - 1) * (high - low)
    uv = np.stack([u, v], -1)[good]
    points = DenseKeypoints(
        torch.from_numpy(pixels).float(),
        torch.from_numpy(i[good].astype(np.int64)),
        torch.from_numpy(uv).float(),
        torch.ones(len(pixels)),
    )
    return points, int((~good).sum())
