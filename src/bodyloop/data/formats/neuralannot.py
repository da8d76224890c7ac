"""NeuralAnnot's and Moon et al.'s JSON: SMPL pseudo-labels beside COCO-like annotations, and multi-view ones.

Moon, Choi, Lee, "NeuralAnnot: Neural Annotator for 3D Human Mesh Training Sets", 2022; Moon, Choi, Chun, Lee, Yun,
"Three Recipes for Better 3D Pseudo-GTs of 3D Human Mesh Estimation in the Wild", 2023. Layouts as the demos and
loaders of NeuralAnnot_RELEASE and Hand4Whole_RELEASE have them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from bodyloop.data.formats.coco import coco_people
from bodyloop.data.formats.columns import BodyColumn, is_lens, to_gender
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally, json_head
from bodyloop.data.record import Record, RecordSet
from bodyloop.errors import InputError
from bodyloop.evidence.json_files import RecordError, describe, to_box, to_numbers, to_size
from bodyloop.geometry import Camera

WHAT = 'NeuralAnnot\'s SMPL parameters {"ANNOTATION ID": {"smpl_param": ..., "cam_param": ...}}'
WORLD_WHAT = "NeuralAnnot's SMPL parameters of several views (ids of three levels)"
COCO_WHAT = 'COCO-like annotations with "smpl_param"'

Parameters = tuple[np.ndarray, np.ndarray, np.ndarray]


def smpl_parameters(value: Any) -> Parameters:
    """Pose (72,), betas (10,), translation (3,) of a ``smpl_param``.

    Raises:
        RecordError: if one is missing or of another length.
    """
    if not isinstance(value, dict):
        raise RecordError(f"'smpl_param' must be an object, got {describe(value)}")
    found = []
    for key, size in (("pose", 72), ("shape", 10), ("trans", 3)):
        numbers = to_numbers(value.get(key), f"'{key}'")
        if len(numbers) != size or not np.isfinite(numbers).all():
            raise RecordError(f"'{key}' must be {size} finite numbers, got {len(numbers)}")
        found.append(numbers)
    return found[0], found[1], found[2]


def camera_parameters(value: Any) -> np.ndarray:
    """(4,) fx, fy, cx, cy of a ``cam_param``.

    Raises:
        RecordError: if it is none.
    """
    if not isinstance(value, dict):
        raise RecordError(f"'cam_param' must be an object, got {describe(value)}")
    numbers = [to_numbers(value.get(key), f"'{key}'") for key in ("focal", "princpt")]
    if not is_lens(*numbers):
        raise RecordError(
            "'cam_param' needs two focal lengths above 0 and two coordinates of the principal point"
        )
    return np.concatenate(numbers)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Parameters and cameras beside what the annotations say of the same people."""

    name: str
    ids: list[str]
    bodies: BodyColumn
    cameras: np.ndarray
    genders: list[object]
    records: list[Record]

    def __call__(self, row: int) -> Record:
        record = self.records[row]
        focal, center = torch.from_numpy(self.cameras[row].astype(np.float32)).split(2)
        size = record.size or (max(1, round(2 * float(center[0]))), max(1, round(2 * float(center[1]))))
        return replace(
            record,
            dataset=self.name,
            id=self.ids[row],
            body=self.bodies.at(row),
            camera=Camera(focal, center, size),
            gender=to_gender(self.genders[row]),
        )


class _Gathered:
    """Parameters gathered one by one."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.poses: list[np.ndarray] = []
        self.betas: list[np.ndarray] = []
        self.places: list[np.ndarray] = []
        self.cameras: list[np.ndarray] = []
        self.genders: list[object] = []
        self.records: list[Record] = []

    def add_body(self, key: str, parameters: Parameters) -> None:
        self.ids.append(key)
        for store, value in zip((self.poses, self.betas, self.places), parameters, strict=True):
            store.append(value)

    def add(
        self, key: str, parameters: Parameters, camera: np.ndarray, record: Record, gender: object
    ) -> None:
        self.add_body(key, parameters)
        self.cameras.append(camera)
        self.records.append(record)
        self.genders.append(gender)

    def column(self, tally: Tally, frame: Literal["camera", "world"] = "camera") -> BodyColumn:
        valid = np.ones(len(self.poses), bool)
        poses, betas, places = (np.stack(x) for x in (self.poses, self.betas, self.places))
        return BodyColumn.clean(poses, betas, places, valid, tally, frame)


def read_neuralannot(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of single-image NeuralAnnot files: parameters in camera axes, with the full image's camera.

    ``spec.annotations`` is the data set's own COCO-like file (``person_keypoints_train2017.json``, Moon's MPII
    ``train.json`` ...), which tells images, boxes and keypoints; without it the records have none.

    Raises:
        InputError: nothing can be used.
    """
    tally, found = Tally(), _Gathered()
    known = None if spec.annotations is None else _annotated(spec.annotations, spec)
    for key, value in content.json.items():
        try:
            if not isinstance(value, dict):
                raise RecordError(f"an entry must be an object, got {describe(value)}")
            pose, betas, place = smpl_parameters(value.get("smpl_param"))
            camera = camera_parameters(value.get("cam_param"))
            record = Record(spec.label, key) if known is None else known.get(key)
            if record is None:
                raise RecordError("the annotation file has no person of this id")
        except RecordError as error:
            tally.drop(str(error), f"id {key}")
            continue
        found.add(key, (pose, betas, place), camera, record, "neutral")
    return _finish(found, spec, tally, WHAT)


def _finish(found: _Gathered, spec: DatasetSpec, tally: Tally, what: str) -> RecordSet:
    if not found.ids:
        tally.settle(spec, what, 0)
    column = found.column(tally)
    rows = _Rows(spec.label, found.ids, column, np.stack(found.cameras), found.genders, found.records)
    kept = np.flatnonzero(column.valid)
    return RecordSet(spec.label, spec.path, rows, kept, tally.settle(spec, what, len(kept)))


def _annotated(path: Path, spec: DatasetSpec) -> dict[str, Record]:
    """Records of COCO-like annotations by annotation id: with keypoints where they have any, else with the box."""
    content = Content(path)
    images = spec.images or path.parent
    records = _boxed(content.json, images, spec.label)
    if not records:
        raise InputError(
            f"{path}: expected COCO annotations with 'images' and 'annotations', got none with boxes"
        )
    try:
        people, _, _ = coco_people(content, replace(spec, images=images))
    except InputError:  # boxes alone will do
        people = None
    labels = () if people is None else people.evidence.labels
    for row, label in enumerate(labels):
        assert people is not None, "labels are those of people"
        if label in records:
            records[label] = replace(records[label], keypoints=people(row).keypoints)
    return records


def _boxed(data: Any, images: Path, name: str) -> dict[str, Record]:
    """Records with image, size and box by annotation id."""
    lists = [data.get(k) if isinstance(data, dict) else None for k in ("images", "annotations")]
    if not all(isinstance(entries, list) for entries in lists):
        return {}
    known = {str(i.get("id")): i for i in lists[0] or [] if isinstance(i, dict) and i.get("file_name")}
    records = {}
    for entry in lists[1] or []:
        image = known.get(str(entry.get("image_id"))) if isinstance(entry, dict) else None
        box = None if image is None else to_box(entry.get("bbox"))
        if image is not None and box is not None:
            path = images / str(image.get("sequence", "")) / str(image["file_name"])
            records[str(entry.get("id"))] = Record(
                name, str(entry.get("id")), path, to_size(image), (box[0], box[1], box[2], box[3])
            )
    return records


def read_coco_with_smpl(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of Moon's own COCO-like files (3DPW): ``smpl_param`` in annotations, ``cam_param`` in images.

    Raises:
        InputError: nothing can be used.
    """
    tally, found = Tally(), _Gathered()
    records = _boxed(content.json, spec.image_folder(), spec.label)
    cameras = {str(i.get("id")): i.get("cam_param") for i in content.json["images"] if isinstance(i, dict)}
    for entry in content.json["annotations"]:
        key = str(entry.get("id")) if isinstance(entry, dict) else "?"
        try:
            if key not in records:
                raise RecordError("no image, or a box that is none")
            parameters = smpl_parameters(entry.get("smpl_param"))
            camera = camera_parameters(cameras.get(str(entry.get("image_id"))))
        except RecordError as error:
            tally.drop(str(error), f"annotation {key}")
            continue
        found.add(key, parameters, camera, records[key], entry["smpl_param"].get("gender", ""))
    return _finish(found, spec, tally, COCO_WHAT)


@dataclass(frozen=True, eq=False)
class _WorldRows:
    name: str
    ids: list[str]
    bodies: BodyColumn

    def __call__(self, row: int) -> Record:
        return Record(self.name, self.ids[row], body=self.bodies.at(row), gender="neutral")


def read_multiview(content: Content, spec: DatasetSpec) -> RecordSet:
    """Poses of multi-view NeuralAnnot files (Human3.6M, MPI-INF-3DHP): in the world's axes, without images.

    The ids are the file's three levels, e.g. action/subaction/frame. For Human3.6M's images and cameras give the file
    as ``annotations`` of a ``Human36M_subjectN_data.json`` instead (format "human36m").

    Raises:
        InputError: nothing can be used.
    """
    tally, found = Tally(), _Gathered()
    for key, value in walk(content.json):
        try:
            pose, betas, place = smpl_parameters(value)
        except RecordError as error:
            tally.drop(str(error), key)
            continue
        found.add_body(key, (pose, betas, place))
    if not found.ids:
        tally.settle(spec, WORLD_WHAT, 0)
    column = found.column(tally, "world")
    kept = np.flatnonzero(column.valid)
    rows = _WorldRows(spec.label, found.ids, column)
    return RecordSet(spec.label, spec.path, rows, kept, tally.settle(spec, WORLD_WHAT, len(kept)))


def walk(data: Any) -> Iterator[tuple[str, Any]]:
    """Entries of three nested objects with ids like "2/1/0"."""
    for first, middle in data.items() if isinstance(data, dict) else ():
        for second, inner in middle.items() if isinstance(middle, dict) else ():
            for third, value in inner.items() if isinstance(inner, dict) else ():
                yield f"{first}/{second}/{third}", value


def _tells(content: Content) -> bool:
    first = json_head(content.json) if content.is_json and isinstance(content.json, dict) else None
    return isinstance(first, dict) and "smpl_param" in first


def _tells_multiview(content: Content) -> bool:
    if not content.is_json or not isinstance(content.json, dict):
        return False
    _, value = next(walk(content.json), ("", None))
    return isinstance(value, dict) and {"pose", "shape", "trans"} <= value.keys()


def _tells_coco(content: Content) -> bool:
    if not content.is_json or not isinstance(content.json, dict):
        return False
    lists = [content.json.get(key) for key in ("images", "annotations")]
    if not all(isinstance(entries, list) for entries in lists):
        return False
    first = json_head(lists[1])
    return isinstance(first, dict) and "smpl_param" in first


NEURALANNOT = Format("neuralannot", WHAT, _tells, read_neuralannot)
MULTIVIEW = Format("neuralannot-multiview", WORLD_WHAT, _tells_multiview, read_multiview)
COCO_SMPL = Format("coco-smpl", COCO_WHAT, _tells_coco, read_coco_with_smpl)
