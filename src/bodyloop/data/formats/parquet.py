"""Parquet files of `bodyloop.data.writers.parquet`: labels with everything that is known of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bodyloop.body import SKELETONS
from bodyloop.data.crowd import Crowd, Labelled, joined
from bodyloop.data.formats.columns import good_boxes
from bodyloop.data.formats.format import Content, DatasetSpec, Format, Tally
from bodyloop.data.record import BodyLabel, Keypoints2D, Record, RecordSet
from bodyloop.data.writers.parquet import load_pyarrow
from bodyloop.errors import InputError

WHAT = "a Parquet file of 'bodyloop annotate' or 'bodyloop convert'"
_VECTORS = {"box": 4, "pose": 72, "betas": 10, "trans": 3, "focal": 2, "center": 2}


def labelled_parts(path: Path) -> Iterator[Labelled]:
    """The people of a file, a row group at a time.

    Raises:
        InputError: no pyarrow, no such file, or one of other columns.
    """
    pyarrow, parquet = load_pyarrow()
    try:
        file = parquet.ParquetFile(path)
        about = {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items()}
        for group in range(file.num_row_groups):
            yield _part(file.read_row_group(group), about)
    except (KeyError, ValueError, OSError, pyarrow.ArrowException) as error:
        raise InputError(f"{path}: expected {WHAT}, got something else ({error}); write it again") from None


def _part(table: object, about: dict[str, str]) -> Labelled:
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}  # type: ignore[attr-defined]
    arrays: dict[str, np.ndarray] = {}
    for name, column in columns.items():
        kind = str(column.type)
        if kind == "string":
            arrays[name] = np.array(column.to_pylist(), dtype=str)
        elif kind.startswith("fixed_size_list"):
            arrays[name] = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
        else:
            arrays[name] = column.to_numpy(zero_copy_only=False)
    skeleton = SKELETONS[about["skeleton"]]
    count = len(arrays["id"])
    for name, width in _VECTORS.items():
        if arrays[name].shape != (count, width):
            raise ValueError(f"{name!r} of shape {arrays[name].shape}")
    crowd = Crowd(
        skeleton,
        arrays.pop("id"),
        arrays.pop("image"),
        np.stack([arrays.pop("width"), arrays.pop("height")], 1).astype(np.int32),
        arrays.pop("box"),
        arrays.pop("keypoints").reshape(count, len(skeleton), 3),
    )
    return Labelled(
        crowd,
        arrays.pop("pose"),
        arrays.pop("betas"),
        arrays.pop("trans"),
        arrays.pop("focal"),
        arrays.pop("center"),
        about["body"],
        {name: values for name, values in arrays.items() if values.dtype.kind != "U"},
        {name: values for name, values in arrays.items() if values.dtype.kind == "U"},
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    name: str
    images: Path
    people: Labelled

    def __call__(self, row: int) -> Record:
        people, crowd = self.people, self.people.crowd
        x0, y0, x1, y1 = crowd.boxes[row].tolist()
        values = torch.from_numpy(crowd.keypoints[row].copy())
        camera = people.camera(row)
        return Record(
            self.name,
            str(crowd.ids[row]),
            self.images / str(crowd.images[row]),
            camera.size,
            (x0, y0, x1, y1),
            Keypoints2D(
                crowd.skeleton,
                values[:, :2],
                values[:, 2],
                torch.zeros(len(crowd.skeleton), dtype=torch.bool),
            ),
            body=BodyLabel(people[row : row + 1].bodies()[0]),
            gender="neutral",
            camera=camera,
        )


def read_parquet(content: Content, spec: DatasetSpec) -> RecordSet:
    """Records of labels: SMPL parameters in camera axes, the image's camera, box and keypoints. All are held in memory.

    Raises:
        InputError: no pyarrow, or nothing that can be used.
    """
    tally = Tally()
    people = joined(list(labelled_parts(content.path)) or [_nobody(content.path)])
    numbers = (people.pose, people.betas, people.trans, people.focal, people.center)
    finite = np.all([np.isfinite(values).all(1) for values in numbers], 0) & (people.focal > 0).all(1)
    tally.drop_rows(~finite, "parameters that are not finite, or a camera that is none")
    boxed = good_boxes(people.crowd.boxes)
    tally.drop_rows(~boxed & finite, "a box that is none")
    kept = np.flatnonzero(finite & boxed)
    rows = _Rows(spec.label, spec.image_folder(), people)
    return RecordSet(spec.label, spec.path, rows, kept, tally.settle(spec, WHAT, len(kept)))


def _nobody(path: Path) -> Labelled:
    raise InputError(f"{path}: expected {WHAT}, got one of nobody; write it again")


PARQUET = Format("parquet", WHAT, lambda content: content.head.startswith(b"PAR1"), read_parquet)
