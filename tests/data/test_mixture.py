"""Mixtures: shares by weight, records split among processes, and a run that stops goes on as if it had not."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bodyloop.body import BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Batch
from bodyloop.data.mixture import Draw, MixedLoader, MixedSampler, Mixture, RecordDataset
from bodyloop.data.record import Record
from bodyloop.errors import InputError

SIDE = 16


def draws(sampler: MixedSampler, epochs: int = 1) -> list[Draw]:
    found: list[Draw] = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found += list(sampler)
    return found


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(0.02, 1), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(0, 100),
    st.integers(16, 256),
)
def test_any_stretch_has_the_right_shares(weights: list[float], world: int, seed: int, stretch: int):
    sizes = [50 + 7 * i for i in range(len(weights))]
    sampler = MixedSampler(sizes, weights, per_epoch=1000 * world, seed=seed, rank=world - 1, world=world)
    source = np.array([d.source for d in draws(sampler)])
    assert len(source) == 1000
    for start in (0, 333, 1000 - stretch):
        part = source[start : start + stretch]
        for d, weight in enumerate(sampler.weights):
            assert abs((part == d).sum() - weight * stretch) < 4


def test_half_motion_capture_half_in_the_wild():
    sampler = MixedSampler([1000, 30, 70], [0.5, 0.15, 0.35], per_epoch=4000)
    shares = Counter(d.source for d in draws(sampler))
    assert [shares[i] for i in range(3)] == pytest.approx([2000, 600, 1400], abs=2)
    by_size = Counter(d.source for d in draws(MixedSampler([1000, 30, 70])))
    assert [by_size[i] for i in range(3)] == pytest.approx([1000, 30, 70], abs=3)
    never = Counter(d.source for d in draws(MixedSampler([10, 10, 10], [1, 0, 0], per_epoch=500)))
    assert set(never) == {0}


@pytest.mark.parametrize("world", [1, 3, 4])
def test_processes_split_the_records(world: int):
    """Over all processes every record of a data set comes once before any comes twice, over epochs."""
    sizes = [40, 25]
    ranks = [MixedSampler(sizes, [0.6, 0.4], per_epoch=36, seed=5, rank=r, world=world) for r in range(world)]
    seen: dict[int, list[int]] = {0: [], 1: []}
    numbers = []
    for epoch in range(8):
        for rank in ranks:
            rank.set_epoch(epoch)
        for together in zip(*ranks, strict=True):
            for draw in together:
                seen[draw.source].append(draw.row)
                numbers.append(draw.number)
    assert len(numbers) == len(set(numbers)) == 8 * 36 // world * world
    for source, rows in seen.items():
        size = sizes[source]
        for lap in range(len(rows) // size):
            assert sorted(rows[lap * size : (lap + 1) * size]) == list(range(size))
        assert rows[:size] != rows[size : 2 * size]
    lengths = {len(list(rank)) for rank in ranks}
    assert lengths == {36 // world}


def test_the_same_seed_is_the_same_order():
    a, b, c = (MixedSampler([30, 20], [1, 1], per_epoch=40, seed=s) for s in (1, 1, 2))
    assert draws(a, 3) == draws(b, 3)
    assert draws(a, 3) != draws(c, 3)
    b.set_epoch(2)
    fresh = MixedSampler([30, 20], [1, 1], per_epoch=40, seed=1)
    fresh.set_epoch(2)
    assert list(b) == list(fresh), "an epoch needs no history"
    a.set_epoch(0)
    first = list(a)
    a.set_epoch(1)
    assert first != list(a)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (([],), {}),
        (([3, 0],), {}),
        (([3], [1.0, 2.0]), {}),
        (([3, 3], [-1.0, 2.0]), {}),
        (([3, 3], [0.0, 0.0]), {}),
        (([3],), {"rank": 2, "world": 2}),
        (([3],), {"world": 5}),
        (([3],), {"seed": -1}),
    ],
)
def test_senseless_samplers(arguments: tuple, options: dict):
    with pytest.raises(ValueError, match=r"need|weights"):
        MixedSampler(*arguments, **options)


def made(name: str, count: int) -> list[Record]:
    rng = np.random.default_rng(len(name))
    return [
        Record(
            name, str(i), rng.integers(0, 256, (24, 24, 3)).astype(np.uint8), (24, 24), (4.0, 4.0, 20.0, 20.0)
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def mixture(body: BodyModel) -> Mixture:
    config = AugmentConfig(SIDE)
    return Mixture(
        [RecordDataset(made(name, n), config, body=body) for name, n in (("lab", 11), ("wild", 17))]
    )


def loader(mixture: Mixture, workers: int = 0, **options: int) -> MixedLoader:
    return MixedLoader(
        mixture, MixedSampler(mixture.sizes, [0.5, 0.5], per_epoch=24, **options), 4, workers=workers
    )


def prints(batches: list[Batch]) -> list[tuple]:
    return [
        (b.names, tuple(b.image.flatten(1).sum(1).tolist()), tuple(b.crop_angle.tolist())) for b in batches
    ]


def test_workers_do_not_matter(mixture: Mixture):
    state = torch.random.get_rng_state()
    alone, helped = loader(mixture), loader(mixture, workers=2)
    for _ in range(2):
        assert prints(list(alone)) == prints(list(helped))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 2, 5, 6])
def test_stopped_and_gone_on(mixture: Mixture, workers: int, stop: int):
    whole = loader(mixture)
    expected = prints([*whole, *whole])
    assert len(expected) == 12
    first = loader(mixture, workers)
    batches = list(islice(first, stop))
    second = loader(mixture, workers)
    second.load_state_dict(first.state_dict())
    rest = [*second, *second] if stop < 6 else [*second, *second][:6]
    assert prints(batches + rest) == expected


def test_draws_of_epochs_differ(mixture: Mixture):
    both = loader(mixture)
    first, second = list(both), list(both)
    assert prints(first) != prints(second)
    assert Counter(n.split("/")[0] for b in first for n in b.names) == {"lab": 12, "wild": 12}
    assert both.sampler.epoch == 2
    assert {(int(s), n.split("/")[0]) for b in first for s, n in zip(b.source, b.names, strict=True)} == {
        (0, "lab"),
        (1, "wild"),
    }


def test_other_runs_are_not_gone_on_with(mixture: Mixture):
    state = loader(mixture).state_dict()
    with pytest.raises(InputError, match=r"expected .*'seed': 0.* as before, got .*'seed': 3"):
        loader(mixture, seed=3).load_state_dict(state)
    ranks = [loader(mixture, world=2, rank=r) for r in range(2)]
    ranks[1].load_state_dict(ranks[0].state_dict())
    assert ranks[1].sampler.rank == 1


def test_senseless_mixtures(mixture: Mixture, body: BodyModel):
    one = mixture.datasets[0]
    with pytest.raises(ValueError, match="one layout and resolution, got 2 kinds"):
        Mixture([one, RecordDataset(made("a", 3), AugmentConfig(32), body=body)])
    with pytest.raises(ValueError, match="records, got"):
        MixedLoader(mixture, MixedSampler([1, 2]), 1)
    with pytest.raises(ValueError, match="batch_size must be 1 to 28"):
        MixedLoader(mixture, MixedSampler(mixture.sizes), 29)
    assert len(mixture) == 28
