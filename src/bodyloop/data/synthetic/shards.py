"""Samples in files: tar archives as WebDataset reads them, which a killed run can go on with.

Each sample is three files in its archive: ``000000012.jpg``, ``.npz`` (parameters, camera, fragments) and ``.json``
(what it is). Archives hold neither times nor names of users, so the same recipe gives the same bytes.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from bodyloop import __version__
from bodyloop.body import Bodies
from bodyloop.data.synthetic.dataset import SyntheticPeople
from bodyloop.data.synthetic.sample import SyntheticSample
from bodyloop.errors import InputError
from bodyloop.geometry import Camera
from bodyloop.raster import Fragments
from bodyloop.writing import make_folder, write_atomic

FORMAT = 1
"""Raise when the files or the pictures change, so that old shards are not gone on with."""
JPEG_QUALITY = 95
DEPTH_STEP = 1e-3  # metres
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Recipe:
    """What a folder of shards is made of; its manifest.

    Attributes:
        domain, split, seed, size: as for `SyntheticPeople`.
        poses: name of the source of poses.
        photos: names of the background photos.
        body: the model's name.
        count: samples in the folder.
        per_shard: samples in each archive but the last.
        version: of bodyloop.
        format: of the files.
    """

    domain: str
    split: str
    seed: int
    size: int
    poses: str
    photos: tuple[str, ...]
    body: str
    count: int
    per_shard: int
    version: str = __version__
    format: int = FORMAT

    def shards(self) -> list[tuple[str, range]]:
        """Name and sample numbers of every archive."""
        firsts = range(0, self.count, self.per_shard)
        names = [f"{self.domain}-{number:06d}.tar" for number in range(len(firsts))]
        spans = [range(first, min(first + self.per_shard, self.count)) for first in firsts]
        return list(zip(names, spans, strict=True))

    def text(self) -> str:
        """As the manifest has it."""
        return json.dumps(asdict(self), indent=1) + "\n"


class _Packed(Dataset[dict[str, bytes]]):
    """Samples by number, as the files that go into an archive."""

    def __init__(self, people: SyntheticPeople, recipe: Recipe, numbers: list[int]) -> None:
        self.people, self.recipe, self.numbers = people, recipe, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, item: int) -> dict[str, bytes]:
        return pack(self.people.sample(self.numbers[item]), self.recipe)


def write_shards(
    people: SyntheticPeople,
    recipe: Recipe,
    folder: Path,
    workers: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Path]:
    """Make all samples of a recipe; archives that are there already are kept.

    Args:
        people: makes the samples.
        recipe: which.
        folder: for the archives and manifest.json.
        workers: processes that draw; 0 draws in this one. They do not matter to the result.
        progress: called with the number of samples that are done, those found in the folder included.

    Returns:
        The archives.

    Raises:
        InputError: the folder holds shards of another recipe, or cannot be written to.
    """
    make_folder(folder)
    _settle(folder, recipe)
    missing = [(name, span) for name, span in recipe.shards() if not (folder / name).exists()]
    done = recipe.count - sum(len(span) for _, span in missing)
    progress(done)
    numbers = [number for _, span in missing for number in span]
    if workers and numbers:
        people.sample(numbers[0])  # compiles the loops once, not in every process
    packed = DataLoader(
        _Packed(people, recipe, numbers),
        batch_size=None,
        num_workers=min(workers, len(numbers)),
        generator=torch.Generator().manual_seed(0),
    )
    samples = iter(packed)
    for name, span in missing:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for number in span:
                for suffix, data in next(samples).items():
                    entry = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))
                done += 1
                progress(done)
        write_atomic(folder / name, buffer.getvalue())
    return [folder / name for name, _ in recipe.shards()]


def _settle(folder: Path, recipe: Recipe) -> None:
    """Write the manifest, or see that the one that is there fits; a longer run is a new last archive.

    Raises:
        InputError: if it does not fit.
    """
    file = folder / MANIFEST
    if file.exists():
        old = read_manifest(folder)
        same = Recipe(**{**asdict(old), "count": recipe.count, "photos": tuple(old.photos)})
        if same != recipe or recipe.count < old.count:
            differ = [k for k, v in asdict(recipe).items() if asdict(old)[k] != v]
            raise InputError(
                f"{folder}: holds {old.count} samples of another recipe (other {', '.join(differ)}); give the same "
                "options and at least as many samples to go on with it, or another folder"
            )
        if recipe.count > old.count and old.count % old.per_shard:
            (folder / old.shards()[-1][0]).unlink(missing_ok=True)
    elif any(folder.glob("*.tar")):
        raise InputError(f"{folder}: holds archives but no {MANIFEST}; give an empty folder")
    write_atomic(file, recipe.text().encode())


def read_manifest(folder: Path) -> Recipe:
    """The recipe of a folder of shards.

    Raises:
        InputError: if there is none, or a damaged one.
    """
    try:
        numbers = json.loads((folder / MANIFEST).read_text())
        return Recipe(**{**numbers, "photos": tuple(numbers["photos"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{folder / MANIFEST}: not a manifest of 'bodyloop synth' ({error})") from None


def pack(sample: SyntheticSample, recipe: Recipe) -> dict[str, bytes]:
    """A sample's files by suffix.

    The npz holds pose parameters and camera as they are, and of the pixels that see the person, row by row: face
    numbers, the first two barycentrics in 255ths, and the depth in millimetres.
    """
    picture, numbers = io.BytesIO(), io.BytesIO()
    Image.fromarray(sample.image.numpy()).save(picture, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    seen = sample.fragments.mask
    np.savez_compressed(
        numbers,
        rotations=sample.bodies.rotations.numpy(),
        betas=sample.bodies.betas.numpy(),
        translation=sample.bodies.translation.numpy(),
        focal=sample.camera.focal.numpy(),
        center=sample.camera.center.numpy(),
        mask=np.packbits(seen.numpy()),
        face_id=sample.fragments.face_id[seen].numpy().astype(np.int32),
        barycentric=(sample.fragments.barycentric[seen][:, :2].numpy() * 255 + 0.5).astype(np.uint8),
        depth=(sample.fragments.depth[seen].numpy() / DEPTH_STEP + 0.5).astype(np.uint16),
    )
    what = {
        "index": int(sample.index),
        "domain": recipe.domain,
        "split": recipe.split,
        "seed": recipe.seed,
        "subject": int(sample.subject),
        "sequence": int(sample.sequence),
        "size": recipe.size,
    }
    return {
        "jpg": picture.getvalue(),
        "npz": numbers.getvalue(),
        "json": (json.dumps(what, sort_keys=True) + "\n").encode(),
    }


def unpack(files: dict[str, bytes]) -> SyntheticSample:
    """The sample of three files by suffix: exact but for JPEG's loss, depths and barycentrics to their step."""
    picture = torch.from_numpy(np.array(Image.open(io.BytesIO(files["jpg"])).convert("RGB")))
    what: dict[str, Any] = json.loads(files["json"])
    size = picture.shape[:2]
    with np.load(io.BytesIO(files["npz"])) as stored:
        n = {name: torch.from_numpy(stored[name]) for name in stored.files if stored[name].dtype != np.uint16}
        depth = torch.from_numpy(stored["depth"].astype(np.float32) * np.float32(DEPTH_STEP))
    bits = np.unpackbits(n["mask"].numpy(), count=size[0] * size[1])
    seen = torch.from_numpy(bits.astype(bool)).reshape(size)
    first = n["barycentric"].float() / 255
    weights = torch.cat([first, (1 - first.sum(-1, keepdim=True)).clamp_min(0)], -1)
    fragments = Fragments(
        torch.full(size, -1, dtype=torch.int32), torch.zeros(*size, 3), torch.full(size, torch.inf)
    )
    fragments.face_id[seen], fragments.depth[seen] = n["face_id"], depth
    fragments.barycentric[seen] = weights / weights.sum(-1, keepdim=True)
    return SyntheticSample(
        picture,
        Bodies(n["rotations"], n["betas"], n["translation"]),
        Camera(n["focal"], n["center"], (size[1], size[0])),
        fragments,
        torch.tensor(what["index"]),
        torch.tensor(what["subject"]),
        torch.tensor(what["sequence"]),
    )


def read_shard(path: Path) -> Iterator[SyntheticSample]:
    """The samples of an archive in order.

    Raises:
        InputError: not an archive of `write_shards`, or a damaged one.
    """
    try:
        with tarfile.open(path) as archive:
            files: dict[str, bytes] = {}
            for entry in archive:
                data = archive.extractfile(entry)
                files[entry.name.partition(".")[2]] = b"" if data is None else data.read()
                if len(files) == 3:
                    yield unpack(files)
                    files = {}
    except (OSError, tarfile.TarError, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a shard of 'bodyloop synth' ({error})") from None


def read_shards(folder: Path) -> Iterator[SyntheticSample]:
    """The samples of a folder in order.

    Raises:
        InputError: no manifest, or an archive that is missing or damaged.
    """
    for name, _ in read_manifest(folder).shards():
        yield from read_shard(folder / name)
