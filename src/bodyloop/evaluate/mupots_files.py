"""MuPoTS' annotations: ``MultiPersonTestSet/TS{1..20}/annot.mat``, MATLAB's format of version 5.

``annotations`` is a cell for each frame and person of a struct with ``annot2`` (2, 17) pixels, ``annot3`` and
``univ_annot3`` (3, 17) millimetres in the camera's frame, and ``isValidFrame``; images are ``img_%06d.jpg``, counted
from 0. Known from third-party readers alone (docs/formats.md).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodyloop.body.skeletons import MPI17
from bodyloop.errors import InputError

FILE = "annot.mat"


@dataclass(frozen=True, eq=False)
class Annotated:
    """The valid annotations of a frame.

    Attributes:
        sequence: "TS1" to "TS20".
        frame: its number, from 0 on.
        image: its file, whether or not it is there.
        pixels: (G, 17, 2).
        places: (G, 17, 3) metres, camera frame, as they were.
        universal: (G, 17, 3) metres, scaled to one height, as errors from the pelvis are counted.
    """

    sequence: str
    frame: int
    image: Path
    pixels: Tensor
    places: Tensor
    universal: Tensor


def read_mupots(folder: Path) -> Iterator[Annotated]:
    """Frames with somebody in them, sequence by sequence.

    Args:
        folder: ``MultiPersonTestSet``, or one of its sequences.

    Raises:
        InputError: if there are no such files, or one is damaged.
    """
    files = [folder / FILE] if (folder / FILE).is_file() else list(folder.glob(f"TS*/{FILE}"))
    if not files:
        raise InputError(
            f"{folder}: expected MuPoTS, a folder with TS1/{FILE} to TS20/{FILE}, got none; give MultiPersonTestSet"
        )
    for file in sorted(files, key=_number):
        yield from _sequence(file)


def _number(file: Path) -> int:
    found = re.fullmatch(r"TS(\d+)", file.parent.name)
    return int(found[1]) if found else 0


def _sequence(file: Path) -> Iterator[Annotated]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        cells = loadmat(file, variable_names=["annotations"])["annotations"]
    except (MatReadError, KeyError, OSError, ValueError, NotImplementedError, TypeError) as error:
        raise InputError(
            f"{file}: expected MATLAB's cells 'annotations' ({type(error).__name__}: {error}); download it anew"
        ) from None
    for frame, row in enumerate(np.atleast_2d(cells)):
        people = [_person(file, frame, cell) for cell in row]
        valid = [person for person in people if person is not None]
        if not valid:
            continue
        arrays = (torch.stack(values) for values in zip(*valid, strict=True))
        pixels, places, universal = arrays
        image = file.parent / f"img_{frame:06d}.jpg"
        yield Annotated(file.parent.name, frame, image, pixels, places / 1000, universal / 1000)


def _person(file: Path, frame: int, cell: Any) -> tuple[Tensor, Tensor, Tensor] | None:
    """annot2, annot3, univ_annot3 as (17, .); None for somebody who is not valid in this frame."""
    names = cell.dtype.names or ()
    if not {"annot2", "annot3", "univ_annot3", "isValidFrame"} <= set(names):
        raise InputError(
            f"{file}: frame {frame}: expected annot2, annot3, univ_annot3 and isValidFrame, got {', '.join(names)}"
        )
    one = cell.reshape(-1)[0]
    if not np.any(one["isValidFrame"]):
        return None
    found = []
    for name, size in (("annot2", 2), ("annot3", 3), ("univ_annot3", 3)):
        values = np.asarray(one[name], dtype=np.float64)
        if values.shape != (size, len(MPI17)):
            raise InputError(
                f"{file}: frame {frame}: expected {name} of shape ({size}, {len(MPI17)}), got {values.shape}"
            )
        found.append(torch.from_numpy(values.T.copy()))
    return found[0], found[1], found[2]
