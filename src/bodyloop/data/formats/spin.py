"""SPIN's preprocessed ``.npz`` files: Human3.6M, MPI-INF-3DHP, LSP, LSPET, MPII, COCO and 3DPW, a row for each person.

Kolotouros, Pavlakos, Black, Daniilidis, "Learning to Reconstruct 3D Human Pose and Shape via Model-fitting in the
Loop", 2019, released code: ``datasets/preprocess`` and ``datasets/base_dataset.py``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bodyloop.body import get_skeleton
from bodyloop.data.formats.columns import BodyColumn, JointColumn, KeypointColumn, to_gender
from bodyloop.data.formats.format import (
    Content,
    DatasetSpec,
    Format,
    Tally,
    number_column,
    read_arrays,
    text_column,
)
from bodyloop.data.part_maps import GreyPng, PartSource
from bodyloop.data.record import Record, RecordSet
from bodyloop.errors import InputError
from bodyloop.evidence.part_map import UPI_PARTS

WHAT = "a SPIN .npz with 'imgname', 'center' and 'scale'"
KEYS = (
    "imgname", "center", "scale", "part", "openpose", "S", "pose", "shape", "has_smpl", "gender", "maskname",
    "partname",
)  # fmt: skip
UNIT = 200.0
"""Pixels of box side for a scale of 1."""
MARGIN = 1.2
"""By how much SPIN's squares are larger than the person; `Record.box` has no margin."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Columns of a file; called with a row, its record."""

    name: str
    images: Path
    masks: Path
    imgname: np.ndarray
    boxes: np.ndarray
    keypoints: KeypointColumn | None
    joints: JointColumn | None
    bodies: BodyColumn | None
    gender: np.ndarray | None
    maskname: np.ndarray | None
    partname: np.ndarray | None

    def __call__(self, row: int) -> Record:
        x0, y0, x1, y1 = self.boxes[row].tolist()
        parts, silhouette = self._map(self.partname, row, "lsp"), self._map(self.maskname, row, "person")
        return Record(
            self.name,
            str(row),
            self.images / self.imgname[row].replace("\\", "/"),
            box=(x0, y0, x1, y1),
            keypoints=None if self.keypoints is None else self.keypoints.at(row),
            joints=None if self.joints is None else self.joints.at(row),
            body=None if self.bodies is None else self.bodies.at(row),
            gender=None if self.gender is None else to_gender(self.gender[row]),
            parts=parts or silhouette,
            silhouette=silhouette if parts else None,
        )

    def _map(self, names: np.ndarray | None, row: int, kind: str) -> PartSource | None:
        if names is None or not names[row]:
            return None
        return GreyPng(self.masks / names[row], kind, UPI_PARTS if kind == "lsp" else None)


def read_spin(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of a SPIN ``.npz``.

    ``part`` and ``openpose`` become SPIN's 49 keypoints, of which OpenPose's are marked as detected. ``S`` is in
    metres, in camera axes, from the root. Without ``has_smpl``, all rows that have ``pose`` count. Boxes are squares of
    200 ``scale`` pixels, which are 1.2 times the person (0.9 times the mask in Human3.6M); the factor is taken off, so
    that the default margin gives SPIN's own crop.

    Raises:
        InputError: no such file, or nothing in it can be used.
    """
    path, tally = spec.path, Tally()
    arrays = read_arrays(path, KEYS)
    scale = number_column(arrays, "scale", path, None, what=WHAT)
    count = len(scale)
    center = number_column(arrays, "center", path, count, 2, what=WHAT)
    imgname = text_column(arrays.get("imgname", ()))
    if imgname is None or len(imgname) != count:
        raise InputError(f"{path}: expected {WHAT}, got no {count} names of images; download it again")
    with np.errstate(invalid="ignore"):
        broken_box = ~(np.isfinite(center).all(1) & (scale > 0) & (scale < 1e4))
    nameless = imgname == ""
    tally.drop_rows(broken_box, "a center or scale that is no box")
    tally.drop_rows(nameless & ~broken_box, "no image name")
    half = np.where(broken_box, 1, scale)[:, None] * (UNIT / 2 / MARGIN)
    rows = _Rows(
        spec.label,
        spec.image_folder(),
        spec.mask_folder(),
        imgname,
        np.concatenate([center - half, center + half], 1),
        _keypoints(arrays, path, count, tally),
        _joints(arrays, path, count, tally),
        _bodies(arrays, path, count, tally),
        *(_texts(arrays, key, path, count) for key in ("gender", "maskname", "partname")),
    )
    good = np.flatnonzero(~broken_box & ~nameless)
    return RecordSet(spec.label, path, rows, good, tally.settle(spec, WHAT, len(good)))


def _keypoints(arrays: dict[str, Any], path: Path, count: int, tally: Tally) -> KeypointColumn | None:
    """SPIN's 49, or only the 24 or 25 that the file has."""
    there = [key for key in ("openpose", "part") if key in arrays]
    if not there:
        return None
    sizes = {"openpose": 25, "part": 24}
    values = [number_column(arrays, key, path, count, sizes[key], 3, what=WHAT) for key in there]
    skeleton = get_skeleton(
        {"openpose": "openpose25", "part": "spin24"}[there[0]] if len(there) == 1 else "spin49"
    )
    detected = np.concatenate([np.full(sizes[key], key == "openpose") for key in there])
    return KeypointColumn.clean(skeleton, np.concatenate(values, 1), tally, detected)


def _joints(arrays: dict[str, Any], path: Path, count: int, tally: Tally) -> JointColumn | None:
    if "S" not in arrays:
        return None
    values = number_column(arrays, "S", path, count, 24, 4, what=WHAT)
    return JointColumn.clean(get_skeleton("spin24"), values, "root", tally)


def _bodies(arrays: dict[str, Any], path: Path, count: int, tally: Tally) -> BodyColumn | None:
    if not {"pose", "shape"} <= arrays.keys():
        return None
    pose = number_column(arrays, "pose", path, count, 72, what=WHAT)
    betas = number_column(arrays, "shape", path, count, 10, what=WHAT)
    valid = np.ones(count, bool)
    if "has_smpl" in arrays:
        valid = number_column(arrays, "has_smpl", path, count, what=WHAT) > 0
    return BodyColumn.clean(pose, betas, None, valid, tally)


def _texts(arrays: dict[str, Any], key: str, path: Path, count: int) -> np.ndarray | None:
    if key not in arrays:
        return None
    column = text_column(arrays[key])
    if column is None or len(column) != count:
        raise InputError(f"{path}: expected {count} texts in {key!r}; it is no {WHAT}")
    return column


SPIN = Format("spin", WHAT, lambda content: {"imgname", "center", "scale"} <= set(content.arrays), read_spin)
