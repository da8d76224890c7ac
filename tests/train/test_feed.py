"""Feeds: every step's batch is a function of its number, whoever makes it."""

from pathlib import Path

import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.crops import Crops, CropSpec, draw_crops
from bodyloop.train import feed as module
from bodyloop.train.feed import Feed
from made_up_people import full_record


@pytest.fixture(scope="module")
def crops(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> Crops:
    records = [full_record(body, seed) for seed in range(6)]
    return draw_crops(records, CropSpec("made", {}, resolution=24, maps=12), tmp_path_factory.mktemp("crops"))


@pytest.fixture
def batches(crops: Crops, body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> CropBatches:
    monkeypatch.setattr(module, "STRETCH", 5)
    return CropBatches([CropSource(crops), CropSource(crops)], AugmentConfig(16), body)


def test_any_step_at_any_time(batches: CropBatches):
    feed = Feed(batches, [0.7, 0.3], 4)
    straight = [lesson.batch for lesson in feed.lessons(0, 13)]
    again = [lesson.batch for lesson in Feed(batches, [0.7, 0.3], 4).lessons(9, 13)]
    for a, b in zip(straight[9:], again, strict=True):
        assert a.names == b.names
        assert torch.equal(a.image, b.image)
    shares = torch.cat([batch.source for batch in straight])
    assert abs(float((shares == 0).float().mean()) - 0.7) < 0.05
    assert len({tuple(batch.row.tolist()) for batch in straight}) > 6


def test_workers_do_not_matter(batches: CropBatches):
    feed = Feed(batches, [1.0, 1.0], 4)
    alone, helped = (list(feed.lessons(3, 8, workers)) for workers in (0, 2))
    for a, b in zip(alone, helped, strict=True):
        assert torch.equal(a.batch.image, b.batch.image)
        assert torch.equal(a.corners, b.corners)


def test_processes_draw_different_people(batches: CropBatches):
    ranks = [Feed(batches, [1.0, 0.0], 3, rank=r, world=2) for r in range(2)]
    for step in range(12):
        rows = [draw.row for feed in ranks for draw in feed.draws(step)]
        assert sorted(rows) == list(range(6)), "an epoch of six people is one step of both"
    numbers = [draw.number for feed in ranks for step in range(12) for draw in feed.draws(step)]
    assert len(set(numbers)) == len(numbers)


def test_seeds_and_phases_differ(batches: CropBatches):
    feeds = [
        Feed(batches, [1.0, 1.0], 4),
        Feed(batches, [1.0, 1.0], 4, seed=1),
        Feed(batches, [1.0, 1.0], 4, phase=1),
    ]
    images = [feed[0].batch.image for feed in feeds]
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_a_feed_survives_the_way_to_another_process(batches: CropBatches, tmp_path: Path):
    feed = Feed(batches, [1.0, 1.0], 4)
    torch.save(feed, tmp_path / "feed")
    again = torch.load(tmp_path / "feed", weights_only=False)
    assert torch.equal(feed[2].batch.image, again[2].batch.image)
