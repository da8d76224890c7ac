"""mmhuman3d's HumanData ``.npz``: one layout into which its converters bring many data sets.

mmhuman3d ``docs/human_data.md``, ``core/conventions/keypoints_mapping/human_data.py`` (the order of its 190
keypoints), and its converters.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from bodyloop.body import SMPL_JOINTS
from bodyloop.body.skeletons import OPENPOSE25, UNION45
from bodyloop.data.formats.columns import (
    BodyColumn,
    JointColumn,
    KeypointColumn,
    good_boxes,
    is_lens,
    to_gender,
)
from bodyloop.data.formats.format import (
    Content,
    DatasetSpec,
    Format,
    Tally,
    number_column,
    read_arrays,
    text_column,
)
from bodyloop.data.record import Record, RecordSet
from bodyloop.errors import InputError
from bodyloop.geometry import Camera

WHAT = "a HumanData .npz with 'image_path'"
COUNT = 190
"""Keypoints of a HumanData file."""
_KINDS = ("", "_original", "_smpl", "_smplx")
_LABELS = [f"keypoints{d}d{kind}" for d in (2, 3) for kind in _KINDS]
KEYS = (
    "image_path", "bbox_xywh", "smpl", "smplx", "has_smpl", "meta", "misc", "cam_param", "frame_range",
    "__keypoints_compressed__", *_LABELS, *(f"{label}_mask" for label in _LABELS),
)  # fmt: skip

_TOES = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
RUNS: tuple[tuple[int, tuple[str, ...]], ...] = (
    (0, SMPL_JOINTS[:22]),
    (55, ("nose", "right_eye", "left_eye", "right_ear", "left_ear", *_TOES)),
    (144, ("right_hip_extra", "left_hip_extra", "neck_extra", "headtop", "pelvis_extra", "thorax_extra",
           "spine_extra", "jaw_extra", "head_extra")),
    (153, OPENPOSE25.keypoints),
    (188, ("left_hand", "right_hand")),
)  # fmt: skip
"""Where in the 190 landmarks lie that the union of skeletons has; the rest are fingers, the face, and points of
single data sets. OpenPose's are a second copy of most."""

FIRST_DETECTED, LAST_DETECTED = 153, 177


@dataclass(frozen=True, eq=False)
class _Rows:
    name: str
    images: Path
    paths: np.ndarray
    boxes: np.ndarray
    keypoints: KeypointColumn | None
    joints: JointColumn | None
    bodies: BodyColumn | None
    genders: np.ndarray | None
    sizes: np.ndarray | None
    lenses: np.ndarray | None

    def __call__(self, row: int) -> Record:
        x0, y0, x1, y1 = self.boxes[row].tolist()
        size = None
        if self.sizes is not None and (self.sizes[row] > 0).all():
            size = (int(self.sizes[row, 0]), int(self.sizes[row, 1]))
        return Record(
            self.name,
            str(row),
            self.images / self.paths[row].replace("\\", "/"),
            size,
            (x0, y0, x1, y1),
            None if self.keypoints is None else self.keypoints.at(row),
            None if self.joints is None else self.joints.at(row),
            None if self.bodies is None else self.bodies.at(row),
            None if self.genders is None else to_gender(self.genders[row]),
            self._camera(row, size),
        )

    def _camera(self, row: int, size: tuple[int, int] | None) -> Camera | None:
        if self.lenses is None or size is None or not is_lens(self.lenses[row, :2], self.lenses[row, 2:]):
            return None
        focal, center = torch.from_numpy(self.lenses[row].astype(np.float32)).split(2)
        return Camera(focal, center, size)


def read_human_data(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of a HumanData file.

    Of the 190 keypoints those of the union of skeletons are taken, OpenPose's copy of a landmark only where nothing
    else has it. Where there are several kinds, the first of
    ``keypoints2d``, ``..._original``, ``..._smpl`` and ``..._smplx`` is read. 3D keypoints count as absolute only where
    ``misc`` says that they are not aligned to the root. Of SMPL-X parameters only the pose of the 21 body joints
    is taken: shape and place belong to another body.

    Raises:
        InputError: refused objects, misshapen arrays, or nothing that can be used.
    """
    path, tally = spec.path, Tally()
    arrays = read_arrays(path, KEYS)
    names = text_column(arrays.get("image_path", ()))
    if names is None or not len(names):
        raise InputError(f"{path}: expected {WHAT}, got no names of images; convert the data set again")
    names = _per_person(names, arrays, path)
    count = len(names)
    corner = number_column(arrays, "bbox_xywh", path, count, None, what=WHAT)[:, :4].astype(np.float64)
    if corner.shape[1] != 4:
        raise InputError(
            f"{path}: expected 'bbox_xywh' of 4 or 5 columns, got {corner.shape[1]}; it is no {WHAT}"
        )
    boxes = np.concatenate([corner[:, :2], corner[:, :2] + corner[:, 2:]], 1)
    good = good_boxes(boxes)
    tally.drop_rows(~good, "a box that is none")
    misc = _dict(arrays, "misc")
    aligned = _flag(misc.get("kps3d_root_aligned"), True)
    sizes, lenses = _cameras(arrays, misc, count)
    rows = _Rows(
        spec.label,
        spec.image_folder(),
        names,
        boxes,
        _keypoints(arrays, path, count, tally),
        _joints(arrays, path, count, "root" if aligned else "camera", tally),
        _bodies(arrays, path, count, tally),
        _genders(arrays, count),
        sizes,
        lenses,
    )
    kept = np.flatnonzero(good)
    return RecordSet(spec.label, path, rows, kept, tally.settle(spec, WHAT, len(kept)))


def _dict(arrays: dict[str, Any], key: str) -> dict[str, Any]:
    value = arrays.get(key)
    return value if isinstance(value, dict) else {}


def _flag(value: Any, default: bool) -> bool:
    """A flag of one value; the default where it is none."""
    array = np.asarray(value)
    return bool(array.ravel()[0]) if array.size == 1 and array.dtype.kind in "biu" else default


def _per_person(names: np.ndarray, arrays: dict[str, Any], path: Path) -> np.ndarray:
    """Image of each person, where the file has several people an image (``frame_range``)."""
    if "frame_range" not in arrays:
        return names
    spans = number_column(arrays, "frame_range", path, len(names), 2, what=WHAT).astype(np.int64)
    return np.repeat(names, (spans[:, 1] - spans[:, 0]).clip(0, None))


def _expanded(arrays: dict[str, Any], label: str, path: Path, count: int, width: int) -> np.ndarray | None:
    """All 190 keypoints (N, 190, width), the unlabelled ones 0, of the first kind that is there."""
    key = next((label + kind for kind in _KINDS if label + kind in arrays), None)
    if key is None:
        return None
    mask = np.ones(COUNT, bool)
    if f"{key}_mask" in arrays:
        mask = number_column(arrays, f"{key}_mask", path, COUNT, what=WHAT) > 0
    values = number_column(arrays, key, path, count, None, width, what=WHAT).astype(np.float32)
    full = np.zeros((count, COUNT, width), np.float32)
    compressed = _flag(arrays.get("__keypoints_compressed__"), False)
    if compressed and values.shape[1] == mask.sum():
        full[:, mask] = values
    elif values.shape[1] == COUNT:
        full[:, mask] = values[:, mask]
    else:
        raise InputError(
            f"{path}: expected {COUNT} keypoints in {key!r}, or the {int(mask.sum())} of its mask in a compressed "
            f"file, got {values.shape[1]}; convert the data set again"
        )
    return full


def _to_union(full: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints (N, 45, D) of the union of skeletons, and (N, 45) whether they are OpenPose's.

    The last column is the confidence; of two copies of a landmark OpenPose's counts only where the other is missing.
    """
    values = np.zeros((len(full), len(UNION45), full.shape[2]), np.float32)
    detected = np.zeros(values.shape[:2], bool)
    for start, names in RUNS:
        for place, name in enumerate(names, start):
            to = UNION45.index(name)
            missing = ~(values[:, to, -1] > 0)
            values[missing, to] = full[missing, place]
            detected[missing, to] = FIRST_DETECTED <= place <= LAST_DETECTED
    return values, detected


def _keypoints(arrays: dict[str, Any], path: Path, count: int, tally: Tally) -> KeypointColumn | None:
    full = _expanded(arrays, "keypoints2d", path, count, 3)
    if full is None:
        return None
    values, detected = _to_union(full)
    return KeypointColumn.clean(UNION45, values, tally, detected)


def _joints(
    arrays: dict[str, Any], path: Path, count: int, frame: Literal["camera", "root"], tally: Tally
) -> JointColumn | None:
    full = _expanded(arrays, "keypoints3d", path, count, 4)
    return None if full is None else JointColumn.clean(UNION45, _to_union(full)[0], frame, tally)


def _bodies(arrays: dict[str, Any], path: Path, count: int, tally: Tally) -> BodyColumn | None:
    key, joints = ("smpl", 23) if isinstance(arrays.get("smpl"), dict) else ("smplx", 21)
    entry = arrays.get(key)
    if not isinstance(entry, dict) or not {"body_pose", "global_orient"} <= entry.keys():
        return None
    what = f"{WHAT}, {key!r}"
    parts = {
        k: np.asarray(v).reshape(count, -1)
        for k, v in entry.items()
        if np.size(v) and np.size(v) % count == 0
    }
    pose = number_column(parts, "body_pose", path, count, 3 * joints, what=what).astype(np.float32)
    root = number_column(parts, "global_orient", path, count, 3, what=what).astype(np.float32)
    hands = np.zeros((count, 3 * (23 - joints)), np.float32)
    betas = place = None
    if key == "smpl" and "betas" in parts:
        betas = number_column(parts, "betas", path, count, None, what=what)[:, :10]
    if key == "smpl" and "transl" in parts:
        place = number_column(parts, "transl", path, count, 3, what=what)
    if betas is not None and betas.shape[1] != 10:
        betas = None
    valid = np.ones(count, bool)
    if "has_smpl" in arrays:
        valid = (
            number_column({"has_smpl": np.ravel(arrays["has_smpl"])}, "has_smpl", path, count, what=WHAT) > 0
        )
    return BodyColumn.clean(np.concatenate([root, pose, hands], 1), betas, place, valid, tally)


def _genders(arrays: dict[str, Any], count: int) -> np.ndarray | None:
    """Words for genders; numbers, which differ between converters, are not believed."""
    values = text_column(_dict(arrays, "meta").get("gender", ()))
    return values if values is not None and len(values) == count else None


def _cameras(
    arrays: dict[str, Any], misc: dict[str, Any], count: int
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Sizes (N, 2) width, height, and lenses (N, 4) fx, fy, cx, cy, where the file tells them."""
    meta = _dict(arrays, "meta")
    height, width = (_rows_of(meta.get(key), count, 1) for key in ("height", "width"))
    shape = _rows_of(misc.get("image_shape"), count, 2)
    sizes = shape[:, ::-1] if shape is not None else None
    if sizes is None and width is not None and height is not None:
        sizes = np.concatenate([width, height], 1)
    focal, center = (
        _rows_of(misc.get("focal_length"), count, 2),
        _rows_of(misc.get("principal_point"), count, 2),
    )
    lenses = None if focal is None or center is None else np.concatenate([focal, center], 1)
    cameras = arrays.get("cam_param")
    if isinstance(cameras, np.ndarray | list) and len(cameras) == count:
        lenses, sizes = _from_list(list(cameras), lenses, sizes)
    return sizes, lenses


def _from_list(
    cameras: list[Any], lenses: np.ndarray | None, sizes: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Lenses and sizes of a list with a dict for each person, before those for all."""
    own, own_sizes = np.full((len(cameras), 4), np.nan), np.zeros((len(cameras), 2))
    for row, camera in enumerate(cameras):
        k = np.asarray(camera.get("K", ())) if isinstance(camera, dict) else np.zeros(0)
        if k.ndim == 2 and min(k.shape) >= 3 and k.dtype.kind in "fiu":
            own[row] = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
            own_sizes[row] = [_number(camera.get("W")), _number(camera.get("H"))]
    if not np.isfinite(own).all(1).any():
        return lenses, sizes
    return own, own_sizes if (own_sizes > 0).all(1).any() else sizes


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float | np.number) else 0.0


def _rows_of(value: Any, count: int, width: int) -> np.ndarray | None:
    """(N, width) numbers of a value for each row or of one for all."""
    try:
        array = np.asarray(value, dtype=np.float64).reshape(-1, width)
    except (TypeError, ValueError):
        return None
    return np.broadcast_to(array, (count, width)) if len(array) in (1, count) else None


def _tells(content: Content) -> bool:
    there = set(content.arrays)
    return "image_path" in there and bool(there & {"bbox_xywh", "smpl", "smplx", *_LABELS})


HUMAN_DATA = Format("human-data", WHAT, _tells, read_human_data)
