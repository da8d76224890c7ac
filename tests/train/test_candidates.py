"""Candidates of a data set, and the networks that learn from them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Batch
from bodyloop.data.cameras import camera_rotations
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.crops import CropSpec, draw_crops
from bodyloop.data.labels import Labels
from bodyloop.data.mixture import Draw
from bodyloop.errors import InputError
from bodyloop.fit.pool import CandidatePool
from bodyloop.geometry import Camera
from bodyloop.nets.build import build
from bodyloop.nets.cen import Cen, CenConfig, load_cen
from bodyloop.nets.hmr import HmrConfig
from bodyloop.train import cen as training_room
from bodyloop.train.candidates import (
    CandidateStock,
    candidates_in,
    find_candidates,
    observed,
    stock_candidates,
)
from bodyloop.train.cen import CenTraining, Judged, _drawn, train_cen
from bodyloop.train.config import CandidateStart
from bodyloop.train.features import keep_features
from bodyloop.train.feed import Feed
from bodyloop.train.regressor import Regressor
from made_up import random_bodies
from made_up_crops import TINY
from made_up_people import full_record

COUNT = 6
SQUARE = Camera(torch.tensor([420.0, 420.0]), torch.tensor([150.0, 110.0]), (320, 240))
PLAIN = AugmentConfig.none(64)
TURNED = AugmentConfig(64, rotation_chance=1.0, rotation_sd=math.radians(30), flip_chance=0.5)
START = CandidateStart(3, 0.0)


@pytest.fixture(scope="module")
def pool() -> CandidatePool:
    g = torch.Generator().manual_seed(0)
    return CandidatePool(0.3 * torch.randn(40, 72, generator=g), camera_rotations(7, g))


@pytest.fixture(scope="module")
def source(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> CropSource:
    records = [full_record(body, seed, SQUARE) for seed in range(COUNT)]
    crops = draw_crops(
        records, CropSpec("made", {}, resolution=80, maps=40), tmp_path_factory.mktemp("crops")
    )
    return CropSource(crops, Labels(), "coco17")


def batch_of(source: CropSource, body: BodyModel, augment: AugmentConfig, seed: int = 0) -> Batch:
    draws = [Draw(0, i, i) for i in range(COUNT)]
    return CropBatches([source], augment, body).lesson(draws, np.random.default_rng(seed)).batch


@pytest.fixture(scope="module")
def stock(source: CropSource, body: BodyModel, pool: CandidatePool) -> CandidateStock:
    batch = batch_of(source, body, PLAIN)
    return find_candidates(pool, body, batch.evidence(), batch.camera, 3)


def pixels(bodies: Bodies, batch: Batch, body: BodyModel) -> torch.Tensor:
    points, _ = body.keypoints(batch.skeleton)
    return batch.camera.project(body.points(bodies, points))


def test_candidates_turn_and_mirror_as_the_crops_do(
    source: CropSource, body: BodyModel, stock: CandidateStock
):
    """They stay as far from the keypoints, in shares of the person, as in the crop where they were found."""
    plain, turned = batch_of(source, body, PLAIN), batch_of(source, body, TURNED)
    assert turned.flipped.any()
    assert not turned.flipped.all()
    share = torch.zeros(COUNT)
    off = []
    for batch in (plain, turned):
        bodies = candidates_in(batch, {0: stock}, body, share)
        seen = batch.confidence > 0
        distance = (pixels(bodies, batch, body) - batch.keypoints).norm(dim=-1)
        side = batch.crop_size / batch.image.shape[-1]  # image pixels a crop pixel
        off.append((distance * seen * side[:, None]).sum(1) / seen.sum(1))
    both = (plain.confidence > 0).sum(1) == (turned.confidence > 0).sum(1)
    assert both.any()
    assert torch.allclose(off[0][both], off[1][both], rtol=0.05)


def test_which_candidate_is_told_by_a_share(source: CropSource, body: BodyModel, stock: CandidateStock):
    batch = batch_of(source, body, PLAIN)
    for which in range(3):
        bodies = candidates_in(batch, {0: stock}, body, torch.full((COUNT,), (which + 0.5) / 3))
        assert torch.allclose(bodies.translation, stock.translation[:, which], atol=1e-5)


def test_stored_in_parts_and_gone_on_with(
    source: CropSource, body: BodyModel, pool: CandidatePool, stock: CandidateStock, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr("bodyloop.train.candidates.PER_FILE", 2)
    plain, asked = CropBatches([source], PLAIN, body), list[range]()

    def of(span: range) -> Batch:
        asked.append(span)
        return plain.lesson([Draw(0, i, i) for i in span], np.random.default_rng(0)).batch

    whole = stock_candidates(COUNT, of, body, pool, START, tmp_path)
    assert torch.allclose(whole.pose, stock.pose, atol=1e-5)
    assert torch.allclose(whole.translation, stock.translation, atol=1e-5)
    files = sorted(tmp_path.rglob("*.safetensors"))
    files[1].unlink()
    asked.clear()
    again = stock_candidates(COUNT, of, body, pool, START, tmp_path)
    assert asked == [range(2, 4)]
    assert torch.equal(again.pose, whole.pose)
    files[0].write_bytes(b"broken")
    with pytest.raises(InputError, match="delete it"):
        stock_candidates(COUNT, of, body, pool, START, tmp_path)


def test_errors_of_a_detector_are_each_persons_own(source: CropSource, body: BodyModel):
    evidence = batch_of(source, body, PLAIN).evidence()
    noisy = observed(evidence, 0.02, 0, 10)
    side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(1)
    errors = (noisy.keypoints - evidence.keypoints) / side[:, None, None]
    assert 0.015 < float(errors.std()) < 0.025
    later = observed(evidence[2:], 0.02, 0, 12)
    assert torch.equal(later.keypoints, noisy.keypoints[2:])
    assert observed(evidence, 0.0, 0) is evidence


def test_distances_are_those_of_bodies_in_one_place(body: BodyModel):
    judged = Judged(body, CenConfig("resnet18", 8, 64, 30))
    bodies = random_bodies(3, 0, 0.2, torch.float32)
    moved = replace(bodies, translation=bodies.translation + 1)
    assert torch.allclose(judged.distances(bodies, moved), torch.zeros(3, 30), atol=1e-5)
    other = random_bodies(3, 1, 0.2, torch.float32)
    every = Judged(body, CenConfig("resnet18", 8, 64, len(body.v_template))).distances(bodies, other)
    joints = [body.joints(b)[:, :1] for b in (bodies, other)]
    plain = (body.vertices(bodies) - joints[0] - body.vertices(other) + joints[1]).norm(dim=-1)
    assert torch.allclose(every, plain, atol=1e-4)
    assert torch.allclose(judged.distances(bodies, other), every[:, judged.vertices], atol=1e-5)


TRAINING = CenTraining(CenConfig("resnet18", 8, 64, 20), 6, 4, "adamw", 1e-3, 0.5)


def test_the_consistency_network_learns_and_goes_on_after_a_kill(
    source: CropSource,
    body: BodyModel,
    stock: CandidateStock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(training_room, "REPORT_EVERY", 2)
    feed = Feed(CropBatches([source], AugmentConfig(64), body), [1.0], 4)
    refiner = Regressor(build(TINY["candidates"]), body)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_cen(feed, {0: stock}, body, whole, TRAINING, lambda line: None, refiner)

    def killed(line: str) -> None:
        if line.startswith("step 6"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_cen(feed, {0: stock}, body, parts, TRAINING, killed, refiner)
    told: list[str] = []
    train_cen(feed, {0: stock}, body, parts, TRAINING, told.append, refiner)
    assert [line.partition(" of")[0] for line in told] == ["step 6"]
    for a, b in zip(load_cen(whole).parameters(), load_cen(parts).parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_is_kept_of_the_pictures_serves(
    source: CropSource, body: BodyModel, stock: CandidateStock, tmp_path: Path
):
    """Lessons with what a backbone saw train as those with pictures, as far as half precision goes."""
    plain = CropBatches([source], PLAIN, body)
    training = CenTraining(
        CenConfig("landmarks18", 16, 64, 20, 32), 3, 4, "adamw", 1e-3, several=2, within=4.0, nearer=0.5
    )
    looking = build(HmrConfig("landmarks18", 16, 64, 16))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        looking.backbone.load_state_dict(Cen(training.network).backbone.state_dict())
    kept = keep_features(plain, 0, 1, Regressor(looking, body))
    state = []
    for known in (None, kept):
        feed = Feed(CropBatches([replace(source, known=known)], PLAIN, body), [1.0], 4)
        file = tmp_path / f"{known is None}.safetensors"
        train_cen(feed, {0: stock}, body, file, training, lambda line: None)
        state.append(load_cen(file).state_dict())
    for name, value in state[0].items():
        assert torch.allclose(value.float(), state[1][name].float(), atol=2e-2), name


def test_some_candidates_are_nearer_to_the_truth(source: CropSource, body: BodyModel, stock: CandidateStock):
    batch = batch_of(source, body, PLAIN)
    judged = Judged(body, CenConfig("resnet18", 8, 64, 30))
    training = replace(TRAINING, refined=0.0)

    def off(nearer: float) -> torch.Tensor:
        changed = replace(training, nearer=nearer)
        drawn = [_drawn(batch, {0: stock}, body, None, changed, step, 0) for step in range(20)]
        return torch.stack([judged.distances(bodies, batch.bodies).mean() for bodies in drawn])

    assert float(off(1.0).mean()) < 0.8 * float(off(0.0).mean())


def test_differences_within_a_person_are_learnt(
    source: CropSource, body: BodyModel, stock: CandidateStock, tmp_path: Path
):
    feed = Feed(CropBatches([source], PLAIN, body), [1.0], 6)
    network = CenConfig("landmarks18", 16, 64, 20, 64)
    training = CenTraining(network, 250, 6, "adamw", 3e-3, several=3, within=4.0)
    train_cen(feed, {0: stock}, body, tmp_path / "c.safetensors", training, lambda line: None)
    judge = load_cen(tmp_path / "c.safetensors")
    batch, judged = batch_of(source, body, PLAIN), Judged(body, network)
    columns = []
    for which in range(stock.count):
        bodies = candidates_in(batch, {0: stock}, body, torch.full((COUNT,), (which + 0.5) / stock.count))
        found = judge(batch.image, judge.view(body, bodies, batch.camera)).mean(1).detach()
        columns.append(torch.stack([found, judged.distances(bodies, batch.bodies).mean(1)]))
    found, right = torch.stack(columns, -1)
    apart = [x - x.mean(1, keepdim=True) for x in (found, right)]
    assert float(torch.corrcoef(torch.stack([a.flatten() for a in apart]))[0, 1]) > 0.7


def test_distances_are_learnt(source: CropSource, body: BodyModel, stock: CandidateStock, tmp_path: Path):
    feed = Feed(CropBatches([source], PLAIN, body), [1.0], 6)
    training = replace(TRAINING, steps=80, batch=6, rate=3e-3, refined=0.0)
    told: list[str] = []
    train_cen(feed, {0: stock}, body, tmp_path / "c.safetensors", replace(training, steps=1), told.append)
    train_cen(feed, {0: stock}, body, tmp_path / "d.safetensors", training, told.append)
    first, last = (float(line.rpartition("by ")[2].removesuffix(" mm")) for line in told)
    assert last < 0.7 * first


def test_rates_fall_as_the_paper_says():
    training = CenTraining(steps=100)
    assert [training.rate_at(s) for s in (1, 50, 51, 100)] == pytest.approx([0.01, 0.01, 0.001, 0.001])
