"""Crops on disk: the records of a data set cut out once, with all their labels, for many epochs and many runs.

A folder holds a manifest, which says what the crops were made of, and arrays of `PER_FILE` crops each, which are mapped
into memory rather than read. Pictures are 8-bit; maps are smaller than the pictures; the triangles that dense keypoints
lie in are found once, for the crop and for its mirror image. The crops are not augmented and have a wide margin: what a
step of training sees is cut out of them (`bodyloop.data.crop_batches`).

Every file is complete or not there, and the same whoever draws it: a killed run goes on, more crops are added to those
there are, and two runs that draw the same crops at once do not harm each other.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bodyloop.body import BodyModel, ChartMirror, builtin_body
from bodyloop.body.atlas import Atlas, builtin_atlas
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Batch, Layout
from bodyloop.data.mixture import RecordDataset
from bodyloop.data.record import Record
from bodyloop.errors import InputError
from bodyloop.writing import make_folder, write_atomic

FORMAT = 1
"""Raise when the files' layout or what is drawn changes, so that old crops are not gone on with."""
MANIFEST = "crops.json"
PER_FILE = 200
MOST_UNREADABLE = 20
"""Records at the start that cannot be read before a data set is given up."""
MARGIN = 1.5
"""Room for SPIN's augmentation: a crop of 1.2 times the box, up to a quarter larger."""
ID_BYTES = 96


@dataclass(frozen=True)
class CropSpec:
    """What a folder of crops is made of.

    Attributes:
        name: of the data set.
        made_of: what the records are, in JSON's types: other values mean other records.
        resolution: side of the pictures in pixels.
        margin: side of the crop as a multiple of the box's longer side.
        maps: side of the maps of parts and IUV in pixels, at most the resolution.
        dense: dense keypoints at most.
        partition: of the maps of parts; those of coarser ones are left out.
        body: name of the model of the SMPL parameters.
        format: of the files.
    """

    name: str
    made_of: dict[str, Any]
    resolution: int = 140
    margin: float = MARGIN
    maps: int = 70
    dense: int = 150
    partition: str = "smpl"
    body: str = "builtin"
    format: int = FORMAT

    def __post_init__(self) -> None:
        if not 8 <= self.maps <= self.resolution or self.margin <= 0 or self.dense < 0:
            raise InputError(
                "crops need a resolution from 8 pixels, maps of 8 to as many, a margin above 0 and a number of dense "
                f"keypoints, got {self.resolution}, {self.maps}, {self.margin:g}, {self.dense}"
            )

    def text(self) -> str:
        """As the manifest has it."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    def folder(self, cache: Path) -> Path:
        """Where crops of this kind lie in a cache of many kinds."""
        digest = blake2b(self.text().encode(), digest_size=6).hexdigest()
        return cache / f"{self.name}-{self.resolution}-{digest}"

    @cached_property
    def layout(self) -> np.dtype:
        """Of one crop: fields as in `Batch`, but for pictures (H, W, 3) and maps in 8 bits (U and V in 255ths).

        ``corners`` and ``barycentric`` (2, D, 3) are the triangles of the dense keypoints, of the crop and of its
        mirror image.
        """
        k, d, m, s = len(UNION45), self.dense, self.maps, self.resolution
        fields: list[tuple[str, str, tuple[int, ...]]] = [
            ("image", "u1", (s, s, 3)),
            ("parts", "u1", (m, m)),
            ("iuv", "u1", (3, m, m)),
            ("keypoints", "f4", (k, 2)),
            ("confidence", "f4", (k,)),
            ("joints", "f4", (k, 3)),
            ("rotations", "f4", (24, 3, 3)),
            ("betas", "f4", (10,)),
            ("translation", "f4", (3,)),
            ("focal", "f4", (2,)),
            ("center", "f4", (2,)),
            ("crop_center", "f4", (2,)),
            ("crop_size", "f4", ()),
            ("dense_pixels", "f4", (d, 2)),
            ("dense_uv", "f4", (d, 2)),
            ("dense_weight", "f4", (d,)),
            ("barycentric", "f4", (2, d, 3)),
            ("corners", "i4", (2, d, 3)),
            ("dense_part", "u1", (d,)),
            ("gender", "u1", ()),
            ("detected", "?", (k,)),
            ("joints_known", "?", (k,)),
            *((name, "?", ()) for name in FLAGS),
            ("id", f"S{ID_BYTES}", ()),
        ]
        return np.dtype(fields, align=True)


FLAGS = (
    "has_image", "has_parts", "has_iuv", "has_pose", "has_orientation", "has_betas", "has_translation", "has_camera",
    "joints_absolute",
)  # fmt: skip
"""Fields of `Batch` that are one bool a person."""


@dataclass(frozen=True, eq=False)
class Surface:
    """What dense keypoints are points of: an atlas of the body, and its mirror."""

    atlas: Atlas
    mirror: ChartMirror

    @classmethod
    def builtin(cls) -> "Surface":
        """The built-in body's."""
        return cls(builtin_atlas(), ChartMirror())

    def located(self, part: Tensor, uv: Tensor) -> tuple[Tensor, Tensor]:
        """Corners and weights (2, N, 3) of points with part (N,) and U, V (N, 2), as they are and mirrored."""
        found = []
        for i, places in ((part, uv), self.mirror(part, uv)):
            found.append(self.atlas.locate(i, places[:, 0].clamp(0, 1), places[:, 1].clamp(0, 1)))
        return torch.stack([f[0] for f in found]), torch.stack([f[1] for f in found])


def pack(sample: Batch, spec: CropSpec, surface: Surface | None) -> np.ndarray:
    """One sample of the spec's layout (`RecordDataset` with resolution, margin and maps as told) as a record ().

    Without a surface its dense keypoints are left out.
    """
    row = np.zeros((), spec.layout)
    row["image"] = (sample.image * 255).round().byte().permute(1, 2, 0).numpy()
    where = _nearest(spec.resolution, spec.maps)
    if sample.parts is not None:
        row["parts"] = sample.parts.numpy()[np.ix_(where, where)]
    if sample.iuv is not None:
        iuv = (
            sample.iuv.numpy()[:, where[:, None], where] * np.array([1, 255, 255], np.float32)[:, None, None]
        )
        row["iuv"] = np.rint(iuv).astype(np.uint8)
    bodies, camera = sample.bodies, sample.camera
    values = {"rotations": bodies.rotations, "betas": bodies.betas, "translation": bodies.translation}
    values |= {"focal": camera.focal, "center": camera.center}
    own = (
        "keypoints",
        "confidence",
        "detected",
        "joints",
        "joints_known",
        "crop_center",
        "crop_size",
        "gender",
    )
    for name in (*own, *FLAGS):
        values[name] = getattr(sample, name)
    for name, value in values.items():
        row[name] = value.numpy()
    there = sample.dense_part > 0
    n = int(there.sum())
    if surface is not None and n:
        for name in ("dense_pixels", "dense_part", "dense_uv", "dense_weight"):
            row[name][:n] = getattr(sample, name)[there].numpy()
        corners, weights = surface.located(sample.dense_part[there], sample.dense_uv[there])
        row["corners"][:, :n], row["barycentric"][:, :n] = corners.numpy(), weights.numpy()
    row["id"] = sample.names[0].partition("/")[2].encode()[-ID_BYTES:]
    return row


def _nearest(side: int, cells: int) -> np.ndarray:
    """(cells,) pixels of a picture nearest to the middles of a map's cells."""
    return (2 * np.arange(cells) + 1) * side // (2 * cells)


class _Packed(Dataset[tuple[bytes, str]]):
    """Records by number, as the bytes of their crops and what could not be read of them.

    One that cannot be read is nobody's crop: its picture is black and it has no labels at all. Errors are values, since
    those that processes raise arrive as tracebacks.
    """

    def __init__(
        self,
        records: Sequence[Record],
        spec: CropSpec,
        numbers: list[int],
        body: BodyModel,
        surface: Surface | None,
    ) -> None:
        augment = AugmentConfig.none(spec.resolution, spec.margin)
        layout = Layout(UNION45, spec.dense, spec.partition, iuv=True)
        mirror = None if surface is None else surface.mirror
        self.samples = RecordDataset(records, augment, layout, body=body, mirror=mirror, strict=True)
        self.spec, self.numbers, self.surface = spec, numbers, surface

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, item: int) -> tuple[bytes, str]:
        number, problem = self.numbers[item], ""
        try:
            sample = self.samples[number]
        except InputError as error:
            sample, problem = self._nobody(number), str(error)
        return pack(sample, self.spec, self.surface).tobytes(), problem

    def _nobody(self, number: int) -> Batch:
        """The sample of a record without anything in it."""
        try:
            id_ = self.samples.records[number].id
        except InputError:
            id_ = str(number)
        side = self.spec.resolution
        empty = Record(self.spec.name, id_, size=(side, side), box=(0.0, 0.0, float(side), float(side)))
        return RecordDataset([empty], self.samples.augment, self.samples.layout, body=self.samples.body)[0]


def draw_crops(
    records: Sequence[Record],
    spec: CropSpec,
    folder: Path,
    *,
    body: BodyModel | None = None,
    surface: Surface | None = None,
    workers: int = 0,
    progress: Callable[[int, int], None] = lambda done, wanted: None,
    tell: Callable[[str], None] = lambda line: None,
) -> "Crops":
    """Cut out all records; files that are there already are kept.

    Of a record that cannot be read (its picture is missing, or of another size) there is a black crop without labels,
    so that it supervises nothing and all others keep their numbers.

    Args:
        records: what is cut out; those before them with other numbers of records are the same.
        spec: of the crops.
        folder: for the crops alone, e.g. `CropSpec.folder`.
        body: model of the SMPL parameters; the built-in one if None.
        surface: of the dense keypoints; the built-in body's if both are None.
        workers: processes that draw; 0 draws in this one. They do not matter to the result.
        progress: called with the numbers of crops that are done and wanted.
        tell: called once with a line if records could not be read.

    Raises:
        InputError: no records, the folder holds other crops or cannot be written to, or the first `MOST_UNREADABLE`
            records cannot be read, or all there are.
    """
    if not len(records):
        raise InputError(f"the data set {spec.name} has no records; expected at least one")
    make_folder(folder)
    file = folder / MANIFEST
    if not file.exists():
        write_atomic(file, spec.text().encode())
    elif file.read_text() != spec.text():
        raise InputError(f"{file}: says that other crops lie here; give another folder")
    if body is None:
        body, surface = builtin_body(), surface or Surface.builtin()
    total = len(records)
    spans = [range(first, min(first + PER_FILE, total)) for first in range(0, total, PER_FILE)]
    missing = [span for span in spans if _length(folder, span.start, spec) < len(span)]
    numbers = [number for span in missing for number in span]
    done = total - len(numbers)
    progress(done, total)
    packed = _Packed(records, spec, numbers, body, surface)
    if workers and numbers:
        packed[0]  # compiles the loops once, not in every process
    rows = iter(
        DataLoader(
            packed,
            batch_size=None,
            num_workers=min(workers, len(numbers)),
            generator=torch.Generator().manual_seed(0),  # leaves torch's own random numbers alone
        )
    )
    seen, problems = 0, []
    for span in missing:
        drawn = []
        for _ in span:
            row, problem = next(rows)
            drawn.append(row)
            seen, done = seen + 1, done + 1
            problems += [problem] if problem else []
            if len(problems) == seen == min(MOST_UNREADABLE, total):
                raise InputError(
                    f"{spec.name}: none of the first {seen:,} records can be read: {problems[0]}"
                )
            progress(done, total)
        write_atomic(_file(folder, span.start), _as_file(np.frombuffer(b"".join(drawn), spec.layout)))
    if problems:
        tell(
            f"{spec.name}: {len(problems):,} of {len(numbers):,} records cannot be read, and count for nothing "
            f"(the first: {problems[0]}); when they are there, delete {folder} to have all drawn anew"
        )
    return Crops(folder, total)


def _file(folder: Path, first: int) -> Path:
    return folder / f"crops-{first // PER_FILE:06d}.npy"


def _as_file(rows: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows, allow_pickle=False)
    return buffer.getvalue()


def _map(path: Path, spec: CropSpec) -> np.ndarray:
    """A file's crops, mapped into memory.

    Raises:
        InputError: if it is not such a file.
    """
    try:
        rows: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a file of crops ({error}); delete it to have it drawn anew") from None
    if rows.dtype != spec.layout or rows.ndim != 1:
        raise InputError(
            f"{path}: holds other crops than {MANIFEST} says; delete the folder to have it drawn anew"
        )
    return rows


def _length(folder: Path, first: int, spec: CropSpec) -> int:
    """How many crops a file has; 0 if there is none."""
    path = _file(folder, first)
    return len(_map(path, spec)) if path.exists() else 0


def read_spec(folder: Path) -> CropSpec:
    """What a folder of crops is made of.

    Raises:
        InputError: if there is no manifest, or a damaged one.
    """
    try:
        return CropSpec(**json.loads((folder / MANIFEST).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder / MANIFEST}: not a manifest of crops ({error})") from None


class Crops:
    """The crops of a folder by number, mapped into memory; processes may share one, each maps for itself."""

    def __init__(self, folder: Path, count: int | None = None) -> None:
        """Open the first `count` crops, or all there are.

        Raises:
            InputError: no manifest, a file that is missing or damaged, or fewer crops.
        """
        self.folder, self.spec = folder, read_spec(folder)
        self._maps: dict[int, np.ndarray] = {}
        files = sorted(folder.glob("crops-*.npy"))
        there = 0
        for path in files:
            if path != _file(folder, there):
                break
            there += _length(folder, there, self.spec)
        if there < (1 if count is None else count):
            raise InputError(f"{folder}: expected {count or 'some'} crops, got {there}; draw them first")
        self.count = there if count is None else count

    def __len__(self) -> int:
        return self.count

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}

    def rows(self, numbers: Sequence[int]) -> np.ndarray:
        """Crops (N,) of `CropSpec.layout`, copied.

        Raises:
            IndexError: for a number that is none.
        """
        out = np.empty(len(numbers), self.spec.layout)
        for at, number in enumerate(numbers):
            if not 0 <= number < self.count:
                raise IndexError(f"no crop {number}; there are {self.count}")
            first = number - number % PER_FILE
            if first not in self._maps:
                self._maps[first] = _map(_file(self.folder, first), self.spec)
            out[at] = self._maps[first][number - first]
        return out

    def column(self, name: str) -> np.ndarray:
        """One field of all crops, e.g. "id"."""
        parts = []
        for first in range(0, self.count, PER_FILE):
            parts.append(np.array(_map(_file(self.folder, first), self.spec)[name]))
        return np.concatenate(parts)[: self.count]
