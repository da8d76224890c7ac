"""Starts from arrays with a row for each person: SPIN, 4D-Humans' training labels, CameraHMR.

Layouts after the released code: SPIN ``eval.py``, ``train/fits_dict.py`` and ``datasets/base_dataset.py``; 4D-Humans
``hmr2/datasets/image_dataset.py``; CameraHMR ``core/datasets/dataset_train.py`` and CamSMPLify. All poses are in the
axes of the image's camera.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bodyloop.data.formats.columns import BodyColumn, good_boxes, is_lens
from bodyloop.data.formats.format import Content, Tally, number_column, read_arrays, text_column
from bodyloop.data.formats.spin import UNIT
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, WeakPerspective
from bodyloop.start_files.file import StartFile, coco_number
from bodyloop.start_files.people import Crop, Key, Pinhole, Projection, StartPerson

SPIN_RESULTS = "SPIN's results (.npz with pose, betas, camera)"
SPIN_FITS = "SPIN's static fits (.npy of 82 columns, or .npz with pose and shape)"
SPIN_LABELS = "SPIN's .npz with imgname, pose and shape"
HUMANS_4D = "4D-Humans' training .npz (imgname, body_pose, betas)"
CAMERA_HMR = "CameraHMR's .npz (imgname, pose, shape, cam_int)"


@dataclass(frozen=True, eq=False)
class _Images:
    """Which image each of N rows is of, and where in it.

    Attributes:
        names: (N,) text.
        center: (N, 2) of the person's square, pixels.
        scale: (N,) its side in the file's unit.
    """

    names: np.ndarray
    center: np.ndarray
    scale: np.ndarray

    def boxes(self, unit: float) -> np.ndarray:
        """Squares (N, 4), x0, y0, x1, y1, of `unit` pixels for a scale of 1."""
        half = self.scale[:, None] * (unit / 2)
        return np.concatenate([self.center - half, self.center + half], 1)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Columns of a file; called with a place, the person of that row."""

    rows: np.ndarray
    bodies: BodyColumn
    boxes: np.ndarray
    projection: Callable[[int], Projection | None]
    shaped: np.ndarray

    def __call__(self, place: int) -> StartPerson:
        row = int(self.rows[place])
        label = self.bodies.at(row)
        assert label is not None, "only rows with a body are among the places"
        box = torch.from_numpy(self.boxes[row]) if good_boxes(self.boxes[row : row + 1])[0] else None
        betas = label.bodies.betas if self.shaped[row] else None
        return StartPerson(label.bodies.rotations, betas, self.projection(row), box)


def _nothing(row: int) -> None:
    """The file does not say how it sees people."""


def _start_file(
    path: Path,
    what: str,
    images: _Images,
    unit: float,
    bodies: BodyColumn,
    tally: Tally,
    projection: Callable[[int], Projection | None] = _nothing,
    shaped: np.ndarray | None = None,
) -> StartFile:
    rows = np.flatnonzero(bodies.valid & (images.names != ""))
    if not len(rows):
        why = "; ".join(tally.lines(3)) or "no row has a body and an image"
        raise InputError(
            f"{path}: expected {what}, got none that can be used: {why}; write or download it again"
        )
    keys = [Key(name, number=coco_number(name)) for name in images.names[rows].tolist()]
    shaped = np.ones(len(bodies.pose), bool) if shaped is None else shaped
    people = _Rows(rows, bodies, images.boxes(unit), projection, shaped)
    return StartFile(path, what, keys, people, skipped=tally.lines())


def _images(arrays: dict[str, Any], path: Path, what: str) -> _Images:
    names = text_column(arrays.get("imgname", ()))
    if names is None:
        raise InputError(
            f"{path}: expected {what} with names of images in 'imgname', got none; check the file"
        )
    scale = np.asarray(arrays.get("scale"))
    if scale.ndim == 2:  # 4D-Humans keeps width and height
        arrays = arrays | {"scale": scale.max(1)}
    center = number_column(arrays, "center", path, len(names), 2, what=what)
    scale = number_column(arrays, "scale", path, len(names), what=what)
    return _Images(names, center.astype(np.float64), scale.astype(np.float64))


def _beside(annotations: Path | None, path: Path, what: str, count: int) -> _Images:
    """Images of rows that the file itself does not name."""
    wanted = "the SPIN .npz (imgname, center, scale) whose rows these are"
    if annotations is None:
        raise InputError(f"{path}: {what} name no images: give {wanted} with --start-annotations")
    images = _images(read_arrays(annotations, ("imgname", "center", "scale")), annotations, wanted)
    if len(images.names) != count:
        raise InputError(
            f"{annotations}: expected {count} rows, as {path} has, got {len(images.names)}; give {wanted}"
        )
    return images


def _flags(arrays: dict[str, Any], key: str, path: Path, count: int, what: str) -> np.ndarray:
    """(N,) bool; all True if there is no such array."""
    if key not in arrays:
        return np.ones(count, bool)
    return np.asarray(number_column(arrays, key, path, count, what=what) > 0)


def tells_rows(content: Content) -> bool:
    """Whether a file is one of these."""
    there = set(content.arrays)
    return content.head.startswith(b"\x93NUMPY") or bool(
        {"pose", "betas", "camera"} <= there
        or {"pose", "shape"} <= there
        or {"pose_cam", "shape", "cam_int"} <= there
        or {"imgname", "body_pose", "betas"} <= there
    )


def read_rows(content: Content, annotations: Path | None) -> StartFile:
    """People of a file of rows.

    Args:
        content: a file that `tells_rows`.
        annotations: SPIN's ``.npz`` of the same rows, for its results and static fits, which name no images.

    Raises:
        InputError: misshapen arrays, nothing that can be used, or no names of images.
    """
    there = set(content.arrays)
    if "cam_int" in there:
        return _read_camera_hmr(content.path)
    if "body_pose" in there:
        return _read_4d_humans(content.path)
    if "camera" in there:
        return _read_spin_results(content.path, annotations)
    return _read_spin_fits(content, annotations)


def _read_spin_results(path: Path, annotations: Path | None) -> StartFile:
    """``eval.py --result_file``: rows of the evaluated data set, s, tx, ty in crops of 200 `scale` pixels."""
    arrays, tally = read_arrays(path, ("pose", "betas", "camera")), Tally()
    pose = number_column(arrays, "pose", path, None, 72, what=SPIN_RESULTS)
    count = len(pose)
    betas = number_column(arrays, "betas", path, count, 10, what=SPIN_RESULTS)
    cameras = number_column(arrays, "camera", path, count, 3, what=SPIN_RESULTS)
    images = _beside(annotations, path, SPIN_RESULTS, count)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(cameras).all(1) & (cameras[:, 0] > 0)
    tally.drop_rows(~good, "a camera that sees nothing")
    bodies = BodyColumn.clean(pose, betas, None, good, tally)

    def projection(row: int) -> Projection:
        camera = torch.from_numpy(cameras[row].astype(np.float32))
        side = float(images.scale[row]) * UNIT
        return Crop(WeakPerspective(camera[0], camera[1:]), torch.from_numpy(images.center[row]), side)

    return _start_file(path, SPIN_RESULTS, images, UNIT, bodies, tally, projection)


def _read_spin_fits(content: Content, annotations: Path | None) -> StartFile:
    """Static fits, and data sets with SMPL parameters: pose and shape, nothing on where people are."""
    path, tally = content.path, Tally()
    if content.arrays:
        arrays = read_arrays(path, ("imgname", "center", "scale", "pose", "shape", "has_smpl"))
    else:
        fits = _read_npy(path)
        arrays = {"pose": fits[:, :72], "shape": fits[:, 72:]}
    what = SPIN_LABELS if "imgname" in arrays else SPIN_FITS
    pose = number_column(arrays, "pose", path, None, 72, what=what)
    count = len(pose)
    betas = number_column(arrays, "shape", path, count, 10, what=what)
    valid = _flags(arrays, "has_smpl", path, count, what)
    named = "imgname" in arrays
    images = _images(arrays, path, what) if named else _beside(annotations, path, what, count)
    return _start_file(path, what, images, UNIT, BodyColumn.clean(pose, betas, None, valid, tally), tally)


def _read_npy(path: Path) -> np.ndarray:
    """(N, 82) pose and shape."""
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # damaged files fail in many ways
        raise InputError(
            f"{path}: expected {SPIN_FITS}, got a damaged file ({error}); copy it again"
        ) from None
    if array.ndim != 2 or array.shape[1] != 82 or array.dtype.kind not in "fiu":
        raise InputError(
            f"{path}: expected {SPIN_FITS}, got an array {array.shape} of {array.dtype}; check the path"
        )
    return np.asarray(array)


def _read_4d_humans(path: Path) -> StartFile:
    """Training labels: `body_pose` has the root too, `scale` is in pixels (their reader divides by 200)."""
    keys = ("imgname", "center", "scale", "body_pose", "has_body_pose", "betas", "has_betas")
    arrays, tally = read_arrays(path, keys), Tally()
    images = _images(arrays, path, HUMANS_4D)
    count = len(images.names)
    pose = number_column(arrays, "body_pose", path, count, 72, what=HUMANS_4D)
    betas = number_column(arrays, "betas", path, count, 10, what=HUMANS_4D)
    valid = _flags(arrays, "has_body_pose", path, count, HUMANS_4D)
    shaped = _flags(arrays, "has_betas", path, count, HUMANS_4D)
    bodies = BodyColumn.clean(pose, betas, None, valid, tally)
    return _start_file(path, HUMANS_4D, images, 1.0, bodies, tally, shaped=shaped)


def _read_camera_hmr(path: Path) -> StartFile:
    """CamSMPLify's files (`pose`, `cam_t`, `scale` in pixels) and released labels (`pose_cam` or `pose`, `trans_cam`,
    `cam_ext`, `scale` in units of 200 pixels): perspective of the full image.
    """
    keys = (
        "imgname", "center", "scale", "pose_cam", "pose", "shape", "cam_int", "cam_t", "trans_cam", "cam_ext",
    )  # fmt: skip
    arrays, tally = read_arrays(path, keys), Tally()
    images = _images(arrays, path, CAMERA_HMR)
    count = len(images.names)
    pose = number_column(
        arrays, "pose_cam" if "pose_cam" in arrays else "pose", path, count, None, what=CAMERA_HMR
    )
    betas = number_column(arrays, "shape", path, count, None, what=CAMERA_HMR)
    if pose.shape[1] < 72 or betas.shape[1] < 10:
        raise InputError(
            f"{path}: expected poses of 72 numbers or more and shapes of 10, got {pose.shape[1]} and {betas.shape[1]}; "
            f"it is no {CAMERA_HMR}"
        )
    lenses = number_column(arrays, "cam_int", path, count, 3, 3, what=CAMERA_HMR)
    place = _camera_hmr_places(arrays, path, count)
    bodies = BodyColumn.clean(pose[:, :72], betas[:, :10], place, np.ones(count, bool), tally)

    def projection(row: int) -> Projection | None:
        k = lenses[row].astype(np.float32)
        focal, center = np.array([k[0, 0], k[1, 1]]), k[:2, 2].copy()
        if bodies.translation is None or not is_lens(focal, center) or bodies.translation[row, 2] <= 0:
            return None
        camera = Camera(torch.from_numpy(focal), torch.from_numpy(center), (1, 1))
        return Pinhole(camera, torch.from_numpy(bodies.translation[row]))

    unit = 1.0 if "cam_t" in arrays else UNIT
    return _start_file(path, CAMERA_HMR, images, unit, bodies, tally, projection)


def _camera_hmr_places(arrays: dict[str, Any], path: Path, count: int) -> np.ndarray | None:
    """(N, 3) metres; a row whose place is not known has 0 depth."""
    if "cam_t" in arrays:
        return number_column(arrays, "cam_t", path, count, 3, what=CAMERA_HMR)
    if "trans_cam" not in arrays and "cam_ext" not in arrays:
        return None
    place = np.zeros((count, 3))
    if "trans_cam" in arrays:
        place += number_column(arrays, "trans_cam", path, count, 3, what=CAMERA_HMR)
    if "cam_ext" in arrays:
        place += number_column(arrays, "cam_ext", path, count, 4, 4, what=CAMERA_HMR)[:, :3, 3]
    return place
