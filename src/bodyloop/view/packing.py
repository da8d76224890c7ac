"""Arrays in a block of bytes for a page: small integers where metres need not be exact to the last bit."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

STEPS = 65535
"""Of a quantised place: over a body of 2 m, the error is at most 0.016 mm each way."""
Entry = dict[str, Any]
"""Where an array is: type, offset in bytes, count of numbers, columns, and whether rows are differences."""

_TYPES = {"<i2": "int16", "<u1": "uint8", "<u2": "uint16", "<u4": "uint32", "<f4": "float32"}


@dataclass
class Pack:
    """A growing block of bytes.

    Attributes:
        data: arrays one after the other, little-endian, each aligned to four bytes.
    """

    data: bytearray = field(default_factory=bytearray)

    def add(self, array: np.ndarray, differences: bool = False) -> Entry:
        """Append an array (N, C) or (N,).

        Args:
            array: float32, or integers of 8 (unsigned), 16 or 32 bits (unsigned).
            differences: keep each row's difference from the row before instead, modulo the type's range, which is
                smaller once compressed where neighbours are alike. Of integers alone.
        """
        array = np.ascontiguousarray(array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        kind = _TYPES[array.dtype.str.replace("|", "<")]
        columns = array.shape[1] if array.ndim > 1 else 1
        rows = array.reshape(-1, columns)
        if differences:
            if kind == "float32":
                raise ValueError("differences of floating point numbers would not add up again")
            rows = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
        self.data += bytes(-len(self.data) % 4)
        offset = len(self.data)
        self.data += rows.tobytes()
        return {
            "type": kind,
            "offset": offset,
            "count": int(rows.size),
            "columns": columns,
            "differences": differences,
        }

    def add_places(self, places: Tensor) -> Entry:
        """Append places (N, 3) in metres, to 1 part in `STEPS` of their extent each way: ``low + step * number``."""
        low, high = places.amin(0).double(), places.amax(0).double()
        step = ((high - low) / STEPS).clamp_min(1e-12)
        numbers = ((places.double() - low) / step).round().clamp(0, STEPS)
        entry = self.add(numbers.cpu().numpy().astype(np.uint16), differences=True)
        return entry | {"low": low.tolist(), "step": step.tolist()}

    def add_faces(self, faces: Tensor) -> Entry:
        """Append triangles (F, 3)."""
        numbers = faces.cpu().numpy()
        small = not numbers.size or numbers.max() < 1 << 16
        return self.add(numbers.astype(np.uint16 if small else np.uint32), differences=True)
