"""A small folder of motion capture, as the CMU data lie, with made-up motion."""

from pathlib import Path

import numpy as np

from data.motion_files import random_angles, write_bvh


def made_up_mocap(root: Path, **subjects: int) -> Path:
    """`root` with ``cmu/bvh`` of the given subjects, as many frames each: s01=12 is subject 01 with 12 frames.

    Frames differ wildly, so that all are distinct; 1 frame a second keeps them from counting as glitches.
    """
    folder = root / "cmu" / "bvh"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (subject, frames) in enumerate(subjects.items()):
        places = np.tile([0.0, 0.9, 0.0], (frames, 1))
        turns = random_angles(frames, seed, 30.0)
        write_bvh(folder / f"{subject[1:]}_01.bvh", turns, places, fps=1.0)
    return root
