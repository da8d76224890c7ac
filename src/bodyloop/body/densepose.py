"""Readers of DensePose's own atlas of SMPL's mesh, ``UV_Processed.mat``, and of its mirror tables."""

from pathlib import Path

import numpy as np
import torch

from bodyloop.body.atlas import Atlas, ChartMirror
from bodyloop.body.matlab import load_mat
from bodyloop.errors import InputError

SMPL_VERTICES = 6890
_WHAT = "expected DensePose's UV_Processed.mat"
_MIRROR = "expected DensePose's UV_symmetry_transforms.mat"


def read_densepose_atlas(path: str | Path) -> Atlas:
    """DensePose's charts of SMPL's 6,890 vertices, from the file that DensePose's ``get_densepose_uv.sh`` fetches.

    The file's faces are not in the order of SMPL's model files (two of them are missing): draw with
    `Atlas.faces`. It keeps a mesh that is cut at the seams, with 1-based indices: ``All_vertices`` names the SMPL
    vertex of each of its own, ``All_U_norm`` and ``All_V_norm`` its place in [0, 1], ``All_Faces`` its faces and
    ``All_FaceIndices`` their charts.

    Args:
        path: MATLAB v5 file.

    Raises:
        InputError: if the file cannot be read or is not this one.
    """
    arrays = load_mat(Path(path), _WHAT)

    def take(key: str) -> np.ndarray:
        if key not in arrays:
            found = ", ".join(k for k in arrays if not k.startswith("__")) or "nothing"
            raise InputError(f"{path}: no {key!r}; {_WHAT}. Found: {found}")
        array = np.asarray(arrays[key])
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise InputError(f"{path}: {key!r} should hold finite numbers, got {array.dtype}; {_WHAT}")
        return array

    def whole(key: str, most: int) -> np.ndarray:
        array = take(key)
        if array.size == 0 or not (array == np.round(array)).all() or array.min() < 1 or array.max() > most:
            span = f"{array.min()} to {array.max()}" if array.size else "nothing"
            raise InputError(f"{path}: {key!r} should hold whole numbers 1 to {most}, got {span}; {_WHAT}")
        return array.astype(np.int64)

    vertices = whole("All_vertices", SMPL_VERTICES).ravel()
    corners = whole("All_Faces", len(vertices))
    charts = whole("All_FaceIndices", 24).ravel()
    uv = [take(key).ravel() for key in ("All_U_norm", "All_V_norm")]
    if corners.ndim != 2 or corners.shape[1] != 3 or len(charts) != len(corners):
        raise InputError(
            f"{path}: 'All_Faces' should be (F, 3) and 'All_FaceIndices' (F, 1), got {corners.shape} and "
            f"{len(charts)} charts; {_WHAT}"
        )
    if any(len(places) != len(vertices) for places in uv):
        raise InputError(
            f"{path}: 'All_U_norm' and 'All_V_norm' should have a number for each of the {len(vertices)} "
            f"'All_vertices', got {len(uv[0])} and {len(uv[1])}; {_WHAT}"
        )
    places = np.stack(uv, 1).astype(np.float32)
    if places.min() < 0 or places.max() > 1:
        raise InputError(
            f"{path}: 'All_U_norm' and 'All_V_norm' should lie in 0 to 1, got {places.min()} to {places.max()}; "
            f"{_WHAT}"
        )
    return Atlas.from_shared_corners(
        torch.from_numpy(vertices - 1),
        torch.from_numpy(places),
        torch.from_numpy(corners - 1),
        torch.from_numpy(charts),
    )


def read_densepose_mirror(path: str | Path) -> ChartMirror:
    """How DensePose's own charts mirror each other, from ``UV_symmetry_transforms.mat``.

    The file's cells ``U_transforms`` and ``V_transforms`` (1, 24) hold a square table for each chart: the mirrored U
    and V of the place [V * 255, U * 255].

    Raises:
        InputError: if the file cannot be read or is not this one.
    """
    arrays = load_mat(Path(path), _MIRROR)
    axes = []
    for key in ("U_transforms", "V_transforms"):
        cells = arrays.get(key)
        if not isinstance(cells, np.ndarray) or cells.dtype != object or cells.size != 24:
            raise InputError(f"{path}: no cells {key!r} of 24 tables; {_MIRROR}")
        tables = [np.asarray(cell) for cell in cells.ravel()]
        side = tables[0].shape[0] if tables[0].ndim else 0
        if side < 2 or any(t.shape != (side, side) or t.dtype.kind not in "fiu" for t in tables):
            raise InputError(f"{path}: {key!r} should hold 24 square tables of one size; {_MIRROR}")
        stacked = np.stack(tables).astype(np.float32)
        if not (stacked >= -1e-3).all() or not (stacked <= 1 + 1e-3).all():
            raise InputError(f"{path}: {key!r} should lie in 0 to 1; {_MIRROR}")
        axes.append(np.clip(stacked, 0, 1))
    if axes[0].shape != axes[1].shape:
        raise InputError(f"{path}: the tables of U and V should have one size; {_MIRROR}")
    return ChartMirror(torch.from_numpy(np.stack(axes, -1)))
