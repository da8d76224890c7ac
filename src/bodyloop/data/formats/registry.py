"""The formats there are, and which of them a path holds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bodyloop.data.formats.coco import COCO, DENSEPOSE
from bodyloop.data.formats.eft import EFT
from bodyloop.data.formats.format import Content, DatasetSpec, Format
from bodyloop.data.formats.human36m import HUMAN36M
from bodyloop.data.formats.human_data import HUMAN_DATA
from bodyloop.data.formats.mocap import MOCAP
from bodyloop.data.formats.neuralannot import COCO_SMPL, MULTIVIEW, NEURALANNOT
from bodyloop.data.formats.parquet import PARQUET
from bodyloop.data.formats.pw3d import PW3D
from bodyloop.data.formats.spin import SPIN
from bodyloop.data.formats.surreal import SURREAL
from bodyloop.data.formats.up3d import UP3D
from bodyloop.data.record import RecordSet
from bodyloop.errors import InputError

FORMATS = {
    f.name: f
    for f in (
        SPIN, HUMAN_DATA, MOCAP, DENSEPOSE, COCO_SMPL, HUMAN36M, COCO, NEURALANNOT, EFT, MULTIVIEW, PW3D,
        SURREAL, UP3D, PARQUET,
    )
}  # fmt: skip
"""Every format, by name. A path is of the first that recognises its content."""


def find_format(content: Content) -> Format:
    """The format of a file or folder, by its content.

    Raises:
        InputError: if it is of none.
    """
    for candidate in FORMATS.values():
        if candidate.tells(content):
            return candidate
    what = "a folder" if content.is_folder else f"a file that starts with {content.head[:16]!r}"
    kinds = "; ".join(f"{f.name} ({f.what})" for f in FORMATS.values())
    raise InputError(
        f"{content.path}: expected a data set, got {what} of no known format; there are: {kinds}"
    )


def open_dataset(spec: DatasetSpec | str | Path, **options: Any) -> RecordSet:
    """The records of a data set of any known format.

    What is broken is left out and counted, in one UserWarning with the first reasons.

    Args:
        spec: what to read; a path stands for a `DatasetSpec` of it.
        options: further fields of the `DatasetSpec`.

    Raises:
        InputError: no such file, an unknown format, or nothing in it that can be used.
    """
    spec = replace(spec, **options) if isinstance(spec, DatasetSpec) else DatasetSpec(Path(spec), **options)
    content = Content(spec.path)
    if spec.format is None:
        chosen = find_format(content)
    elif spec.format in FORMATS:
        chosen = FORMATS[spec.format]
        if not chosen.tells(content):
            raise InputError(
                f"{spec.path}: expected {chosen.what}, got something else; leave the format out to have it told by the "
                "content"
            )
    else:
        raise InputError(f"no format is called {spec.format!r}; expected one of {', '.join(FORMATS)}")
    return chosen.read(content, spec)
