"""SURREAL: ``_info.mat`` files, one for each clip of rendered people.

Varol, Romero, Martin, Mahmood, Black, Laptev, Schmid, "Learning from Synthetic Humans", 2017; the geometry as its
``datageneration/misc/smpl_relations/smpl_relations.py`` has it.

Its camera matrix is a reflection (determinant -1), so that the pictures show people as a mirror does: what the files
call the left hand is a right hand to whoever sees it. The records hold the person that is seen: sides are
exchanged in 2D and 3D joints and in part maps, and poses are mirrored.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.body import SMPL_FLIP, Bodies, get_skeleton
from bodyloop.body.matlab import load_mat
from bodyloop.data.formats.columns import BodyColumn, JointColumn, KeypointColumn, boxes_around, good_boxes
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally
from bodyloop.data.formats.human36m import rest_pelves
from bodyloop.data.part_maps import MatFrame
from bodyloop.data.record import Record, RecordSet
from bodyloop.errors import InputError
from bodyloop.geometry import Camera

WHAT = "SURREAL's CLIP_info.mat, or a folder of them"
SIZE = (320, 240)
FOCAL, CENTER = 600.0, (160.0, 120.0)
"""Pixels: 60 mm on a sensor 32 mm wide."""
WORLD_TO_CAMERA = np.diag([1.0, -1.0, -1.0]) @ np.array([[0.0, 0, 1], [0, -1, 0], [-1, 0, 0]]).T
"""(3, 3), the same for all clips: a reflection."""
KEYS = ("pose", "shape", "joints2D", "joints3D", "zrot", "gender", "camLoc")
_MIRROR = np.diag([-1.0, 1.0, 1.0])
_UPRIGHT = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
"""From the poses' z up to the world, whose y points down."""


@dataclass(frozen=True, eq=False)
class _Clip:
    """One clip of T frames."""

    stem: Path
    frames: Path | None
    keypoints: KeypointColumn
    joints: JointColumn
    bodies: BodyColumn
    female: np.ndarray
    boxes: np.ndarray

    def record(self, dataset: str, frame: int, has_parts: bool) -> Record:
        x0, y0, x1, y1 = self.boxes[frame].tolist()
        image = None if self.frames is None else self.frames / f"frame_{frame:06d}.jpg"
        camera = Camera(torch.tensor([FOCAL, FOCAL]), torch.tensor(CENTER), SIZE)
        parts = MatFrame(self.stem.with_name(f"{self.stem.name}_segm.mat"), f"segm_{frame + 1}", "smpl", True)
        return Record(
            dataset,
            f"{self.stem.name}/{frame}",
            image,
            SIZE,
            (x0, y0, x1, y1),
            self.keypoints.at(frame),
            self.joints.at(frame),
            self.bodies.at(frame),
            "female" if self.female[frame] else "male",
            camera,
            parts=parts if has_parts else None,
        )


@dataclass(frozen=True, eq=False)
class _Rows:
    name: str
    clips: list[_Clip]
    has_parts: list[bool]
    clip: np.ndarray
    frame: np.ndarray

    def __call__(self, row: int) -> Record:
        number = int(self.clip[row])
        return self.clips[number].record(self.name, int(self.frame[row]), self.has_parts[number])


def read_surreal(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of SURREAL clips, one a frame. Part maps are read where ``_segm.mat`` lies beside.

    The pictures are frames of ``CLIP.mp4``, which is not decoded here: extract them, from 0 on, to
    ``CLIP_frames/frame_%06d.jpg`` beside it, or to ``spec.images / CLIP_frames``. Without that folder the records have
    no image. SMPL's translation needs SMPL's body (``spec.body``); the joints are absolute in any case.

    Raises:
        InputError: no clip can be used.
    """
    tally, clips = Tally(), []
    for path in content.files("*_info.mat"):
        try:
            clips.append(_clip(path, spec, tally))
        except InputError as error:
            tally.drop(str(error).partition(": ")[2] or str(error), path.name)
    clip = np.repeat(np.arange(len(clips)), [len(c.boxes) for c in clips])
    frame = np.concatenate([np.arange(len(c.boxes)) for c in clips] or [np.zeros(0, int)])
    good = np.concatenate([good_boxes(c.boxes) for c in clips] or [np.zeros(0, bool)])
    tally.drop_rows(~good, "joints that span no box")
    has_parts = [c.stem.with_name(f"{c.stem.name}_segm.mat").exists() for c in clips]
    rows = _Rows(spec.label, clips, has_parts, clip, frame)
    kept = np.flatnonzero(good)
    return RecordSet(spec.label, spec.path, rows, kept, tally.settle(spec, WHAT, len(kept)))


def _clip(path: Path, spec: DatasetSpec, tally: Tally) -> _Clip:
    """One clip.

    Raises:
        InputError: if the file is damaged or another.
    """
    info = load_mat(path, f"expected {WHAT}", KEYS)
    pose = _numbers(info, "pose", path, 72)  # with one frame, MATLAB drops the last axis
    count = pose.shape[1]
    shape, zrot = _numbers(info, "shape", path, 10), _numbers(info, "zrot", path, 1).ravel()
    flat = _numbers(info, "joints2D", path, 2, 24).transpose(2, 1, 0)
    world = _numbers(info, "joints3D", path, 3, 24).transpose(2, 1, 0)
    place, female = _numbers(info, "camLoc", path, 3).ravel(), _numbers(info, "gender", path, 1).ravel() == 0
    if not count or {len(flat), len(world)} != {count} or place.size != 3:
        raise InputError(
            f"{path}: expected {count} frames of 'joints2D' and 'joints3D' and one 'camLoc', got {len(flat)}, "
            f"{len(world)} and {place.size / 3:g}"
        )
    if {shape.shape[1], zrot.size, female.size} - {1, count}:
        raise InputError(f"{path}: expected {count} frames, or one for all, of 'shape', 'zrot' and 'gender'")
    shape, zrot, female = (np.broadcast_to(x, (*x.shape[:-1], count)).copy() for x in (shape, zrot, female))
    with np.errstate(all="ignore"):  # what is not finite is found when all are cleaned
        points = ((world - place) @ WORLD_TO_CAMERA.T)[:, SMPL_FLIP]
    one = np.ones((count, 24, 1))
    keypoints = KeypointColumn.clean(
        get_skeleton("smpl24"), np.concatenate([flat[:, SMPL_FLIP], one], -1), tally
    )
    joints = JointColumn.clean(get_skeleton("smpl24"), np.concatenate([points, one], -1), "camera", tally)
    rotations = _seen_rotations(pose.T, zrot)
    pelves = rest_pelves(spec.body, shape.T)
    trans = None if pelves is None else points[:, 0] - pelves
    bodies = BodyColumn.clean(rotations, shape.T, trans, np.ones(count, bool), tally)
    stem = path.with_name(path.name.removesuffix("_info.mat"))
    frames = (spec.images or stem.parent) / f"{stem.name}_frames"
    return _Clip(
        stem,
        frames if frames.is_dir() else None,
        keypoints,
        joints,
        bodies,
        female,
        boxes_around(keypoints.values),
    )


def _seen_rotations(pose: np.ndarray, zrot: np.ndarray) -> np.ndarray:
    """Poses (T, 72), axis-angle in camera axes, of the people that the pictures show.

    Args:
        pose: (T, 72) as in the file.
        zrot: (T,) radians by which the person is turned about the vertical.
    """
    bodies = Bodies.from_smpl(torch.from_numpy(pose))
    c, s = np.cos(zrot), np.sin(zrot)
    turned = np.zeros((len(pose), 3, 3))
    turned[:, 0, 0], turned[:, 0, 1], turned[:, 1, 0], turned[:, 1, 1], turned[:, 2, 2] = c, -s, s, c, 1
    root = torch.from_numpy(_UPRIGHT @ turned) @ bodies.rotations[:, 0]
    world = Bodies(
        torch.cat([root[:, None], bodies.rotations[:, 1:]], 1), bodies.betas, bodies.translation
    ).mirrored()
    seen: np.ndarray = world.turned(
        torch.from_numpy(WORLD_TO_CAMERA @ _MIRROR), torch.zeros(3).double()
    ).pose.numpy()
    return seen


def _numbers(info: Any, key: str, path: Path, *shape: int) -> np.ndarray:
    """Float64 array of a shape with a last axis for frames.

    Raises:
        InputError: if it is missing or another.
    """
    try:
        with np.errstate(all="ignore"):
            array = np.asarray(info[key], dtype=np.float64)
        return array.reshape(*shape, -1)
    except (KeyError, TypeError, ValueError):
        want = ", ".join(map(str, shape))
        raise InputError(f"{path}: expected numbers {key!r} of shape ({want}, frames), got none") from None


def _tells(content: Content) -> bool:
    if content.is_folder:
        return next(content.path.rglob("*_info.mat"), None) is not None
    return content.is_mat and content.path.name.endswith("_info.mat")


SURREAL = Format("surreal", WHAT, _tells, read_surreal)
