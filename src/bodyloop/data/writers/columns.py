"""Columns that grow on disk and become a ``.npz`` file at the end, so that its rows never are in memory at once."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

import numpy as np

from bodyloop.writing import atomic_file

BLOCK = 1 << 22


class GrowingColumns:
    """Arrays of numbers and columns of text, to which rows are added."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds the parts meanwhile."""
        self._folder = folder
        self._numbers: dict[str, tuple[IO[bytes], np.dtype[Any], tuple[int, ...]]] = {}
        self._texts: dict[str, tuple[IO[bytes], int]] = {}
        self._files: list[IO[bytes]] = []
        self.rows = 0

    def add(self, **columns: np.ndarray) -> None:
        """Some more rows; the same columns each time, numbers (N, ...) or text (N,)."""
        counts = {len(values) for values in columns.values()}
        if len(counts) != 1:
            raise ValueError(f"columns of different lengths: { {k: len(v) for k, v in columns.items()} }")
        self.rows += counts.pop()
        for name, values in columns.items():
            if values.dtype.kind == "U":
                self._add_text(name, values)
            else:
                self._add_numbers(name, np.ascontiguousarray(values))

    def _add_numbers(self, name: str, values: np.ndarray) -> None:
        if name not in self._numbers:
            self._numbers[name] = (self._open(name), values.dtype, values.shape[1:])
        file, dtype, shape = self._numbers[name]
        if (values.dtype, values.shape[1:]) != (dtype, shape):
            raise ValueError(f"{name}: rows of {dtype} {shape}, then of {values.dtype} {values.shape[1:]}")
        file.write(values.tobytes())

    def _add_text(self, name: str, values: np.ndarray) -> None:
        file, longest = self._texts.get(name) or (self._open(name), 1)
        for text in values.tolist():
            data = text.encode()
            file.write(len(data).to_bytes(4, "little") + data)
            longest = max(longest, len(text))
        self._texts[name] = (file, longest)

    def save(self, path: Path) -> None:
        """Write ``path``, an uncompressed archive as numpy's ``savez`` does.

        Raises:
            InputError: if it cannot be written.
        """
        with (
            atomic_file(path) as target,
            zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive,
        ):
            for name, (file, dtype, shape) in self._numbers.items():
                with _member(archive, name, dtype, (self.rows, *shape)) as member:
                    file.seek(0)
                    while block := file.read(BLOCK):
                        member.write(block)
            for name, (file, longest) in self._texts.items():
                dtype = np.dtype(f"<U{longest}")
                with _member(archive, name, dtype, (self.rows,)) as member:
                    file.seek(0)
                    while size := file.read(4):
                        text = file.read(int.from_bytes(size, "little")).decode()
                        member.write(np.array(text, dtype).tobytes())

    def close(self) -> None:
        """Let go of the parts."""
        for file in self._files:
            file.close()

    def _open(self, name: str) -> IO[bytes]:
        self._files.append((self._folder / name).open("w+b"))
        return self._files[-1]


@contextmanager
def _member(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Iterator[IO[bytes]]:
    header = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, about)  # type: ignore[no-untyped-call]
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        member.write(header.getvalue())
        yield member


@contextmanager
def growing_columns(out: Path) -> Iterator[GrowingColumns]:
    """Columns whose parts lie in a folder inside of `out` until the end."""
    with TemporaryDirectory(prefix=".columns-", dir=out) as folder:
        columns = GrowingColumns(Path(folder))
        try:
            yield columns
        finally:
            columns.close()
