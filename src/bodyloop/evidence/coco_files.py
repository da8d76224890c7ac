"""COCO keypoint annotations and results, COCO-WholeBody with its feet."""

from pathlib import Path
from typing import Any

import numpy as np

from bodyloop.body import SKELETONS, Skeleton
from bodyloop.errors import InputError
from bodyloop.evidence.json_files import RecordError, describe, to_box, to_size
from bodyloop.evidence.keypoint_records import Collector, KeypointFile, Person, to_triplets

_COCO17, _COCO23 = SKELETONS["coco17"], SKELETONS["coco23"]
_COCO_NAMES = tuple(name.removesuffix("_extra") for name in _COCO17.keypoints)


def read_coco(out: Collector, data: dict[str, Any]) -> KeypointFile:
    """Annotations: images, annotations and, where given, categories that name the keypoints."""
    images, annotations = data["images"], data["annotations"]
    if not isinstance(images, list) or not isinstance(annotations, list):
        raise InputError(
            f"{out.path}: expected COCO's 'images' and 'annotations' to be lists, got {describe(images)} and "
            f"{describe(annotations)}; write the file again"
        )
    names = _coco_images(out, images)
    body = coco_skeleton(out.path, data.get("categories"))
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


def _coco_images(out: Collector, images: list[Any]) -> dict[str, str]:
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


def coco_skeleton(path: Path, categories: Any) -> Skeleton:
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


def _coco_record(out: Collector, record: Any, names: dict[str, str], body: Skeleton, where: str) -> None:
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
        image, Person(coco_points(record, body), str(record.get("id", where)), to_box(record.get("bbox")))
    )


def coco_points(record: dict[str, Any], body: Skeleton) -> np.ndarray:
    """Keypoints (K, 3) of an annotation, or (23, 3) where COCO-WholeBody's feet are given.

    Raises:
        RecordError: if they are of another number, no numbers, or normalised.
    """
    if body is not _COCO17:
        return to_triplets(record["keypoints"], {len(body): body})
    points = to_triplets(record["keypoints"], {17: 0, 23: 0, 133: 0})[:23]
    if len(points) == 17 and record.get("foot_kpts"):
        points = np.concatenate([points, to_triplets(record["foot_kpts"], {6: 0}, "foot_kpts")])
    return points


def _with_feet(out: Collector, body: Skeleton) -> Skeleton:
    longest = max((len(p.keypoints) for rows in out.people.values() for p in rows), default=0)
    return _COCO23 if body is _COCO17 and longest == len(_COCO23) else body


def read_coco_results(out: Collector, records: list[Any]) -> KeypointFile:
    """Results: a flat list, which names images by their id only."""
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
            person = Person(
                coco_points(record, _COCO17), str(record.get("id", i)), to_box(record.get("bbox"))
            )
            out.add(str(record["image_id"]), person)
        except RecordError as error:
            out.skip(str(error), f"result {i}")
    return out.finish("COCO results", _with_feet(out, _COCO17))
