"""Batches by number: the lesson of a step is a function of the recipe and the step, so that a run goes on anywhere."""

from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bodyloop.data.crop_batches import CropBatches, Lesson
from bodyloop.data.mixture import Draw, MixedSampler
from bodyloop.data.synthetic.streams import stream

STRETCH = 64
"""Steps whose draws are planned together."""
_LESSON = 11  # which random stream


class Feed(Dataset[Lesson]):
    """The lessons of one phase, by step of the phase."""

    def __init__(
        self,
        batches: CropBatches,
        weights: list[float],
        batch: int,
        *,
        seed: int = 0,
        phase: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """Prepare.

        Args:
            batches: makes lessons of draws.
            weights: shares of its sources in all draws.
            batch: people a step in this process.
            seed: of everything.
            phase: number of the phase; other phases draw otherwise.
            rank, world: number of this process among so many, which draw other people.
        """
        self.batches, self.batch, self.key = batches, batch, (seed, phase, rank)
        self.rank, self.world = rank, world
        draws = batch * world * STRETCH
        self.sampler = MixedSampler(
            batches.sizes, weights, per_epoch=draws, seed=2**20 * phase + seed, rank=rank, world=world
        )
        self._planned: tuple[int, tuple[np.ndarray, np.ndarray]] | None = None

    def draws(self, step: int) -> list[Draw]:
        """Who is in the batch of a step."""
        epoch, at = divmod(step, STRETCH)
        if self._planned is None or self._planned[0] != epoch:
            self._planned = epoch, self.sampler.plan(epoch)
        source, row = self._planned[1]
        first = at * self.batch * self.world + self.rank
        mine = range(first, first + self.batch * self.world, self.world)
        return [Draw(int(source[i]), int(row[i]), epoch * len(source) + i) for i in mine]

    def __getitem__(self, step: int) -> Lesson:
        return self.batches.lesson(self.draws(step), stream(_LESSON, *self.key, step))

    def lessons(self, first: int, end: int, workers: int = 0, pin: bool = False) -> Iterator[Lesson]:
        """Those of steps first to end - 1, in order.

        Args:
            first, end: steps of the phase.
            workers: processes that make them; they do not matter to the result.
            pin: into page-locked memory.
        """
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(first, end),
            num_workers=workers,
            pin_memory=pin,
            generator=torch.Generator().manual_seed(0),  # leaves torch's own random numbers alone
        )
        return iter(loader)
