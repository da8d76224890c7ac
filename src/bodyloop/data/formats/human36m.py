"""Human3.6M as Moon et al. parsed it: COCO-like images and boxes, cameras, 3D joints, and NeuralAnnot's parameters.

``Human36M_subject{1,5,6,7,8,9,11}_{data,camera,joint_3d}.json`` and ``..._SMPL_NeuralAnnot.json``, as
Hand4Whole_RELEASE's loader reads them.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body import BodyModel, get_skeleton
from bodyloop.data.formats.columns import BodyColumn, JointColumn, is_lens, is_rotation
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally, json_head, read_json
from bodyloop.data.formats.neuralannot import smpl_parameters
from bodyloop.data.record import BodyLabel, Record, RecordSet
from bodyloop.errors import InputError
from bodyloop.evidence.json_files import RecordError, to_box, to_numbers, to_size
from bodyloop.geometry import Camera

WHAT = "Human36M_subjectN_data.json with its _camera.json and _joint_3d.json beside it"
MILLIMETRES = 1e-3


@dataclass(frozen=True, eq=False)
class _View:
    """A camera: X_camera = rotation X_world + translation, metres; focal and center in pixels."""

    rotation: np.ndarray
    translation: np.ndarray
    focal: np.ndarray
    center: np.ndarray


@dataclass(frozen=True, eq=False)
class _Rows:
    name: str
    records: list[Record]
    views: list[_View]
    joints: JointColumn
    bodies: BodyColumn
    pelvis: np.ndarray | None

    def __call__(self, row: int) -> Record:
        record, view = self.records[row], self.views[row]
        camera = Camera(
            torch.from_numpy(view.focal).float(), torch.from_numpy(view.center).float(), record.size or (1, 1)
        )
        return replace(
            record, camera=camera, joints=self.joints.at(row), body=self._body(row), gender="neutral"
        )

    def _body(self, row: int) -> BodyLabel | None:
        """Parameters in camera axes; the place only with the rest pelvis, about which the root turns."""
        label, view = self.bodies.at(row), self.views[row]
        if label is None:
            return None
        turn = torch.from_numpy(view.rotation).float()
        if self.pelvis is None:
            return BodyLabel(label.bodies.turned(turn, torch.zeros(3)), "camera", True, False)
        pelvis = torch.from_numpy(self.pelvis[row]).float()
        bodies = label.bodies.turned(turn, pelvis)
        place = bodies.translation + torch.from_numpy(view.translation).float()
        return BodyLabel(replace(bodies, translation=place), "camera")


def read_human36m(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of a Human3.6M subject: every view of every frame that the data file lists.

    Joints and cameras come from the files beside it, in millimetres; SMPL parameters from ``spec.annotations``, a
    ``..._SMPL_NeuralAnnot.json`` in metres, or from the file of that name beside it, if there is one. Their
    translation needs SMPL's body (``spec.body``).

    Raises:
        InputError: a file is missing, or nothing can be used.
    """
    tally, path = Tally(), spec.path
    base = path.name.removesuffix("_data.json")
    cameras = _cameras(path.with_name(f"{base}_camera.json"))
    joints = read_json(path.with_name(f"{base}_joint_3d.json"), WHAT)
    fits = _fits(spec, path.with_name(f"{base}_SMPL_NeuralAnnot.json"))
    data = content.json
    known = {str(i.get("id")): i for i in data["images"] if isinstance(i, dict)}
    records, views, points, poses, betas, places, fitted = [], [], [], [], [], [], []
    for entry in data["annotations"]:
        where = f"annotation {entry.get('id') if isinstance(entry, dict) else entry!r}"
        try:
            image, record = _record(entry, known, spec)
            view = cameras.get(str(image.get("cam_idx")))
            if view is None:
                raise RecordError("'cam_idx' names no camera")
            step = [str(image.get(k)) for k in ("action_idx", "subaction_idx", "frame_idx")]
            world = to_numbers(_entry(joints, step), "3D joints")
            if world.size != 51:
                raise RecordError("3D joints must be 17 x 3 numbers")
            fit = None if fits is None else _entry(fits, step)
            pose, shape, place = (
                (np.zeros(72), np.zeros(10), np.zeros(3)) if fit is None else smpl_parameters(fit)
            )
        except RecordError as error:
            tally.drop(str(error), where)
            continue
        records.append(record)
        views.append(view)
        with np.errstate(all="ignore"):  # what is not finite is found when all are cleaned
            points.append(world.reshape(17, 3) * MILLIMETRES @ view.rotation.T + view.translation)
        poses.append(pose)
        betas.append(shape)
        places.append(place)
        fitted.append(fit is not None)
    if not records:
        tally.settle(spec, WHAT, 0)
    known_points = np.concatenate([np.stack(points), np.ones((len(points), 17, 1))], -1)
    column = JointColumn.clean(get_skeleton("h36m17_moon"), known_points, "camera", tally)
    shapes = np.stack(betas)
    bodies = BodyColumn.clean(np.stack(poses), shapes, np.stack(places), np.array(fitted), tally)
    rows = _Rows(spec.label, records, views, column, bodies, rest_pelves(spec.body, shapes))
    kept = np.arange(len(records))
    return RecordSet(spec.label, path, rows, kept, tally.settle(spec, WHAT, len(kept)))


def rest_pelves(body: BodyModel | None, betas: np.ndarray) -> np.ndarray | None:
    """Rest pelvis (N, 3) of shapes (N, 10); None without a body."""
    if body is None:
        return None
    with torch.no_grad():
        pelves: np.ndarray = body.rest_pelvis(torch.from_numpy(betas).to(body.v_template)).cpu().numpy()
    return pelves


def _record(entry: Any, known: dict[str, Any], spec: DatasetSpec) -> tuple[dict[str, Any], Record]:
    image = known.get(str(entry.get("image_id"))) if isinstance(entry, dict) else None
    if image is None or not isinstance(image.get("file_name"), str):
        raise RecordError("'image_id' names no image of the file")
    box = to_box(entry.get("bbox"))
    if box is None:
        raise RecordError("'bbox' must be four numbers x, y, w, h with w and h above 0")
    folder = spec.images or spec.path.parent.parent / "images"
    size = to_size(image)
    if size is None:
        raise RecordError("the image has no 'width' and 'height'")
    return image, Record(
        spec.label, str(entry.get("id")), folder / image["file_name"], size, (box[0], box[1], box[2], box[3])
    )


def _entry(data: Any, step: list[str]) -> Any:
    """Value at three nested keys; None if it is not there."""
    for key in step:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _cameras(path: Path) -> dict[str, _View]:
    """Cameras by number; the file has millimetres.

    Raises:
        InputError: a missing file, or no camera in it that can be used.
    """
    data, found = read_json(path, WHAT), {}
    for key, value in data.items() if isinstance(data, dict) else ():
        try:
            if not isinstance(value, dict):
                raise RecordError("no object")
            r, t, f, c = (to_numbers(value.get(k), f"'{k}'") for k in ("R", "t", "f", "c"))
            sizes = r.size, t.size, f.size, c.size
            if sizes != (9, 3, 2, 2) or not is_lens(f, c) or not (np.abs(t) < 1e6).all():
                raise RecordError("wrong sizes")
            if not is_rotation(r.reshape(3, 3)):
                raise RecordError("no rotation")
        except RecordError:
            continue
        found[str(key)] = _View(r.reshape(3, 3), t * MILLIMETRES, f, c)
    if not found:
        raise InputError(f"{path}: expected cameras with R 3 x 3, t 3, f 2, c 2, got none; download it again")
    return found


def _fits(spec: DatasetSpec, beside: Path) -> Any:
    """NeuralAnnot's parameters; None if there are none."""
    path = spec.annotations or (beside if beside.exists() else None)
    return None if path is None else read_json(path, "NeuralAnnot's SMPL parameters of Human3.6M")


def _tells(content: Content) -> bool:
    if not content.is_json or not isinstance(content.json, dict):
        return False
    images = content.json.get("images")
    first = json_head(images)
    return (
        isinstance(content.json.get("annotations"), list)
        and isinstance(images, list)
        and isinstance(first, dict)
        and {"cam_idx", "action_idx", "subaction_idx", "frame_idx"} <= first.keys()
    )


HUMAN36M = Format("human36m", WHAT, _tells, read_human36m)
