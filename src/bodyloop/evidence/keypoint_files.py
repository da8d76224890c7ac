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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bodyloop.body import SKELETONS
from bodyloop.errors import InputError
from bodyloop.evidence.coco_files import read_coco, read_coco_results
from bodyloop.evidence.evidence import Evidence
from bodyloop.evidence.json_files import RecordError, describe, parse_json, read_text, to_box, to_size
from bodyloop.evidence.keypoint_records import EXPECTED, Collector, KeypointFile, Person, Sizes, to_triplets
from bodyloop.evidence.mediapipe_files import has_landmarks, read_mediapipe
from bodyloop.evidence.openpose_files import read_openpose
from bodyloop.evidence.photos import natural_key

__all__ = ["EXPECTED", "OWN_FORMAT", "KeypointFile", "read_keypoints", "write_keypoints"]

OWN_FORMAT = "bodyloop-keypoints"


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
    out = Collector(path)
    if isinstance(data, dict):
        if data.get("format") == OWN_FORMAT or "skeleton" in data:
            return _read_own(out, data)
        if "annotations" in data and "images" in data:
            return read_coco(out, data)
        if "people" in data:
            return read_openpose(out, data)
    if isinstance(data, list) and any(isinstance(r, dict) and "image_id" in r for r in data[:100]):
        return read_coco_results(out, data)
    if has_landmarks(data):
        return read_mediapipe(out, data, sizes)
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


def _read_own(out: Collector, data: dict[str, Any]) -> KeypointFile:
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
                points = to_triplets(person.get("keypoints"), {len(skeleton): skeleton})
                out.add(image, Person(points, str(person.get("label", i)), to_box(person.get("box"))))
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
