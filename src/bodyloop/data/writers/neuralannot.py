"""NeuralAnnot's JSON for data sets of single images: ``{"ID": {"smpl_param": ..., "cam_param": ...}}``."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bodyloop.body import BodyModel
from bodyloop.data.crowd import Labelled
from bodyloop.writing import atomic_file

DIGITS = 7
"""Behind the point, which is more than single precision holds of angles and metres."""


def write_neuralannot(parts: Iterator[Labelled], out: Path, body: BodyModel) -> Path:
    """Write ``neuralannot.json``: pose, shape, translation in metres, and the whole image's camera, by annotation id.

    Layout of the files of Moon et al., "NeuralAnnot", 2022, as their demos read them. Only one part is held in memory.

    Raises:
        InputError: if it cannot be written.
    """
    path = out / "neuralannot.json"
    with atomic_file(path) as file:
        file.write(b"{")
        comma = b""
        for part in parts:
            pose, betas, trans, focal, center = (
                numbers(x) for x in (part.pose, part.betas, part.trans, part.focal, part.center)
            )
            for row, key in enumerate(part.crowd.ids.tolist()):
                value = {
                    "smpl_param": {"pose": pose[row], "shape": betas[row], "trans": trans[row]},
                    "cam_param": {"focal": focal[row], "princpt": center[row]},
                }
                file.write(comma + f"{json.dumps(key)}: {json.dumps(value)}".encode())
                comma = b",\n"
        file.write(b"}\n")
    return path


def numbers(values: np.ndarray) -> list[list[float]]:
    """Rows (N, ...) as nested lists, rounded to what single precision holds."""
    rows: list[list[float]] = values.astype(np.float64).round(DIGITS).tolist()
    return rows
