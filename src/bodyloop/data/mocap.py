"""Reading motion capture of any known format as SMPL motion: one file, a folder, a split."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from bodyloop.body import BodyModel, builtin_body
from bodyloop.data.acrobatics import is_acrobatics, read_acrobatics
from bodyloop.data.amass import is_amass, read_amass
from bodyloop.data.bvh import Unit, read_bvh
from bodyloop.data.motion import Motion
from bodyloop.data.retarget import retarget
from bodyloop.data.rigs import Rig
from bodyloop.data.skeleton_clip import MotionFileError, read_arrays, subject_of, take
from bodyloop.writing import make_folder, write_atomic

SPLIT: dict[str, tuple[str, ...]] = {
    "train": ("01", "02", "05", "06", "07", "13", "14", "43", "49", "60", "127", "139", "140"),
    "validation": ("09", "11"),
    "test": ("08", "61", "85", "94"),
}
"""CMU subjects of each split, the same for every folder. No subject is in two."""

FOLDERS = ("cmu/bvh", "cmu/npz_deepmimic")
"""Where `load_split` looks under the data root."""

CONVERSION = 1
"""Raise when the conversion changes, so that caches are made anew."""


@dataclass(frozen=True)
class MotionSet:
    """Clips that could be read, and the files that could not, with the reason."""

    motions: list[Motion] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.motions)

    @property
    def frames(self) -> int:
        """Number of frames of all clips."""
        return sum(len(m) for m in self.motions)


def read_motion(
    path: str | Path, body: BodyModel | None = None, unit: Unit = "auto", rig: Rig | None = None
) -> Motion:
    """Read a motion file of any known format: BVH, 13-joint ``.npz``, AMASS ``.npz``.

    The format is recognised by the content, not by the name.

    Args:
        path: the file.
        body: the body that is to move; the built-in one by default.
        unit: unit of a BVH file's lengths.
        rig: which source joint plays which part, for skeletons that are not recognised.

    Raises:
        MotionFileError: an unknown format or a damaged file.
    """
    path = Path(path)
    body = builtin_body() if body is None else body
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise MotionFileError(f"{path}: cannot be read ({error})") from error
    if not start.startswith(b"PK"):
        return retarget(read_bvh(path, unit), body, rig)
    arrays = read_arrays(path)
    if is_acrobatics(arrays):
        return retarget(read_acrobatics(path, arrays), body, rig)
    if is_amass(arrays):
        return read_amass(path, body, arrays)
    raise MotionFileError(
        f"{path}: an .npz file that is neither AMASS ('poses', 'trans') nor a clip of named joints ('names', "
        f"'parents', 'offsets', 'quats', 'root_pos'). Found: {', '.join(arrays) or 'nothing'}"
    )


def find_motion_files(folder: str | Path, subjects: Collection[str] | None = None) -> list[Path]:
    """All ``.bvh`` and ``.npz`` files under a folder, sorted, of the given subjects or of all.

    The subject is the part of the file name before the underscore ("SS_TT"), or the name of the folder that
    the file lies in.

    Raises:
        FileNotFoundError: no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of motion files")
    files = (p for p in folder.rglob("*") if p.suffix.lower() in (".bvh", ".npz") and p.is_file())
    wanted = None if subjects is None else set(subjects)
    return sorted(p for p in files if wanted is None or (subject_of(p) or p.parent.name) in wanted)


def read_folder(
    folder: str | Path,
    subjects: Collection[str] | None = None,
    body: BodyModel | None = None,
    progress: Callable[[Path], None] | None = None,
) -> MotionSet:
    """Read every motion file under a folder; a file that fails is noted, the others go on.

    Args:
        folder: searched with all its subfolders.
        subjects: only these subjects; all by default.
        body: the body that is to move; the built-in one by default.
        progress: called with each file before it is read.
    """
    return _read_files(find_motion_files(folder, subjects), body, progress)


def _read_files(
    files: Iterable[Path], body: BodyModel | None, progress: Callable[[Path], None] | None
) -> MotionSet:
    """Read files, collecting failures by path."""
    result = MotionSet()
    for path in files:
        if progress is not None:
            progress(path)
        try:
            result.motions.append(read_motion(path, body))
        except MotionFileError as error:
            result.failures[str(path)] = str(error)
    return result


def load_split(
    root: str | Path,
    split: Literal["train", "validation", "test"],
    body: BodyModel | None = None,
    cache: str | Path | None = None,
    progress: Callable[[Path], None] | None = None,
) -> MotionSet:
    """All clips of a split (see `SPLIT`), from both CMU folders under ``root``.

    Args:
        root: the data folder that holds ``cmu/bvh`` and ``cmu/npz_deepmimic``; one of them is enough.
        split: "train", "validation" or "test".
        body: the body that is to move; the built-in one by default.
        cache: an ``.npz`` file for the converted clips: read if it was made of the same files for the same
            body, else written. Failures are not cached: with any, no cache is written.
        progress: called with each file before it is read.

    Raises:
        FileNotFoundError: none of the folders exists.
        KeyError: an unknown split.
    """
    if split not in SPLIT:
        raise KeyError(f"split should be one of {', '.join(SPLIT)}, got {split!r}")
    body = builtin_body() if body is None else body
    folders = [Path(root) / folder for folder in FOLDERS]
    present = [folder for folder in folders if folder.is_dir()]
    if not present:
        raise FileNotFoundError(f"none of {', '.join(map(str, folders))} exists")
    files = [path for folder in present for path in find_motion_files(folder, SPLIT[split])]
    mark = _fingerprint(files, body)
    if cache is not None and (found := _read_cache(Path(cache), mark)) is not None:
        return found
    result = _read_files(files, body, progress)
    if cache is not None and not result.failures:
        save_motions(cache, result.motions, mark)
    return result


def _fingerprint(files: list[Path], body: BodyModel) -> str:
    """What the converted clips depend on: the files, the body, the conversion."""
    digest = sha256(f"{CONVERSION}".encode())
    for path in files:
        stat = path.stat()
        digest.update(f"{path.parent.name}/{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    digest.update(body.rest_joints[0].cpu().numpy().tobytes())
    digest.update(body.v_template.cpu().numpy().tobytes())
    return digest.hexdigest()


def save_motions(path: str | Path, motions: list[Motion], mark: str = "") -> None:
    """Write clips to one ``.npz`` file (plain arrays): pose (N, 72) axis-angle, trans (N, 3), good (N,), and
    per clip length, name, subject, fps, gender, betas (C, 10), NaN where unknown.
    """
    path = Path(path)
    make_folder(path.parent)
    unknown = torch.full((10,), torch.nan)
    file = BytesIO()
    np.savez(
        file,
        pose=torch.cat([m.pose for m in motions] or [torch.zeros(0, 72)]).numpy(),
        trans=torch.cat([m.trans for m in motions] or [torch.zeros(0, 3)]).numpy(),
        good=torch.cat([m.good for m in motions] or [torch.zeros(0, dtype=torch.bool)]).numpy(),
        length=np.array([len(m) for m in motions], dtype=np.int64),
        name=np.array([m.name for m in motions], dtype=np.str_),
        subject=np.array([m.subject for m in motions], dtype=np.str_),
        fps=np.array([m.fps for m in motions], dtype=np.float64),
        gender=np.array([m.gender for m in motions], dtype=np.str_),
        betas=torch.stack([unknown if m.betas is None else m.betas for m in motions] or [unknown]).numpy(),
        mark=np.array(mark),
    )
    write_atomic(path, file.getvalue())


def load_motions(path: str | Path) -> list[Motion]:
    """Read clips that `save_motions` wrote.

    Raises:
        MotionFileError: a missing or damaged file.
    """
    return _from_arrays(read_arrays(Path(path)), Path(path))


def _read_cache(path: Path, mark: str) -> MotionSet | None:
    """The cached clips, or None where there is no usable cache of these files."""
    try:
        arrays = read_arrays(path)
        return MotionSet(_from_arrays(arrays, path)) if str(arrays.get("mark")) == mark else None
    except MotionFileError:
        return None


def _from_arrays(arrays: dict[str, np.ndarray], path: Path) -> list[Motion]:
    """Cut the joined arrays of `save_motions` into clips."""
    pose = torch.from_numpy(take(arrays, "pose", path, None, 72)).float()
    trans = torch.from_numpy(take(arrays, "trans", path, len(pose), 3)).float()
    good = torch.from_numpy(take(arrays, "good", path, len(pose), kinds="b"))
    length = take(arrays, "length", path, None, kinds="iu")
    clips = len(length)
    names = take(arrays, "name", path, clips, kinds="U")
    subjects = take(arrays, "subject", path, clips, kinds="U")
    genders = take(arrays, "gender", path, clips, kinds="U")
    rates = take(arrays, "fps", path, clips)
    if (length < 0).any() or length.sum() != len(pose):
        raise MotionFileError(f"{path}: 'length' should add up to {len(pose)} frames, got {length.sum()}")
    betas = torch.from_numpy(np.asarray(arrays["betas"], dtype=np.float32)) if "betas" in arrays else None
    ends = np.cumsum(length)
    motions = []
    for k, end in enumerate(ends):
        span = slice(int(end - length[k]), int(end))
        motion = Motion.from_smpl(
            pose[span], trans[span], float(rates[k]), str(names[k]), str(subjects[k]), good[span]
        )
        shape = None if betas is None or betas[k].isnan().any() else betas[k]
        motions.append(replace(motion, betas=shape, gender=str(genders[k])))
    return motions
