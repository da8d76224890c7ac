"""Masks of LSP's people (UPi-S1h of Lassner et al., "Unite the People", 2017): silhouettes and six parts as PNG."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bodyloop.body.parts import partition
from bodyloop.data.part_maps import UNKNOWN, UPI_PARTS
from bodyloop.errors import InputError
from bodyloop.evaluate.evaluation import UNLABELLED


def read_silhouette(path: str | Path) -> Tensor:
    """(H, W) bool: where the picture, as grey, is not black (``im1001_segmentation.png``).

    Raises:
        InputError: if it cannot be read.
    """
    return torch.from_numpy(_grey(path) > 0)


def read_part_map(path: str | Path, parts: tuple[str, ...] = UPI_PARTS) -> Tensor:
    """(H, W) int64 labels of the partition ``lsp``, -1 for the background, `UNLABELLED` for the files' 255.

    Args:
        path: ``im1001_part_segmentation.png``.
        parts: what labels 1, 2, ... mean, names of the partition.

    Raises:
        InputError: if it cannot be read, or has other labels.
    """
    labels = _grey(path)
    strange = np.setdiff1d(labels, [*range(len(parts) + 1), UNKNOWN])
    if len(strange):
        raise InputError(
            f"{path}: expected labels 0 to {len(parts)} and {UNKNOWN}, got {', '.join(map(str, strange[:5]))}"
            f"{' ...' if len(strange) > 5 else ''}; give the part segmentation's PNG, unchanged"
        )
    known = partition("lsp").parts
    table = np.full(UNKNOWN + 1, UNLABELLED, dtype=np.int64)
    table[: len(parts) + 1] = [-1, *(known.index(name) for name in parts)]
    return torch.from_numpy(table[labels])


def _grey(path: str | Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if image.mode == "P":  # a palette's numbers are the labels, its colours are for people
                return np.asarray(image).copy()
            return np.asarray(image.convert("L")).copy()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read as a picture ({error.strerror or error}); give a PNG"
        ) from None
    except (ValueError, SyntaxError, Image.DecompressionBombError) as error:  # damaged chunks, absurd sizes
        raise InputError(f"{path}: not a readable picture ({error}); give a PNG") from None
