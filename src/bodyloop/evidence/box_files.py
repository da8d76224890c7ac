"""Boxes around people, from a file: where to look for them when the detector alone would miss some."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bodyloop.errors import InputError
from bodyloop.evidence.json_files import Skips, describe, match_image, parse_json, read_text, to_box

EXPECTED = (
    'boxes in pixels: JSON {"photo.jpg": [[x, y, w, h], ...]}, COCO annotations or results with "bbox", '
    '{"bbox": [x, y, w, h]}, or CSV lines image,x,y,w,h'
)


@dataclass(frozen=True)
class BoxFile:
    """Boxes by image.

    Attributes:
        path: the file.
        boxes: image name, as the file has it, to (N, 4) x0, y0, x1, y1 in pixels.
        skipped: why entries were left out, one line for each reason.
    """

    path: Path
    boxes: dict[str, Tensor]
    skipped: list[str]

    def for_image(self, image: str | Path) -> Tensor | None:
        """Boxes (N, 4) of an image, however the file spells its name (`match_image`); None if not there."""
        return match_image(self.boxes, image)


def read_boxes(path: str | Path) -> BoxFile:
    """Read a file of boxes; the format is told by its content. Broken boxes are skipped and counted.

    Raises:
        InputError: if it is none of the formats (`EXPECTED`), or no box in it is usable.
    """
    path = Path(path)
    text = read_text(path, EXPECTED)
    skips = Skips()
    if text.lstrip()[0] in "[{":
        pairs = _json_pairs(path, parse_json(path, text, EXPECTED))
    else:
        pairs = _csv_pairs(path, text)
    boxes: dict[str, list[list[float]]] = {}
    for name, value in pairs:
        box = to_box(value)
        if box is None or name is None:
            skips.add("not a box of four numbers x, y, w, h with w and h above 0", f"{name}: {value!r}"[:120])
        else:
            boxes.setdefault(name, []).append(box)
    if not boxes:
        why = "; ".join(skips.lines()) or "no boxes at all"
        raise InputError(f"{path}: expected {EXPECTED}, got {why}; correct the file")
    return BoxFile(path, {name: torch.tensor(rows) for name, rows in boxes.items()}, skips.lines())


def _json_pairs(path: Path, data: Any) -> list[tuple[str | None, Any]]:
    """(image name, [x, y, w, h]) of every entry."""
    if isinstance(data, list):
        records = [r for r in data if isinstance(r, dict) and "bbox" in r and "image_id" in r]
        if data and not records:
            raise InputError(f"{path}: expected {EXPECTED}, got {describe(data)}; convert the file")
        return [(str(r["image_id"]), r["bbox"]) for r in records if r.get("category_id", 1) == 1]
    if "annotations" in data or "images" in data:
        return _coco_pairs(path, data)
    if "bbox" in data:
        return [(path.stem.removesuffix("_bbox"), data["bbox"])]
    pairs: list[tuple[str | None, Any]] = []
    for name, value in data.items():
        many = isinstance(value, list) and (not value or isinstance(value[0], list))
        pairs += [(name, box) for box in (value if many else [value])]
    return pairs


def _coco_pairs(path: Path, data: dict[str, Any]) -> list[tuple[str | None, Any]]:
    images, annotations = data.get("images"), data.get("annotations")
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise InputError(f"{path}: expected {EXPECTED}, got {describe(data)}; COCO needs both lists")
    categories = data.get("categories")
    known = [c for c in categories if isinstance(c, dict)] if isinstance(categories, list) else []
    other = {str(c.get("id")) for c in known if c.get("name") != "person"}
    names = {str(i.get("id")): i.get("file_name") for i in images if isinstance(i, dict)}
    return [
        (str(names[key]) if names.get(key := str(a.get("image_id"))) else None, a.get("bbox"))
        for a in annotations
        if isinstance(a, dict) and str(a.get("category_id")) not in other and not a.get("iscrowd")
    ]


def _csv_pairs(path: Path, text: str) -> list[tuple[str | None, Any]]:
    try:
        rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"{path}: expected {EXPECTED}, got text that is not CSV ({error})") from None
    pairs: list[tuple[str | None, Any]] = []
    for row in rows:
        try:
            box: Any = [float(cell) for cell in row[1:5]]
        except ValueError:
            box = row[1:5]
        pairs.append((row[0].strip() or None, box))
    if any(isinstance(cell, str) for cell in pairs[0][1]):
        del pairs[0]  # the line of column names
    return pairs
