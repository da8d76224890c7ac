"""3DPW: pickled sequences with cameras, SMPL poses and OpenPose detections of one or two people.

von Marcard, Henschel, Black, Rosenhahn, Pons-Moll, "Recovering Accurate 3D Human Pose in The Wild Using IMUs and a
Moving Camera", 2018; keys and shapes as its readme and SPIN's and mmhuman3d's readers have them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body import SMPL_JOINTS, get_skeleton
from bodyloop.data.formats.columns import (
    BodyColumn,
    JointColumn,
    KeypointColumn,
    boxes_around,
    good_boxes,
    is_lens,
    is_rotation,
    to_gender,
)
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally, load_pickle
from bodyloop.data.record import Record, RecordSet
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, axis_angle_to_rotmat, rotmat_to_axis_angle

WHAT = "3DPW sequences (sequenceFiles/SPLIT/NAME.pkl)"
FOLDER = "imageFiles"


@dataclass(frozen=True, eq=False)
class _Actor:
    """One person of one sequence: N frames."""

    name: str
    gender: object
    images: Path
    camera: Camera
    good: np.ndarray
    keypoints: KeypointColumn
    joints: JointColumn
    bodies: BodyColumn
    boxes: np.ndarray

    def record(self, dataset: str, frame: int) -> Record:
        x0, y0, x1, y1 = self.boxes[frame].tolist()
        return Record(
            dataset,
            f"{self.name}/{frame}",
            self.images / f"image_{frame:05d}.jpg",
            box=(x0, y0, x1, y1),
            keypoints=self.keypoints.at(frame),
            joints=self.joints.at(frame),
            body=self.bodies.at(frame),
            gender=to_gender(self.gender),
            camera=self.camera,
        )


@dataclass(frozen=True, eq=False)
class _Rows:
    name: str
    actors: list[_Actor]
    who: np.ndarray
    frame: np.ndarray

    def __call__(self, row: int) -> Record:
        return self.actors[self.who[row]].record(self.name, int(self.frame[row]))


def read_pw3d(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of a 3DPW sequence, or of all under a folder; one for each actor and frame whose camera is valid.

    Everything is brought from the world's axes to the camera's. SMPL's translation stays exact without SMPL's body:
    the file's ``jointPositions`` tell where the rest pelvis is. Joints are absolute. Frames in which OpenPose found
    less than 6 joints have no 2D keypoints; their boxes come from the projected joints. ``img_frame_ids`` belongs to
    the 60 Hz poses and is not needed for those that go with the images.

    Raises:
        InputError: no sequence can be used.
    """
    tally, actors = Tally(), []
    root = spec.path / "sequenceFiles" if (spec.path / "sequenceFiles").is_dir() else spec.path
    root = root / spec.split if spec.split and (root / spec.split).is_dir() else root
    for path in sorted(root.rglob("*.pkl")) if root.is_dir() else [root]:
        try:
            actors += _actors(path, load_pickle(path, WHAT), spec, tally)
        except InputError as error:
            tally.drop(str(error).partition(": ")[2] or str(error), path.name)
    invalid = sum(int((~actor.good).sum()) for actor in actors)
    if invalid:
        tally.add("frame without a valid camera or box", "campose_valid", invalid)
    who = np.repeat(np.arange(len(actors)), [len(actor.good) for actor in actors])
    frame = np.concatenate([np.arange(len(actor.good)) for actor in actors] or [np.zeros(0, int)])
    good = np.flatnonzero(np.concatenate([actor.good for actor in actors] or [np.zeros(0, bool)]))
    rows = _Rows(spec.label, actors, who, frame)
    return RecordSet(spec.label, spec.path, rows, good, tally.settle(spec, WHAT, len(good)))


def _image_folder(path: Path, sequence: str, spec: DatasetSpec) -> Path:
    """``imageFiles/SEQUENCE`` beside ``sequenceFiles``, or in the folder that was given."""
    if spec.images is not None:
        return spec.images / sequence
    above = [p for p in path.resolve().parents if (p / FOLDER).is_dir()]
    return (above[0] if above else path.parent) / FOLDER / sequence


def _actors(path: Path, data: Any, spec: DatasetSpec, tally: Tally) -> list[_Actor]:
    """The people of a sequence.

    Raises:
        InputError: if it is no such sequence.
    """
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a dict of 3DPW's keys, got {type(data).__name__}")
    sequence = str(data.get("sequence", path.stem))
    extrinsics = _numbers(data, "cam_poses", path, None, 4, 4)
    intrinsics = _numbers(data, "cam_intrinsics", path, 3, 3)
    poses = data.get("poses")
    if not isinstance(poses, list) or not poses:
        raise InputError(f"{path}: no list 'poses' of people")
    genders = data.get("genders", data.get("gender", [""] * len(poses)))
    focal, center = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2]
    if not is_lens(focal, center):
        raise InputError(f"{path}: 'cam_intrinsics' that are no camera's")
    # The file does not tell the image's size; the principal point is in its middle.
    width, height = (max(1, round(2 * c)) for c in center.tolist())
    camera = Camera(torch.from_numpy(focal).float(), torch.from_numpy(center).float(), (width, height))
    images = _image_folder(path, sequence, spec)
    keys = ("poses", "trans", "betas", "jointPositions", "poses2d", "campose_valid")
    found = []
    for person in range(len(poses)):
        one = {key: _person(data, key, person) for key in keys}
        gender = _person({"gender": genders}, "gender", person)
        scene = _Scene(path, f"{sequence}/{person}", images, extrinsics, camera)
        try:
            found.append(_actor(scene, one, gender, tally))
        except InputError as error:
            tally.drop(str(error).partition(": ")[2] or str(error), f"{path.name}, person {person}")
    return found


@dataclass(frozen=True, eq=False)
class _Scene:
    """What the people of a sequence share, and the name of one of them."""

    path: Path
    name: str
    images: Path
    extrinsics: np.ndarray
    camera: Camera


def _actor(scene: _Scene, one: dict[str, Any], gender: object, tally: Tally) -> _Actor:
    path, camera, extrinsics = scene.path, scene.camera, scene.extrinsics
    frames = len(extrinsics)
    pose = _numbers(one, "poses", path, frames, 72)
    trans = _numbers(one, "trans", path, frames, 3)
    betas = _numbers({"betas": np.ravel(np.asarray(one["betas"]))}, "betas", path, None)
    joints = _numbers(one, "jointPositions", path, frames, 72).reshape(frames, 24, 3)
    detected = _numbers(one, "poses2d", path, frames, 3, 18).transpose(0, 2, 1)
    valid = _numbers(one, "campose_valid", path, frames) > 0
    if len(betas) < 10:
        raise InputError(f"{path}: 'betas' with less than 10 numbers")
    turn, shift = extrinsics[:, :3, :3], extrinsics[:, :3, 3]
    valid &= is_rotation(turn)
    seen = np.einsum("fij,fkj->fki", turn, joints) + shift[:, None]
    root = torch.from_numpy(turn) @ axis_angle_to_rotmat(torch.from_numpy(pose[:, :3]))
    pose = np.concatenate([rotmat_to_axis_angle(root).numpy(), pose[:, 3:]], 1)
    rest = joints[:, SMPL_JOINTS.index("pelvis")] - trans  # the root turns about it, so that it never moves
    place = seen[:, SMPL_JOINTS.index("pelvis")] - rest
    keypoints = KeypointColumn.clean(get_skeleton("openpose18"), detected, tally, True)
    column = JointColumn.clean(
        get_skeleton("smpl24"), np.concatenate([seen, np.ones((frames, 24, 1))], -1), "camera", tally
    )
    boxes = boxes_around(keypoints.values)
    with np.errstate(all="ignore"):
        projected = camera.project(torch.from_numpy(column.values[..., :3])).numpy()
    behind = (column.values[..., 2] <= 0).any(1)
    around = boxes_around(np.concatenate([projected, column.values[..., 3:]], -1))
    boxes = np.where(
        np.isfinite(boxes).all(1, keepdims=True), boxes, np.where(behind[:, None], np.nan, around)
    )
    shape = np.repeat(betas[None, :10], frames, 0)
    bodies = BodyColumn.clean(pose, shape, place, valid, tally)
    good = valid & good_boxes(boxes)
    return _Actor(scene.name, gender, scene.images, camera, good, keypoints, column, bodies, boxes)


def _person(data: dict[str, Any], key: str, person: int) -> Any:
    """One person's entry of a list; None if there is none."""
    values = data.get(key)
    return values[person] if isinstance(values, list | np.ndarray) and person < len(values) else None


def _numbers(data: dict[str, Any], key: str, path: Path, *shape: int | None) -> np.ndarray:
    """Float64 array of a shape.

    Raises:
        InputError: if it is missing or another.
    """
    try:
        with np.errstate(all="ignore"):
            array = np.asarray(data.get(key), dtype=np.float64)
    except (TypeError, ValueError):
        array = np.zeros(())
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if data.get(key) is None or not fits:
        want = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        got = "none" if data.get(key) is None else str(array.shape)
        raise InputError(f"{path}: expected numbers {key!r} of shape {want}, got {got}")
    return array


def _tells(content: Content) -> bool:
    keys = {"cam_poses", "campose_valid", "cam_intrinsics"}
    if content.is_folder:
        if (content.path / "sequenceFiles").is_dir():
            return True
        first = next(iter(sorted(content.path.rglob("*.pkl"))), None)
        return first is not None and keys <= Content(first).pickled_text
    return keys <= content.pickled_text


PW3D = Format("3dpw", WHAT, _tells, read_pw3d)
