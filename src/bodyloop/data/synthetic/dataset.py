"""`SyntheticPeople`: samples without end, for a loader with any number of workers."""

from collections.abc import Iterator
from itertools import count as count_from
from itertools import islice
from pathlib import Path

from torch.utils.data import IterableDataset, get_worker_info

from bodyloop.body import BodyModel, builtin_body
from bodyloop.data.splits import SplitName
from bodyloop.data.synthetic.domains import DomainName, get_domain
from bodyloop.data.synthetic.people import PoseSource, PriorPoses
from bodyloop.data.synthetic.render import photograph
from bodyloop.data.synthetic.sample import SyntheticSample
from bodyloop.data.synthetic.scenes import Photos
from bodyloop.data.synthetic.shots import SPLITS, Stage
from bodyloop.errors import InputError
from bodyloop.priors import load_prior
from bodyloop.priors.prior import LatentPrior

LEAST_SIZE, MOST_SIZE = 32, 1024


def shipped_poses(body: BodyModel) -> PriorPoses:
    """Poses of the flow that ships, for machines without motion capture."""
    prior = load_prior("flow")
    assert isinstance(prior, LatentPrior), "the flow has a latent space"
    return PriorPoses(prior, "the shipped flow", body)


class SyntheticPeople(IterableDataset[SyntheticSample]):
    """Rendered people. Sample i depends on the arguments and i alone, not on workers, batches or order.

    Give it to a loader with ``collate_fn=SyntheticSample.stack``; the loader's workers share the samples out. People
    of different splits differ: looks, shapes and places are drawn apart, and poses are those of the source.
    """

    def __init__(
        self,
        domain: DomainName,
        *,
        seed: int = 0,
        split: SplitName = "train",
        start: int = 0,
        count: int | None = None,
        size: int = 224,
        poses: PoseSource | None = None,
        photos: Path | None = None,
        body: BodyModel | None = None,
    ) -> None:
        """Prepare; nothing is drawn yet.

        Args:
            domain: "studio", "wild", "bridge" or "wild2".
            seed: of everything, from 0 on.
            split: "train", "validation" or "test"; `poses` should be those of the same split.
            start: number of the first sample.
            count: how many samples; without end if None.
            size: pixels each way, 32 to 1024.
            poses: where poses come from; the flow that ships if None.
            photos: folder of backgrounds without people, for the domains wild and bridge.
            body: the model of all people; the built-in one if None.

        Raises:
            InputError: an unknown domain or split, a negative number, or a folder without photos.
        """
        body = builtin_body() if body is None else body
        if split not in SPLITS:
            raise InputError(f"no split is called {split!r}; expected one of {', '.join(SPLITS)}")
        for name, value in (("seed", seed), ("start", start), ("count", count or 0)):
            if value < 0:
                raise InputError(f"{name}: expected a whole number from 0 on, got {value}")
        if not LEAST_SIZE <= size <= MOST_SIZE:
            raise InputError(f"size: expected {LEAST_SIZE} to {MOST_SIZE} pixels, got {size}")
        self.start, self.count, self.body = start, count, body
        self.poses = shipped_poses(body) if poses is None else poses
        self.photos = None if photos is None else Photos(photos)
        self.stage = Stage(get_domain(domain), self.poses, body, seed, split, size, self.photos)

    def sample(self, index: int) -> SyntheticSample:
        """The sample of this number, from 0 on; `start` and `count` do not matter."""
        shot, rng = self.stage.shot(index)
        return photograph(shot, self.stage.domain, self.body, self.stage.tailor, rng, index)

    def __iter__(self) -> Iterator[SyntheticSample]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        numbers = islice(count_from(), first, self.count, step)
        return (self.sample(self.start + number) for number in numbers)
