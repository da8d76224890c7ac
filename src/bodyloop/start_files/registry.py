"""Which kind of file of bodies a path holds."""

from pathlib import Path

from bodyloop.data.formats.format import Content
from bodyloop.errors import InputError
from bodyloop.start_files import labels, own, rows, video
from bodyloop.start_files.file import StartFile

KINDS = (
    "bodyloop's body.npz or a folder of results", rows.SPIN_RESULTS, rows.SPIN_FITS, rows.SPIN_LABELS, rows.HUMANS_4D,
    rows.CAMERA_HMR, labels.EFT, *(known.what for known in labels.LABELS), video.PHALP, video.GVHMR,
)  # fmt: skip


def read_starts(path: str | Path, annotations: str | Path | None = None) -> StartFile:
    """Bodies of a file of any known kind, told by its content.

    Args:
        path: the file, or a folder of bodyloop's results.
        annotations: the data set's own labels, where a file does not name the images of its people: SPIN's ``.npz`` for
            SPIN's results and static fits, COCO's annotations for NeuralAnnot's labels.

    Raises:
        InputError: no such file, one of no known kind, or nothing in it that can be used.
    """
    content = Content(Path(path))
    beside = None if annotations is None else Path(annotations)
    if content.is_folder or own.KEYS.issubset(content.arrays):
        return own.read_own(content.path)
    if rows.tells_rows(content):
        return rows.read_rows(content, beside)
    if labels.tells_eft(content):
        return labels.read_eft(content)
    if labels.tells_labels(content):
        return labels.read_labels(content, beside)
    if video.tells_gvhmr(content):
        return video.read_gvhmr(content)
    if video.tells_phalp(content):
        return video.read_phalp(content)
    what = (
        f"an archive of {', '.join(content.arrays[:8])}" if content.arrays else f"{content.head[:16]!r} ..."
    )
    raise InputError(
        f"{path}: expected a file of bodies, got {what}, which is of no known kind: {'; '.join(KINDS)}"
    )
