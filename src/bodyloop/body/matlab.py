"""MATLAB v5 files: numbers and cells of them, read without trusting the file.

After "MAT-File Format", The MathWorks, level 5. scipy's reader knows more kinds of variables, but a damaged file can
crash it.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bodyloop.errors import InputError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""numpy's name of each type in which numbers are stored."""
_CELL = 1
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""numpy's name of each class of numbers, which may be stored in a smaller type."""
_COMPLEX = 0x0800
_MOST_BYTES = 2**31
_DEEPEST = 8


class _DamagedError(Exception):
    """The file is not what it says."""


def load_mat(path: Path, what: str, keys: tuple[str, ...] | None = None) -> Mapping[str, Any]:
    """Variables of a MATLAB v5 file: numeric arrays, and cells as arrays of objects. Others are None.

    Args:
        path: the file.
        what: "expected ...", for messages.
        keys: the variables that are needed; all if None.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); check the path; {what}"
        ) from None
    try:
        return dict(_variables(content, keys))
    except (_DamagedError, zlib.error, MemoryError) as error:
        raise InputError(f"{path}: not a readable MATLAB v5 file ({error}); {what}") from None


def _variables(content: bytes, keys: tuple[str, ...] | None) -> Iterator[tuple[str, Any]]:
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER])
    if order is None:
        other = "HDF5, which is MATLAB v7.3" if content.startswith(b"\x89HDF") else "something else"
        raise _DamagedError(f"its head is that of {other}")
    for kind, data in _elements(content[_HEADER:], order):
        if kind == _COMPRESSED:
            inner = zlib.decompressobj()
            plain = inner.decompress(data, _MOST_BYTES)
            if not inner.eof:
                raise _DamagedError("a compressed variable is cut short, or too large")
            kind, data = next(_elements(plain, order), (0, b""))
        if kind == _MATRIX:
            name, value = _matrix(data, order, keys)
            if keys is None or name in keys:
                yield name, value


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and bytes of each element."""
    place = 0
    while place + 8 <= len(data):
        first, size = np.frombuffer(data, f"{order}u4", 2, place).tolist()
        kind, start = first, place + 8
        end = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if first >> 16:  # up to four bytes in the tag itself
            kind, size, start, end = first & 0xFFFF, first >> 16, place + 4, place + 8
            if size > 4:
                raise _DamagedError("a small element that is none")
        if start + size > len(data):
            raise _DamagedError("it ends within a variable")
        yield kind, data[start : start + size]
        place = end


def _matrix(data: bytes, order: str, keys: tuple[str, ...] | None, depth: int = 0) -> tuple[str, Any]:
    """Name and value; None for a variable that is not wanted, or neither numbers nor cells."""
    if not data:
        return "", np.zeros((0, 0))
    parts = _elements(data, order)
    flags, shape, name = (_next(parts) for _ in range(3))
    info = _numbers(flags, order)
    dims = [int(n) for n in _numbers(shape, order)]
    text = name[1].decode("latin1")
    count = math.prod(dims)
    if not len(info) or len(dims) < 2 or min(dims) < 0 or count * 8 > _MOST_BYTES:
        raise _DamagedError(f"a variable of size {dims[:4]}")
    if depth == 0 and keys is not None and text not in keys:
        return text, None
    kind = int(info[0]) & 0xFF
    if kind == _CELL and depth < _DEEPEST:
        if count > len(data):
            raise _DamagedError("a cell array that is cut short")
        cells = np.empty(count, dtype=object)
        for i in range(count):
            found, inner = _next(parts)
            if found != _MATRIX:
                raise _DamagedError("a cell that is no variable")
            cells[i] = _matrix(inner, order, None, depth + 1)[1]
        return text, cells.reshape(dims, order="F")
    if kind not in _CLASSES or int(info[0]) & _COMPLEX:
        return text, None
    values = _numbers(_next(parts), order)
    if len(values) != count:
        raise _DamagedError(f"{len(values)} numbers in a variable of size {dims}")
    with np.errstate(over="ignore", invalid="ignore"):
        return text, values.astype(_CLASSES[kind]).reshape(dims, order="F")


def _next(parts: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
    found = next(parts, None)
    if found is None:
        raise _DamagedError("a variable is cut short")
    return found


def _numbers(element: tuple[int, bytes], order: str) -> np.ndarray:
    kind, data = element
    if kind not in _STORED:
        raise _DamagedError(f"numbers of unknown type {kind}")
    stored = np.dtype(order + _STORED[kind])
    if len(data) % stored.itemsize:
        raise _DamagedError("numbers that are cut short")
    return np.frombuffer(data, stored)
