"""COCO's annotations: keypoints (COCO, COCO-WholeBody, and whatever is written like them), and COCO-DensePose."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bodyloop.data.formats.columns import good_boxes
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally
from bodyloop.data.part_maps import DensePoseMasks
from bodyloop.data.record import Keypoints2D, Record, RecordSet
from bodyloop.errors import InputError
from bodyloop.evidence import DensePoseAnnotation, Evidence
from bodyloop.evidence.coco_files import read_coco
from bodyloop.evidence.densepose_annotations import densepose_from_json
from bodyloop.evidence.keypoint_records import Collector, KeypointFile

WHAT = 'COCO keypoint annotations {"images": [...], "annotations": [... with "keypoints"]}'
DENSE_WHAT = "COCO-DensePose annotations"


@dataclass(frozen=True, eq=False)
class _People:
    """People of a keypoint file, in order; called with a number, the record."""

    name: str
    images: Path
    names: list[str]
    sizes: list[tuple[int, int] | None]
    evidence: Evidence

    def __call__(self, row: int) -> Record:
        people = self.evidence
        x0, y0, x1, y1 = people.boxes[row].tolist()
        keypoints = Keypoints2D(
            people.skeleton,
            people.keypoints[row],
            people.confidence[row],
            torch.zeros(len(people.skeleton), dtype=torch.bool),
        )
        return Record(
            self.name,
            people.labels[row],
            self.images / self.names[row],
            self.sizes[row],
            (x0, y0, x1, y1),
            keypoints,
        )


def _people(file: KeypointFile, spec: DatasetSpec) -> _People:
    """All people of a keypoint file, image after image."""
    crowds = list(file.people.items())
    names = [name for name, crowd in crowds for _ in range(len(crowd))]
    everybody = Evidence(
        crowds[0][1].skeleton,
        torch.cat([crowd.keypoints for _, crowd in crowds]),
        torch.cat([crowd.confidence for _, crowd in crowds]),
        torch.cat([crowd.boxes for _, crowd in crowds]),
        tuple(label for _, crowd in crowds for label in crowd.labels),
    )
    sizes = [file.sizes.get(name) for name in names]
    return _People(spec.label, spec.image_folder(), names, sizes, everybody)


def coco_people(content: Content, spec: DatasetSpec) -> tuple[_People | None, Tally, list[str]]:
    """People with keypoints of COCO annotations, what is broken there, and what was passed over; None for nobody."""
    collector = Collector(spec.path)
    file = read_coco(collector, content.json)
    tally = Tally()
    if collector.broken:
        tally.drop("; ".join(collector.skips.lines(3)), "see there", collector.broken)
    return (_people(file, spec) if any(map(len, file.people.values())) else None), tally, file.skipped


def read_coco_records(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of COCO annotations: everybody with labelled keypoints, but no crowds.

    Visibility 1 (hidden) and 2 both count as confidence 1.

    Raises:
        InputError: nobody has keypoints, or they are of an unknown set.
    """
    people, tally, _ = coco_people(content, spec)
    if people is None:
        raise InputError(f"{spec.path}: expected {WHAT}, got none with labelled keypoints; take another file")
    return _usable(people, spec, tally, WHAT)


def _usable(people: _People, spec: DatasetSpec, tally: Tally, what: str) -> RecordSet:
    good = good_boxes(people.evidence.boxes.numpy())
    seen = people.evidence.confidence.numpy() > 0
    tally.drop_rows(~good & seen.any(1), "no box, and keypoints that span none")
    tally.drop_rows(~seen.any(1), "keypoints of which none is seen")
    rows = np.flatnonzero(good & seen.any(1))
    return RecordSet(people.name, spec.path, people, rows, tally.settle(spec, what, len(rows)))


@dataclass(frozen=True, eq=False)
class _DensePeople:
    """People with dense annotations; called with a number, the record."""

    name: str
    images: Path
    people: list[tuple[str, DensePoseAnnotation]]
    sizes: dict[str, tuple[int, int]]
    keypoints: _People | None
    row_of: dict[str, int]

    def __call__(self, row: int) -> Record:
        image, person = self.people[row]
        size = self.sizes.get(image)
        record = Record(
            self.name,
            person.label,
            self.images / image,
            size,
            person.box,
            dense=person.points if len(person.points) else None,
            parts=DensePoseMasks(person, size) if size is not None and any(person.masks) else None,
        )
        other = self.row_of.get(person.label)
        if self.keypoints is None or other is None:
            return record
        return replace(record, keypoints=self.keypoints(other).keypoints)


def read_densepose_records(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of COCO-DensePose: everybody with dense annotations, with the keypoints that the file has too.

    Raises:
        InputError: nobody has dense annotations that can be used.
    """
    file, broken, points = densepose_from_json(spec.path, content.json)
    tally = Tally()
    for count, note in ((broken, tally.drop), (points, tally.blank)):
        if count:
            note("; ".join(file.skipped[:3]), "see there", count)
    people = [(image, person) for image, crowd in file.people.items() for person in crowd]
    keypoints = _keypoints_of(content, spec)
    row_of = {} if keypoints is None else {label: i for i, label in enumerate(keypoints.evidence.labels)}
    rows = _DensePeople(spec.label, spec.image_folder(), people, file.sizes, keypoints, row_of)
    kept = np.arange(len(people))
    return RecordSet(spec.label, spec.path, rows, kept, tally.settle(spec, DENSE_WHAT, len(people)))


def _keypoints_of(content: Content, spec: DatasetSpec) -> _People | None:
    """The keypoints beside dense annotations; not all such files have them."""
    try:
        return coco_people(content, spec)[0]
    except InputError:
        return None


def _annotations(content: Content) -> list[object]:
    value = content.json if content.is_json else None
    if not isinstance(value, dict) or not isinstance(value.get("images"), list):
        return []
    annotations = value.get("annotations")
    return annotations if isinstance(annotations, list) else []


def _has(content: Content, *keys: str) -> bool:
    return any(isinstance(a, dict) and set(keys) & a.keys() for a in _annotations(content))


COCO = Format("coco", WHAT, lambda content: _has(content, "keypoints"), read_coco_records)
DENSEPOSE = Format(
    "densepose", DENSE_WHAT, lambda content: _has(content, "dp_x", "dp_masks"), read_densepose_records
)
