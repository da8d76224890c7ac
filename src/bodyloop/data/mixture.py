"""Data sets as samples, and mixed batches of several by weight.

    RecordSet -> RecordDataset -> Mixture
                                    MixedSampler says which record comes when
                                      MixedLoader gives batches, and can stop and go on

Runs draw by the same sampler, but from stored crops (`bodyloop.train.feed.Feed`); a loader is for who trains on
records.

Every draw is a function of seed and number: the same in any number of worker processes, split among any number of
training processes, and after a restart.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from bodyloop.body import BodyModel, ChartMirror, builtin_body
from bodyloop.data.augment import AugmentConfig, Change, assumed_camera
from bodyloop.data.batch import Batch, Layout, to_sample
from bodyloop.data.record import Record
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.evidence import read_photo

MOST_UNREADABLE = 20
"""Records in a row whose files cannot be read before a data set is given up."""

_GOLDEN = (5**0.5 - 1) / 2
_CHANGE, _ORDER, _CHOICE = 0, 1, 2  # which random stream


class Draw(NamedTuple):
    """One sample to be made.

    Attributes:
        source: number of the data set.
        row: number of the record in it.
        number: of the draw; what is random about the sample depends on it.
    """

    source: int
    row: int
    number: int


class RecordDataset(Dataset[Batch]):
    """Records as samples of a `Batch`: images read, cut out and augmented.

    With an index the sample is the same each time; `Mixture` draws other augmentations each time.
    """

    def __init__(
        self,
        records: Sequence[Record],
        augment: AugmentConfig | None = None,
        layout: Layout | None = None,
        *,
        body: BodyModel | None = None,
        mirror: ChartMirror | None = None,
        seed: int = 0,
        strict: bool = False,
    ) -> None:
        """Prepare; no image is read yet.

        Args:
            records: e.g. of `bodyloop.data.formats.open_dataset`.
            augment: how records are changed; the crop alone if None.
            layout: of the samples.
            body: model of the SMPL parameters; the built-in one if None.
            mirror: of the atlas that the IUV labels are for (``ChartMirror()`` for the built-in one): without it
                mirrored samples have no IUV labels.
            seed: of the augmentation, from 0 on.
            strict: raise where a file cannot be read, instead of taking the next record.

        Raises:
            InputError: without records.
        """
        if not len(records):
            raise InputError("the data set has no records; expected at least one")
        self.records, self.layout = records, layout or Layout()
        self.augment = augment or AugmentConfig.none()
        self.body, self.mirror = builtin_body() if body is None else body, mirror
        self.seed, self.strict = seed, strict
        self._told = False

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, row: int) -> Batch:
        if not -len(self) <= row < len(self):
            raise IndexError(f"no record {row}; there are {len(self)}")
        row %= len(self)
        return self.draw(Draw(0, row, row))

    def draw(self, draw: Draw) -> Batch:
        """A sample; that of the next record whose files can be read, unless strict.

        Raises:
            InputError: if the files of many records in a row cannot be read, or of this one, if strict.
        """
        for step in range(MOST_UNREADABLE):
            row = (draw.row + step) % len(self)
            try:
                return self._sample(self.records[row], draw._replace(row=row))
            except InputError as error:
                if self.strict or step == MOST_UNREADABLE - 1:
                    raise
                if not self._told:
                    self._told = True
                    warnings.warn(
                        f"took another record, here and wherever else this happens: {error}", stacklevel=2
                    )
        raise AssertionError("the last attempt raises")

    def _sample(self, record: Record, draw: Draw) -> Batch:
        rng = stream(_CHANGE, self.seed, draw.source, draw.row, draw.number)
        image = load_image(record)
        if image is not None and record.size is None:
            record = replace(record, size=(image.shape[1], image.shape[0]))
        change = Change.draw(self.augment, record, rng)
        crop = change.apply(record, image, self.body, self.mirror)
        assumed = None
        if record.camera is None and record.size is not None:
            assumed = change.camera(assumed_camera(record.size))
        return to_sample(crop, change, self.layout, rng, assumed, draw.source, draw.row)


def load_image(record: Record) -> np.ndarray | None:
    """Pixels (H, W, 3) uint8 of a record's image; None if it has none.

    Raises:
        InputError: if the file cannot be read, or is of another size than the labels are for.
    """
    if record.image is None or isinstance(record.image, np.ndarray):
        return record.image
    pixels = read_photo(record.image).pixels
    size = (pixels.shape[1], pixels.shape[0])
    if record.size is not None and size != tuple(record.size):
        raise InputError(
            f"{record.image}: expected {record.size[0]} x {record.size[1]} pixels, as the labels say, got {size[0]} x "
            f"{size[1]}; give the data set's own images"
        )
    return pixels


class Mixture(Dataset[Batch]):
    """Several data sets as one, from which a `MixedSampler` draws."""

    def __init__(self, datasets: Sequence[RecordDataset]) -> None:
        """Take data sets of one layout and resolution.

        Raises:
            ValueError: if there are none, or they differ.
        """
        kinds = {(d.layout, d.augment.resolution) for d in datasets}
        if len(kinds) != 1:
            raise ValueError(
                f"a mixture needs data sets of one layout and resolution, got {len(kinds)} kinds"
            )
        self.datasets = tuple(datasets)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Records of each data set."""
        return tuple(len(d) for d in self.datasets)

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getitem__(self, draw: Draw) -> Batch:
        return self.datasets[draw.source].draw(draw)


class MixedSampler(Sampler[Draw]):
    """Which record comes when: data sets by weight, records in random order.

    - Any stretch of draws of any process has each data set's share, to within a few draws: the shares are spread by the
      multiples of the golden ratio instead of by lot.
    - Within a data set no record comes a second time before all others have come once, over all processes and epochs.
    - Processes with other ranks draw other records.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        weights: Sequence[float] | None = None,
        *,
        per_epoch: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Prepare.

        Args:
            sizes: records of each data set.
            weights: share of each in all draws, up to a factor; by size if None.
            per_epoch: draws of all processes in an epoch; as many as there are records if None. What is left after
                sharing it out evenly is left out.
            seed: of everything, from 0 on.
            rank: number of this process.
            world: number of processes.

        Raises:
            ValueError: an empty data set, weights of another number or below 0 or all 0, or a rank that is none.
        """
        weights = [float(n) for n in sizes] if weights is None else [float(w) for w in weights]
        if not sizes or len(weights) != len(sizes) or min(sizes) < 1:
            raise ValueError(
                f"need a weight for each of {len(sizes)} data sets with records, got {len(weights)}"
            )
        if min(weights) < 0 or not 0 < sum(weights) < float("inf"):
            raise ValueError(f"weights are numbers from 0, not all 0, got {weights}")
        if not 0 <= rank < world or seed < 0:
            raise ValueError(
                f"need a rank from 0 below the number of processes and a seed from 0, got {rank}, {seed}"
            )
        self.sizes, self.weights = tuple(sizes), tuple(w / sum(weights) for w in weights)
        self.seed, self.rank, self.world = seed, rank, world
        self.steps = (sum(sizes) if per_epoch is None else per_epoch) // world
        if self.steps < 1:
            raise ValueError(f"an epoch needs a draw for each of {world} processes; raise per_epoch")
        self.epoch = self.position = 0
        self._used: dict[int, np.ndarray] = {0: np.zeros(len(sizes), np.int64)}

    def __len__(self) -> int:
        return self.steps - self.position

    def __iter__(self) -> Iterator[Draw]:
        start, epoch = self.position, self.epoch
        source, row = self.plan(epoch)
        mine = slice(self.rank + start * self.world, None, self.world)
        numbers = np.arange(epoch * len(source), (epoch + 1) * len(source))
        return map(Draw, source[mine].tolist(), row[mine].tolist(), numbers[mine].tolist())

    def plan(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Data sets and records (per_epoch,) of all processes' draws in an epoch; rank r has every world-th from r."""
        source = self._sources(epoch)
        row = np.empty_like(source)
        for d, used in enumerate(self._used_before(epoch).tolist()):
            here = np.flatnonzero(source == d)
            turns = used + np.arange(len(here))
            for lap in np.unique(turns // self.sizes[d]).tolist():
                order = stream(_ORDER, self.seed, d, lap).permutation(self.sizes[d])
                now = turns // self.sizes[d] == lap
                row[here[now]] = order[turns[now] % self.sizes[d]]
        return source, row

    def _sources(self, epoch: int) -> np.ndarray:
        """(per_epoch,) int64 data set of each draw."""
        offset = stream(_CHOICE, self.seed).random()
        step = np.arange(epoch * self.steps, (epoch + 1) * self.steps, dtype=np.float64)
        place = (offset + step[:, None] * _GOLDEN + np.arange(self.world) / self.world) % 1.0
        ends = np.cumsum(self.weights)
        found = np.searchsorted(ends / ends[-1], place.ravel(), side="right")
        return np.minimum(found, max(d for d, w in enumerate(self.weights) if w > 0))

    def _used_before(self, epoch: int) -> np.ndarray:
        """How often each data set was drawn from before an epoch."""
        last = max(e for e in self._used if e <= epoch)
        used = self._used[last]
        for e in range(last, epoch):
            used = used + np.bincount(self._sources(e), minlength=len(self.sizes))
            self._used[e + 1] = used
        return used

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch."""
        self.epoch, self.position = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Where it is, and what it must be to go on there."""
        return {
            "epoch": self.epoch,
            "position": self.position,
            "seed": self.seed,
            "sizes": list(self.sizes),
            "weights": list(self.weights),
            "world": self.world,
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another sampler of the same kind was. The rank stays this one's.

        Raises:
            InputError: if the other one drew from other data sets, with other weights, seeds or processes.
        """
        own = self.state_dict()
        differ = [key for key in own if key not in ("epoch", "position") and state.get(key) != own[key]]
        if differ:
            here, there = ({key: values.get(key) for key in differ} for values in (own, state))
            raise InputError(
                f"cannot go on with these samples: expected {there} as before, got {here}; start from the "
                "beginning, or with the same options"
            )
        self.epoch, self.position = int(state["epoch"]), int(state["position"])


class MixedLoader:
    """Batches of a mixture, one epoch an iteration; it can stop anywhere and go on."""

    def __init__(
        self,
        mixture: Mixture,
        sampler: MixedSampler,
        batch_size: int,
        *,
        workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        """Prepare.

        Args:
            mixture: what is drawn from.
            sampler: made with the mixture's `sizes`.
            batch_size: of this process. Batches are full: an epoch's remainder is left out.
            workers: processes that make samples; they do not matter to the result.
            pin_memory: put batches into page-locked memory.

        Raises:
            ValueError: if the sampler is for other sizes, or an epoch has no full batch.
        """
        if sampler.sizes != mixture.sizes:
            raise ValueError(f"the sampler is for data sets of {sampler.sizes} records, got {mixture.sizes}")
        if not 1 <= batch_size <= sampler.steps:
            raise ValueError(
                f"batch_size must be 1 to {sampler.steps}, the draws of an epoch, got {batch_size}"
            )
        self.mixture, self.sampler, self.batch_size = mixture, sampler, batch_size
        self.workers, self.pinned = workers, pin_memory

    def __len__(self) -> int:
        return len(self.sampler) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        loader = DataLoader(
            self.mixture,
            self.batch_size,
            sampler=self.sampler,
            num_workers=self.workers,
            collate_fn=Batch.stack,
            pin_memory=self.pinned,
            drop_last=True,
            generator=torch.Generator().manual_seed(0),  # leaves torch's own random numbers alone
        )
        for batch in loader:
            self.sampler.position += self.batch_size
            yield batch
        self.sampler.set_epoch(self.sampler.epoch + 1)

    def state_dict(self) -> dict[str, Any]:
        """Which batches were handed out."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after the batches that were handed out before.

        Raises:
            InputError: as `MixedSampler.load_state_dict`.
        """
        self.sampler.load_state_dict(state)
