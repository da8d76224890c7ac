"""What all formats share: what is asked for, what a path holds, and what was left out."""

import pickletools
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from bodyloop.body import BodyModel
from bodyloop.body.pickles import PickleRefusedError, load_plain
from bodyloop.data.record import RecordSet
from bodyloop.errors import InputError
from bodyloop.evidence.json_files import Skips, parse_json, read_text


@dataclass(frozen=True)
class DatasetSpec:
    """Which data set to read, and how.

    Attributes:
        path: file or folder of labels.
        format: name in `FORMATS`; told by the content if None.
        images: folder that image names are relative to; where the format has its images if None.
        masks: folder that names of mask files are relative to; `images` if None.
        annotations: file or folder that goes with `path`: COCO's annotations for NeuralAnnot's.
        split: of formats with several in one folder; all if None.
        name: of the data set; the path's stem if None.
        body: SMPL's own body, where places depend on its rest pelvis (SURREAL, NeuralAnnot of many views); without
            it translations of these are left out.
        fps: frames per second to which motion capture is thinned; every frame if None.
        strict: raise at the first broken record instead of leaving it out.
    """

    path: Path
    format: str | None = None
    images: Path | None = None
    masks: Path | None = None
    annotations: Path | None = None
    split: str | None = None
    name: str | None = None
    body: BodyModel | None = None
    fps: float | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        for key in ("path", "images", "masks", "annotations"):
            value = getattr(self, key)
            if isinstance(value, str):
                object.__setattr__(self, key, Path(value))

    @property
    def label(self) -> str:
        """Name of the data set."""
        return self.name or self.path.stem

    def image_folder(self, default: Path | None = None) -> Path:
        """Folder of the images."""
        return self.images or default or self.path.parent

    def mask_folder(self) -> Path:
        """Folder of the masks."""
        return self.masks or self.image_folder()


@dataclass(frozen=True)
class Format:
    """A data set format.

    Attributes:
        name: key in `FORMATS`.
        what: what a file of it is, for messages.
        tells: whether a path's content is of this format.
        read: its records.
    """

    name: str
    what: str
    tells: Callable[["Content"], bool]
    read: Callable[["Content", DatasetSpec], RecordSet]


LONGEST_KEY = 60


class Content:
    """What a path holds, looked at as far as needed and no further."""

    def __init__(self, path: Path) -> None:
        """Look whether it is there.

        Raises:
            InputError: no such file or folder, or an empty file.
        """
        self.path = path
        try:
            self.is_folder = path.is_dir()
            self.head = b""
            if not self.is_folder:
                with path.open("rb") as file:
                    self.head = file.read(256)
        except (OSError, ValueError) as error:  # a null byte in the path is a ValueError
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"{path}: expected a data set, got '{reason}'; check the path") from None
        if not self.is_folder and not self.head:
            raise InputError(f"{path}: expected a data set, got an empty file; write or download it again")

    @property
    def is_json(self) -> bool:
        """Whether the file starts as JSON does."""
        return self.head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")

    @cached_property
    def json(self) -> Any:
        """The JSON value.

        Raises:
            InputError: if it is not JSON.
        """
        expected = "a data set's JSON"
        return parse_json(self.path, read_text(self.path, expected), expected)

    @cached_property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays of a ``.npz`` file; none of other files.

        Raises:
            InputError: if the archive is damaged.
        """
        if not self.head.startswith(b"PK"):
            return ()
        try:
            with zipfile.ZipFile(self.path) as archive:
                return tuple(n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy"))
        except Exception as error:  # damaged archives fail in many ways
            raise InputError(
                f"{self.path}: expected a .npz archive, got a damaged one ({error}); copy or download it again"
            ) from None

    @cached_property
    def pickled_text(self) -> frozenset[str]:
        """Text near the start of a pickle, among it the keys of a dict; none of other files."""
        if not self.head or self.is_json or self.head.startswith((b"PK", b"MATLAB")):
            return frozenset()
        try:
            with self.path.open("rb") as file:
                return frozenset(islice(_texts(file), 400))
        except Exception:  # not a pickle, or a damaged one
            return frozenset()

    @property
    def is_mat(self) -> bool:
        """Whether it is a MATLAB v5 file."""
        return self.head.startswith(b"MATLAB")

    def files(self, pattern: str) -> list[Path]:
        """Files under the folder that match, sorted; the file itself, if it is one."""
        return sorted(self.path.rglob(pattern)) if self.is_folder else [self.path]


def _texts(file: Any) -> Iterator[str]:
    """Strings in a pickle, without unpickling it."""
    for _, argument, _ in pickletools.genops(file):
        if isinstance(argument, str) and len(argument) < LONGEST_KEY:  # arrays are text too, to Python 2
            yield argument


class Tally(Skips):
    """What a reader leaves out: whole records, and single labels of records that stay."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = self.blanked = 0

    def drop(self, reason: str, where: str, times: int = 1) -> None:
        """Leave broken records out."""
        self.broken += times
        self.add(reason, where, times)

    def blank(self, reason: str, where: str, times: int = 1) -> None:
        """Leave a label of a record out."""
        self.blanked += times
        self.add(reason, where, times)

    def drop_rows(self, bad: np.ndarray, reason: str) -> None:
        """Leave out the rows that are True."""
        if bad.any():
            self.drop(reason, f"row {int(np.flatnonzero(bad)[0])}", int(bad.sum()))

    def blank_rows(self, bad: np.ndarray, reason: str) -> None:
        """Leave out a label of the rows that are True."""
        if bad.any():
            self.blank(reason, f"row {int(np.flatnonzero(bad)[0])}", int(bad.sum()))

    def settle(self, spec: DatasetSpec, what: str, kept: int) -> list[str]:
        """Say what was left out, once, and return it as lines.

        Raises:
            InputError: nothing is left, or the data set is read strictly and something was broken.
        """
        why = "; ".join(self.lines(5))
        if spec.strict and (self.broken or self.blanked):
            raise InputError(
                f"{spec.path}: expected {what} without faults, since it is read strictly, got: {why}; correct them or "
                "read it without strict"
            )
        if not kept:
            raise InputError(
                f"{spec.path}: expected {what}, got none that can be used: {why or 'no records at all'}; download or "
                "write it again"
            )
        if self.broken or self.blanked:
            warnings.warn(
                f"{spec.path}: left out {self.broken} of {kept + self.broken} records and {self.blanked} labels: {why}",
                stacklevel=4,
            )
        return self.lines()


def read_arrays(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Arrays of a ``.npz`` file; those that hold Python objects are rebuilt from plain data alone.

    Args:
        path: the file.
        names: which; those that are not there are left out.

    Returns:
        Arrays by name; what was no array when it was saved (a dict, a text) as it was.

    Raises:
        InputError: a damaged file, or objects other than arrays, numbers, text, lists and dicts.
    """
    found: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            there = set(archive.namelist())
            for name in names:
                if f"{name}.npy" in there:
                    array = _read_member(archive, f"{name}.npy")
                    found[name] = array.item() if array.dtype == object and array.ndim == 0 else array
    except PickleRefusedError as error:
        raise InputError(
            f"{path}: refused: {error}. Only arrays, numbers, text, lists and dicts are read; if you trust the file, "
            "save it again without other objects"
        ) from None
    except Exception as error:  # damaged archives fail in zipfile, zlib, numpy ...
        raise InputError(
            f"{path}: expected a .npz archive, got a damaged one ({error}); copy or download it again"
        ) from None
    return found


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
        if version > (2, 0):
            raise ValueError(f"array format {version} of {name!r}")
        read_header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        _, _, dtype = read_header(file)  # type: ignore[no-untyped-call]
        if dtype.hasobject:
            content = load_plain(file)  # type: ignore[arg-type]
            if not isinstance(content, np.ndarray):
                raise ValueError(f"{name!r} holds no array")
            return content
    with archive.open(name) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)  # type: ignore[no-untyped-call]
    return array


def text_column(array: Any) -> np.ndarray | None:
    """(N,) of text from text, bytes or objects; None of anything else."""
    array = np.asarray(array)
    if array.ndim != 1 or array.dtype.kind not in "USO":
        return None
    if array.dtype.kind == "U":
        return array
    return np.array([x.decode("utf-8", "replace") if isinstance(x, bytes) else str(x) for x in array])


def number_column(arrays: dict[str, Any], key: str, path: Path, *shape: int | None, what: str) -> np.ndarray:
    """A numeric array of a file, float32 unless it holds whole numbers.

    Args:
        arrays: of the file.
        key: name.
        path: for messages.
        shape: expected; None for any.
        what: the format, for messages.

    Raises:
        InputError: if it is missing or of another shape or type.
    """
    want = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    if key not in arrays:
        raise InputError(
            f"{path}: expected {what} with {key!r}, got only {', '.join(arrays)}; check the file"
        )
    array = np.asarray(arrays[key])
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError(
                f"{path}: expected numbers in {key!r}, got objects; write the file again"
            ) from None
    fits = array.ndim == len(shape) and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in "fiub":
        raise InputError(
            f"{path}: expected {key!r} of shape {want}, got {array.shape} {array.dtype}; it is no {what}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float32) if array.dtype.kind == "f" else array


def json_head(value: Any) -> Any:
    """The first value of a dict or list, None of anything else or an empty one."""
    if isinstance(value, dict):
        return next(iter(value.values()), None)
    return value[0] if isinstance(value, list) and value else None


def load_pickle(path: Path, what: str) -> Any:
    """Plain content of a pickle file.

    Raises:
        InputError: if it cannot be opened, is damaged or holds anything but plain data.
    """
    try:
        with path.open("rb") as file:
            return load_plain(file)
    except OSError as error:
        raise InputError(
            f"{path}: expected {what}, got '{error.strerror or error}'; check the path"
        ) from None
    except PickleRefusedError as error:
        raise InputError(
            f"{path}: expected {what}, got a pickle that is refused: {error}; only arrays, numbers, text, lists and "
            "dicts are read"
        ) from None


def read_json(path: Path, what: str) -> Any:
    """JSON value of a file.

    Raises:
        InputError: if it cannot be read.
    """
    return parse_json(path, read_text(path, what), what)
