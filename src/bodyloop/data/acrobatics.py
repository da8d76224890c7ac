"""Reading the 13-joint ``.npz`` clips (CMU acrobatics on the DeepMimic skeleton) into `SkeletonClip`.

The skeleton has knees and elbows of one degree of freedom, one spine joint and no wrists; it rests standing
with the arms down, facing +x, y up.
"""

from pathlib import Path

import numpy as np

from bodyloop.data.skeleton_clip import MotionFileError, SkeletonClip, read_arrays, subject_of, take, tidy_fps


def is_acrobatics(arrays: dict[str, np.ndarray]) -> bool:
    """Whether the arrays of an ``.npz`` file are such a clip."""
    return {"names", "parents", "offsets", "quats", "root_pos"} <= arrays.keys()


def read_acrobatics(path: str | Path, arrays: dict[str, np.ndarray] | None = None) -> SkeletonClip:
    """Read a clip of named joints with local quaternions.

    Args:
        path: the ``.npz`` file: names (J,), parents (J,), offsets (J, 3) metres, quats (T, J, 4) local, wxyz,
            root_pos (T, 3) metres, fps; optional good (T,), end_names, end_parents, end_offsets, clip,
            subject.
        arrays: its arrays, if they have been read already.

    Raises:
        MotionFileError: a missing, misshapen or senseless array.
    """
    path = Path(path)
    arrays = read_arrays(path) if arrays is None else arrays
    names = tuple(str(n) for n in take(arrays, "names", path, None, kinds="US"))
    count = len(names)
    parents = tuple(int(p) for p in take(arrays, "parents", path, count, kinds="iu"))
    if not parents or parents[0] != -1 or any(not 0 <= p < j for j, p in enumerate(parents) if j):
        raise MotionFileError(
            f"{path}: 'parents' should be -1 and then, for each joint, an earlier one, got {parents}"
        )
    offsets = take(arrays, "offsets", path, count, 3).astype(np.float64)
    quats = take(arrays, "quats", path, None, count, 4)
    frames = len(quats)
    places = take(arrays, "root_pos", path, frames, 3)
    fps = float(take(arrays, "fps", path))
    if frames < 1 or not 1e-3 < fps < 1e5:
        raise MotionFileError(
            f"{path}: expected frames and a positive fps, got {frames} frames at {fps:g} fps"
        )
    translations = np.broadcast_to(offsets, (frames, count, 3)).copy()
    translations[:, 0] = places
    good = take(arrays, "good", path, frames, kinds="b") if "good" in arrays else None
    return SkeletonClip(
        names,
        parents,
        offsets,
        quat_wxyz_to_rotmat(_unit(quats, path)),
        translations,
        tidy_fps(fps),
        _ends(arrays, path, count),
        good,
        str(arrays["clip"]) if "clip" in arrays else path.stem,
        str(arrays["subject"]) if "subject" in arrays else subject_of(path),
    )


def _ends(arrays: dict[str, np.ndarray], path: Path, joints: int) -> dict[str, tuple[int, np.ndarray]]:
    """End sites, if the file has them."""
    if "end_names" not in arrays:
        return {}
    names = take(arrays, "end_names", path, None, kinds="US")
    parents = take(arrays, "end_parents", path, len(names), kinds="iu")
    offsets = take(arrays, "end_offsets", path, len(names), 3)
    if any(not 0 <= p < joints for p in parents):
        raise MotionFileError(f"{path}: 'end_parents' should name joints 0 to {joints - 1}, got {parents}")
    return {str(n): (int(p), o) for n, p, o in zip(names, parents, offsets, strict=True)}


def _unit(quats: np.ndarray, path: Path) -> np.ndarray:
    """Quaternions (..., 4) of length 1."""
    length = np.linalg.norm(quats, axis=-1, keepdims=True)
    if (np.abs(length - 1) > 0.1).any():
        raise MotionFileError(
            f"{path}: 'quats' should have length 1, got {length.min():.3f} to {length.max():.3f}"
        )
    return quats / length


def quat_wxyz_to_rotmat(quat_wxyz: np.ndarray) -> np.ndarray:
    """Unit quaternions (..., 4), real part first, to matrices (..., 3, 3)."""
    w, x, y, z = np.moveaxis(quat_wxyz, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)
