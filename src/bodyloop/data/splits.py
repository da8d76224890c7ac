"""The distinct poses of each split of the motion capture, and the words for them in a model card."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from bodyloop.data.mocap import SPLIT, load_split
from bodyloop.data.poses import PoseSet, distinct_poses
from bodyloop.errors import InputError
from bodyloop.writing import make_folder

SplitName = Literal["train", "validation", "test"]

HELD_OUT_ANGLE = 10.0
"""Degrees, the thinning of poses that do not train."""
TELL_EVERY = 10.0
"""Seconds between lines about files."""


def read_poses(
    mocap: Path, split: SplitName, angle: float, cache: Path | None, tell: Callable[[str], None]
) -> PoseSet:
    """The distinct poses of a split; those that train with their mirror images.

    Args:
        mocap: folder that holds ``cmu/bvh`` and ``cmu/npz_deepmimic``, or one of them.
        split: of which subjects.
        angle: degrees by which poses that train must differ (`distinct_poses`).
        cache: folder for the converted clips.
        tell: called with a line about what is read, and about each clip that cannot be.

    Raises:
        InputError: no motion capture of these subjects.
    """
    stored = None
    if cache is not None:
        make_folder(cache)
        stored = cache / f"{split}.npz"
    tell(f"reading {split} clips")
    try:
        found = load_split(mocap, split, cache=stored, progress=_files_told(split, tell))
    except FileNotFoundError as error:
        raise InputError(f"--mocap {mocap}: {error}; expected a folder with CMU motion capture") from None
    for path, reason in found.failures.items():
        tell(f"left out: {reason if path in reason else f'{path}: {reason}'}")
    trains = split == "train"
    try:
        poses = distinct_poses(found.motions, angle if trains else HELD_OUT_ANGLE, mirror=trains)
    except ValueError:
        raise InputError(
            f"--mocap {mocap}: no usable clip of the {split} subjects, {_subjects(split)}; expected files named "
            "SUBJECT_CLIP.bvh or .npz"
        ) from None
    mirrored = " with their mirror images" if trains else ""
    tell(f"{split}: {len(found)} clips, {found.frames:,} frames, {len(poses):,} distinct poses{mirrored}")
    return poses


def _files_told(split: SplitName, tell: Callable[[str], None]) -> Callable[[Path], None]:
    """Tells now and then how many files were begun."""
    count, told = 0, time.time()

    def progress(path: Path) -> None:
        nonlocal count, told
        count += 1
        if time.time() - told > TELL_EVERY:
            told = time.time()
            tell(f"reading {split} clips: {count}, {path.name}")

    return progress


def data_lines(splits: Mapping[SplitName, PoseSet], angle: float) -> list[str]:
    """What a model card says of its data: a line on training, one on what was held out.

    Args:
        splits: the poses that were used; without "test", the test subjects were not.
        angle: degrees, as for `read_poses`.
    """
    tested = f"judged only, {len(splits['test']):,} poses" if "test" in splits else "not used"
    return [
        "Data: CMU motion capture (mocap.cs.cmu.edu, free for all uses), retargeted to the built-in body; good frames "
        f"of which no two of a clip are within {angle:g} degrees, mirrored, clips weighted by the square root of their "
        f"length: {len(splits['train']):,} training poses of subjects {_subjects('train')}.",
        f"Validation: subjects {_subjects('validation')}, {len(splits['validation']):,} poses, {HELD_OUT_ANGLE:g} "
        f"degrees, not mirrored. Test subjects {_subjects('test')}: {tested}.",
    ]


def _subjects(split: SplitName) -> str:
    return " ".join(sorted(SPLIT[split]))
