"""COCO's run-length encoded masks, compressed and not, in numpy alone.

The format is that of the COCO API's ``maskApi.c``: runs of background and foreground in turn, background first,
down the columns. The compressed string holds each run, from the fourth on as the difference to the run two
before it, in groups of 5 bits, the lowest first: 0x20 says that more groups follow, 0x10 of the last group is the
sign, and 48 makes it printable.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bodyloop.errors import InputError

EXPECTED = 'a COCO RLE {"size": [height, width], "counts": a string or a list of run lengths}'

MAX_PIXELS = 2**28
"""Masks beyond this size are taken for damage rather than decoded."""

_BITS, _MORE, _SIGN, _ZERO = 5, 0x20, 0x10, 48
_MAX_GROUPS = 7  # 35 bits, more than any run has


def decode_rle(rle: Any) -> np.ndarray:
    """Mask of an RLE.

    Args:
        rle: mapping with ``size`` [height, width] and ``counts``: compressed (str or bytes) or run lengths.

    Returns:
        (height, width) bool.

    Raises:
        InputError: if it is no RLE, is damaged, or its runs do not add up to its size.
    """
    height, width, counts = rle_counts(rle)
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(width, height).T


def rle_counts(rle: Any) -> tuple[int, int, np.ndarray]:
    """Height, width, and run lengths (R,) int64 of an RLE, checked as `decode_rle` does.

    Raises:
        InputError: as `decode_rle`.
    """
    if not isinstance(rle, Mapping) or not {"size", "counts"} <= rle.keys():
        raise InputError(f"expected {EXPECTED}, got {str(rle)[:60]!r}; polygons are not read here")
    size, counts = rle["size"], rle["counts"]
    good = isinstance(size, list | tuple) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)
    if not good or size[0] * size[1] > MAX_PIXELS:
        raise InputError(
            f"expected {EXPECTED}, got the size {str(size)[:60]}; height and width must be whole numbers above 0 "
            f"with at most {MAX_PIXELS} pixels"
        )
    if isinstance(counts, str | bytes):
        runs = string_to_counts(counts)
    elif isinstance(counts, list | tuple) and all(type(n) is int and 0 <= n <= MAX_PIXELS for n in counts):
        runs = np.array(counts, dtype=np.int64)
    else:
        raise InputError(f"expected {EXPECTED}, got the counts {str(counts)[:60]}; write the mask again")
    if (runs < 0).any() or runs.sum() != size[0] * size[1]:
        raise InputError(
            f"expected runs that add up to {size[0]} x {size[1]} = {size[0] * size[1]} pixels, got "
            f"{int(runs.sum())} in {len(runs)} runs, the shortest {int(runs.min(initial=0))}; the RLE is damaged or "
            "its size is that of another mask: write it again"
        )
    return size[0], size[1], runs


def encode_rle(mask: np.ndarray, compressed: bool = True) -> dict[str, Any]:
    """RLE of a mask (height, width), whose non-zero pixels count.

    Returns:
        ``size`` [height, width] and ``counts``, a string, or a list if not `compressed`.

    Raises:
        ValueError: if the mask has not two dimensions, or no pixels.
    """
    if mask.ndim != 2 or mask.size == 0:
        raise ValueError(f"a mask is (H, W), got {mask.shape}")
    flat = mask.astype(bool).ravel(order="F")
    ends = np.concatenate([np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    counts = np.diff(ends, prepend=0)
    if flat[0]:
        counts = np.concatenate([[0], counts])
    return {
        "size": [int(n) for n in mask.shape],
        "counts": counts_to_string(counts) if compressed else counts.tolist(),
    }


def string_to_counts(text: str | bytes) -> np.ndarray:
    """Run lengths (R,) int64 of a compressed string; they may be negative where it is damaged.

    Raises:
        InputError: on characters that do not occur, an unfinished or an endless number.
    """
    data = text.encode("utf-8") if isinstance(text, str) else text
    groups = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - _ZERO
    if not ((groups >= 0) & (groups < 64)).all():
        raise InputError(
            f"expected a compressed RLE of the characters '0' to 'o', got {text[:40]!r}; write it again"
        )
    last = np.flatnonzero(groups & _MORE == 0)
    if len(groups) and (len(last) == 0 or last[-1] != len(groups) - 1):
        raise InputError(
            f"expected a complete RLE, got one that ends within a number ({text[-10:]!r}); write it again"
        )
    first = np.concatenate([[0], last[:-1] + 1]).astype(np.int64)
    lengths = last - first + 1
    if lengths.max(initial=0) > _MAX_GROUPS:
        raise InputError(
            f"expected runs of at most {_MAX_GROUPS} characters, got {lengths.max()}; write it again"
        )
    if len(groups) == 0:
        return np.zeros(0, dtype=np.int64)
    place = np.arange(len(groups)) - np.repeat(first, lengths)
    numbers = np.add.reduceat((groups & 0x1F) << (_BITS * place), first)
    numbers -= np.where(groups[last] & _SIGN, np.int64(1) << (_BITS * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])  # the third run is not a difference, so the first stays out
    return numbers


def counts_to_string(counts: np.ndarray) -> str:
    """Compressed string of run lengths (R,)."""
    numbers = np.asarray(counts, dtype=np.int64).copy()
    numbers[3:] -= np.asarray(counts, dtype=np.int64)[1:-2]
    lengths = np.ones(len(numbers), dtype=np.int64)
    for groups in range(1, _MAX_GROUPS):
        bound = 1 << (_BITS * groups - 1)
        lengths += (numbers < -bound) | (numbers >= bound)
    number = np.repeat(np.arange(len(numbers)), lengths)
    place = np.arange(len(number)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    bits = (numbers[number] >> (_BITS * place)) & 0x1F
    more = np.where(place < lengths[number] - 1, _MORE, 0)
    return (bits + more + _ZERO).astype(np.uint8).tobytes().decode("ascii")
