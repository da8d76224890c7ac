"""Parquet: a row a person with everything that is known, in columns that data-frame libraries read."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bodyloop.body import BodyModel
from bodyloop.data.crowd import Labelled
from bodyloop.errors import InputError
from bodyloop.writing import atomic_file


def write_parquet(parts: Iterator[Labelled], out: Path, body: BodyModel) -> Path:
    """Write ``labels.parquet``: a row group for each part, fixed-size lists of float32 for vectors.

    Columns: id, image, width, height, box, keypoints (x, y, confidence one after the other), pose, betas, trans,
    focal, center, and all figures and words of the labels; the file's metadata name skeleton and body model. Parts
    need not have the same figures and words: where a part lacks one that another has, it is NaN or empty. Only one part
    is in memory; they wait on disk for the last one, since a file says its columns first.

    Raises:
        InputError: no pyarrow, nobody to write, or a file that cannot be written.
    """
    pyarrow, parquet = load_pyarrow()
    path, about, fields = out / "labels.parquet", dict[str, str](), dict[str, Any]()
    with TemporaryDirectory(prefix=".columns-", dir=out) as folder:
        waiting: list[Path] = []
        for part in parts:
            if not len(part):
                continue
            table = _table(pyarrow, part)
            about = about or {"skeleton": part.crowd.skeleton.name, "body": part.body}
            fields = {field.name: field for field in table.schema} | fields
            waiting.append(Path(folder) / f"{len(waiting)}.arrow")
            with pyarrow.ipc.new_file(str(waiting[-1]), table.schema) as file:
                file.write_table(table)
        if not waiting:
            raise InputError(f"{path}: nobody to write: all labels were rejected")
        schema = pyarrow.schema(list(fields.values()), about)
        with atomic_file(path) as target, parquet.ParquetWriter(target, schema) as writer:
            for place in waiting:
                with pyarrow.ipc.open_file(str(place)) as file:
                    table = file.read_all()
                for field in schema:
                    if field.name not in table.column_names:
                        table = table.append_column(field, _missing(pyarrow, field.type, len(table)))
                writer.write_table(table.select(schema.names).cast(schema))
    return path


def load_pyarrow() -> tuple[Any, Any]:
    """pyarrow and its parquet module.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError("Parquet files need pyarrow: pip install 'bodyloop[parquet]'") from None
    return pyarrow, pyarrow.parquet


def _table(pyarrow: Any, part: Labelled) -> Any:
    crowd = part.crowd
    columns: dict[str, np.ndarray] = {
        "id": crowd.ids,
        "image": crowd.images,
        "width": crowd.sizes[:, 0],
        "height": crowd.sizes[:, 1],
        "box": crowd.boxes,
        "keypoints": crowd.keypoints.reshape(len(crowd), -1),
        "pose": part.pose,
        "betas": part.betas,
        "trans": part.trans,
        "focal": part.focal,
        "center": part.center,
        **part.figures,
        **part.words,
    }
    return pyarrow.table({name: _column(pyarrow, values) for name, values in columns.items()})


def _column(pyarrow: Any, values: np.ndarray) -> Any:
    if values.dtype.kind == "U":
        return pyarrow.array(values.tolist(), pyarrow.string())
    if values.ndim == 1:
        return pyarrow.array(values)
    flat = pyarrow.array(np.ascontiguousarray(values).reshape(-1))
    return pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _missing(pyarrow: Any, kind: Any, count: int) -> Any:
    """A column of nothing: empty texts, NaN."""
    if pyarrow.types.is_string(kind):
        return pyarrow.array([""] * count, kind)
    width = getattr(kind, "list_size", 0)
    values = np.full((count, width) if width else count, np.nan, np.float32)
    return _column(pyarrow, values).cast(kind)
