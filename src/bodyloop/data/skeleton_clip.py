"""`SkeletonClip`: captured motion on its own skeleton, before it becomes SMPL's."""

import math
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bodyloop.errors import InputError

LARGEST_NUMBER = 1e6
"""No angle in degrees or place in millimetres of a real clip comes near this."""


class MotionFileError(InputError):
    """A motion file that cannot be used; the message names the file, what was expected and what was found."""


@dataclass(frozen=True, eq=False)
class SkeletonClip:
    """Motion of any skeleton whose rest pose has identity joint frames.

    Attributes:
        names: J joint names as the file spells them.
        parents: J parent indices, -1 for the root; each parent precedes its child.
        offsets: (J, 3) metres, rest place of each joint relative to its parent.
        rotations: (T, J, 3, 3) joint rotations relative to the parent, the root's relative to the world.
        translations: (T, J, 3) metres, place of each joint in its parent's frame; equals ``offsets`` where
            the file does not move the joint. The root's is its place in the world.
        fps: frames per second.
        ends: end-site name -> (index of the joint that carries it, rest offset (3,) metres).
        good: (T,) bool, False where the file itself flags a frame as bad.
        name: clip name, the file's stem.
        subject: subject name, "" if unknown.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    rotations: np.ndarray
    translations: np.ndarray
    fps: float
    ends: dict[str, tuple[int, np.ndarray]] = field(default_factory=dict)
    good: np.ndarray | None = None
    name: str = ""
    subject: str = ""

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def rest_positions(self) -> np.ndarray:
        """Rest places (J, 3) of the joints, metres, with the root at its own offset."""
        places = self.offsets.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] += places[parent]
        return places

    def world(self) -> tuple[np.ndarray, np.ndarray]:
        """World rotations (T, J, 3, 3) and places (T, J, 3) in metres of all joints."""
        rotations, places = self.rotations.copy(), self.translations.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[:, joint] = (
                    places[:, parent] + (rotations[:, parent] @ self.translations[:, joint, :, None])[..., 0]
                )
                rotations[:, joint] = rotations[:, parent] @ self.rotations[:, joint]
        return rotations, places


def tidy_fps(fps: float) -> float:
    """The nearest whole number of frames per second where a file's rounding of 1 / fps hides it."""
    return float(round(fps)) if fps >= 1 and math.isclose(fps, round(fps), rel_tol=5e-4) else fps


def subject_of(path: Path) -> str:
    """Subject of a clip named "SS_TT", "" for other names."""
    head, _, tail = path.stem.partition("_")
    return head if tail and head.isdigit() else ""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file, without unpickling anything.

    Raises:
        MotionFileError: not an npz file, damaged, or holding pickled objects.
    """
    try:
        with path.open("rb") as file, zipfile.ZipFile(file):  # np.load would also take bare pickles and .npy
            pass
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise MotionFileError(f"{path}: expected a numpy .npz archive ({error})") from error
    arrays: dict[str, Any] = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive.files)
    except Exception as error:
        raise MotionFileError(f"{path}: damaged .npz archive ({error})") from error
    for name in names:
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays[name] = np.asarray(archive[name])
        except Exception as error:  # a damaged archive fails in zlib, struct, tokenize, numpy ...
            if "Object arrays" in str(error):
                raise MotionFileError(
                    f"{path}: {name!r} holds pickled Python objects, which could run code when loaded, so "
                    "they are not read. If you trust the file, load it once with numpy's allow_pickle=True "
                    "and save it again with plain arrays"
                ) from error
            raise MotionFileError(f"{path}: {name!r} cannot be read ({error})") from error
    return arrays


def take(
    arrays: dict[str, np.ndarray], key: str, path: Path, *shape: int | None, kinds: str = "fiu"
) -> np.ndarray:
    """One array, checked: dtype kind, number of dimensions, sizes (None: any), finite and of sane size.

    Raises:
        MotionFileError: naming the key, what was expected and what was found.
    """
    if key not in arrays:
        raise MotionFileError(f"{path}: no {key!r}. Found: {', '.join(arrays) or 'nothing'}")
    array = arrays[key]
    want = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    if len(array.shape) != len(shape) or any(
        n not in (None, m) for n, m in zip(shape, array.shape, strict=True)
    ):
        raise MotionFileError(f"{path}: {key!r} should have shape {want}, got {array.shape}")
    if array.dtype.kind not in kinds:
        raise MotionFileError(f"{path}: {key!r} has dtype {array.dtype}, expected kind {' or '.join(kinds)}")
    if array.dtype.kind == "f":
        array = array.astype(np.float64)
        if not (np.abs(array) < LARGEST_NUMBER).all():
            raise MotionFileError(f"{path}: {key!r} holds NaN, infinity or numbers beyond {LARGEST_NUMBER:g}")
    return array
