"""A sequence of MuPoTS as its makers write it."""

from pathlib import Path

import numpy as np
from scipy.io import savemat
from torch import Tensor

from bodyloop.geometry import Camera


def save_mupots(folder: Path, frames: list[list[Tensor | None]], camera: Camera) -> None:
    """Write annot.mat.

    Args:
        folder: "TS1" ...
        frames: of each, of each person 17 joints in metres; None where the annotation is not valid.
        camera: of all.
    """
    folder.mkdir(parents=True)
    cells = np.empty((len(frames), len(frames[0])), object)
    for i, people in enumerate(frames):
        for j, joints in enumerate(people):
            places = np.zeros((17, 3)) if joints is None else joints.numpy()
            pixels = np.zeros((17, 2)) if joints is None else camera.project(joints).numpy()
            cells[i, j] = {
                "annot2": pixels.T,
                "annot3": 1000 * places.T,
                "univ_annot3": 1000 * places.T,
                "isValidFrame": np.array([[int(joints is not None)]], np.uint8),
            }
    savemat(folder / "annot.mat", {"annotations": cells})
