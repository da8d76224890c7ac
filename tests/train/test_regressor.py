"""Losses of whole answers: none for the truth, and each falls when its own label is followed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource, Lesson, Wanted
from bodyloop.data.crops import CropSpec, draw_crops
from bodyloop.data.labels import Labels
from bodyloop.data.mixture import Draw
from bodyloop.geometry import WeakPerspective
from bodyloop.nets.build import build
from bodyloop.nets.estimator import Estimate
from bodyloop.priors.adversarial import Adversarial
from bodyloop.train.config import Supervision
from bodyloop.train.regressor import Regressor, Targets, project
from bodyloop.train.run import loss_names
from bodyloop.train.settings import to_data
from made_up import random_bodies
from made_up_crops import SIDE, TINY
from made_up_people import full_record

ALL = Supervision(
    joints=1.0, rotations=1.0, betas=1.0, mesh=1.0, keypoints=1.0, dense=1.0, parts=1.0, prior=1.0, shape=1.0,
    scale=1.0, adversarial=1.0,
)  # fmt: skip
LABELLED = ("joints", "rotations", "betas", "mesh", "keypoints", "dense", "parts")


@pytest.fixture(scope="module")
def batches(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> CropBatches:
    records = [full_record(body, seed) for seed in range(6)]
    spec = CropSpec("made", {}, resolution=80, maps=40, dense=150)
    crops = draw_crops(records, spec, tmp_path_factory.mktemp("crops"))
    wanted = Wanted("densepose", True, "densepose", 32)
    return CropBatches([CropSource(crops)], AugmentConfig(SIDE, shift=0.05), body, wanted)


@pytest.fixture(scope="module")
def lesson(batches: CropBatches) -> Lesson:
    return batches.lesson([Draw(0, i, 0) for i in range(6)], np.random.default_rng(0))


@pytest.fixture(scope="module")
def regressor(body: BodyModel) -> Regressor:
    return Regressor(build(TINY["hmr"]), body, mesh_points=400)


def answer(bodies: Bodies, lesson: Lesson) -> Estimate:
    """What a network says that places bodies there."""
    batch = lesson.batch
    middle = torch.full((len(batch), 2), (SIDE - 1) / 2)
    size = torch.full((len(batch),), float(SIDE))
    camera = WeakPerspective.from_translation(bodies.translation, batch.camera, middle, size)
    return Estimate(bodies.rotations, bodies.betas, camera)


def test_an_answer_is_placed_where_its_camera_says(regressor: Regressor, lesson: Lesson):
    truth = lesson.batch.bodies
    placed = regressor.placed(answer(truth, lesson), lesson.batch)
    assert torch.allclose(placed.translation, truth.translation, atol=1e-4)


def test_the_truth_pays_next_to_nothing(regressor: Regressor, lesson: Lesson):
    targets = Targets.labelled(lesson.batch)
    adversary = Adversarial()
    right = regressor.losses(answer(lesson.batch.bodies, lesson), lesson, targets, ALL, adversary)
    wrong = regressor.losses(answer(nudged(lesson.batch.bodies), lesson), lesson, targets, ALL, adversary)
    assert set(right) == set(wrong) == {*LABELLED, "prior", "shape", "scale", "adversarial"}
    for name in LABELLED:
        limit = {"parts": 0.5, "dense": 0.2}.get(name, 1e-3)  # pixels are coarse
        assert float(right[name]) < limit * float(wrong[name]), name


def nudged(bodies: Bodies) -> Bodies:
    off = random_bodies(len(bodies), 5, 0.2, torch.float32)
    return Bodies(
        Bodies.from_smpl(bodies.pose + 0.2 * off.pose.sin()).rotations,
        bodies.betas + off.betas,
        bodies.translation + torch.tensor([0.1, -0.1, 0.3]),
    )


@pytest.mark.parametrize("name", [*LABELLED, "prior", "shape", "scale", "adversarial"])
def test_each_loss_falls_when_it_is_followed(name: str, regressor: Regressor, lesson: Lesson):
    weights, targets = Supervision(**{name: 1.0}), Targets.labelled(lesson.batch)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adversary = Adversarial()
    start = nudged(lesson.batch.bodies)
    camera = answer(start, lesson).camera
    assert camera is not None
    numbers = [start.pose, start.betas, camera.scale * (0.1 if name == "scale" else 1), camera.shift]
    numbers = [x.clone().requires_grad_() for x in numbers]
    optimiser = torch.optim.Adam(numbers, 0.01)

    def loss() -> torch.Tensor:
        pose, betas, scale, shift = numbers
        estimate = Estimate(Bodies.from_smpl(pose).rotations, betas, WeakPerspective(scale, shift))
        found = regressor.losses(estimate, lesson, targets, weights, adversary)
        assert list(found) == [name]
        return found[name]

    before = float(loss().detach())
    for _ in range(15):
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
    assert float(loss().detach()) < 0.97 * before


def test_stages_are_averaged(regressor: Regressor, lesson: Lesson):
    targets = Targets.labelled(lesson.batch)
    weights = Supervision(joints=1.0, every_stage=True)
    first = answer(nudged(lesson.batch.bodies), lesson)
    last = answer(lesson.batch.bodies, lesson)
    both = Estimate(last.rotations, last.betas, last.camera, (first,))
    found = regressor.losses(both, lesson, targets, weights)["joints"]
    own = [regressor.losses(x, lesson, targets, weights)["joints"] for x in (first, last)]
    assert float(found) == pytest.approx(float(sum(own)) / 2)
    alone = regressor.losses(both, lesson, targets, replace(weights, every_stage=False))["joints"]
    assert float(alone) == pytest.approx(float(own[1]))


def test_what_a_detector_found_counts_as_much_as_is_said(regressor: Regressor, lesson: Lesson):
    """With 0 as if it were not labelled, as SPIN's released code has it."""
    detected = torch.zeros_like(lesson.batch.detected)
    detected[:, ::2] = True
    some = replace(lesson, batch=replace(lesson.batch, detected=detected))
    without = replace(
        lesson, batch=replace(lesson.batch, confidence=torch.where(detected, 0.0, lesson.batch.confidence))
    )
    found = answer(nudged(lesson.batch.bodies), lesson)

    def loss(one: Lesson, weights: Supervision) -> float:
        return float(regressor.losses(found, one, Targets.labelled(one.batch), weights)["keypoints"])

    weights = Supervision(keypoints=1.0)
    assert loss(some, weights) == loss(lesson, weights) != loss(without, weights)
    assert loss(some, replace(weights, detected=0.0)) == loss(without, weights)
    assert loss_names(replace(weights, detected=0.5)) == ["keypoints"], "a factor is no loss"
    assert "detected" not in to_data(weights), "digests of recipes stay"


@pytest.mark.parametrize("name", list(TINY))
def test_every_network_gets_gradients(name: str, body: BodyModel, lesson: Lesson):
    network = build(TINY[name])
    regressor = Regressor(network, body, mesh_points=60)
    weights = replace(ALL, adversarial=0.0, heatmaps=1.0, part_maps=0.0, pose_prior="own", every_stage=True)
    if name == "latent stages":
        weights = replace(weights, part_maps=1.0)
    if name == "joints":  # has no latents of its own
        weights = replace(weights, pose_prior="gmm")
    estimate = network(regressor.crops(lesson.batch))
    losses = regressor.losses(estimate, lesson, Targets.labelled(lesson.batch), weights)
    torch.stack(list(losses.values())).sum().backward()
    idle = [
        n for n, p in network.named_parameters() if p.requires_grad and p.grad is None and "part" not in n
    ]
    assert not idle
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)


def test_labels_that_are_not_there_do_not_matter(body: BodyModel, batches: CropBatches, regressor: Regressor):
    """A batch half without labels has the losses of the other half."""
    crops = batches.sources[0].crops
    sources = [CropSource(crops), CropSource(crops, Labels(0, 0, 0, 0, 0))]
    plain = AugmentConfig.none(SIDE)
    mixed = CropBatches(sources, plain, body, batches.wanted)
    half = mixed.lesson([Draw(i % 2, i // 2, 0) for i in range(12)], np.random.default_rng(0))
    own = mixed.lesson([Draw(0, i, 0) for i in range(6)], np.random.default_rng(0))
    weights = replace(ALL, prior=0.0, shape=0.0, scale=0.0, adversarial=0.0)
    results = []
    for lesson in (half, own):
        truth = own.batch.bodies
        if lesson is half:
            truth = Bodies(
                *(x.repeat_interleave(2, 0) for x in (truth.rotations, truth.betas, truth.translation))
            )
        found = answer(nudged_alike(truth), lesson)
        results.append(regressor.losses(found, lesson, Targets.labelled(lesson.batch), weights))
    for name in LABELLED:
        assert float(results[0][name]) == pytest.approx(float(results[1][name]), rel=1e-4), name


def nudged_alike(bodies: Bodies) -> Bodies:
    return Bodies(Bodies.from_smpl(bodies.pose * 0.9).rotations, bodies.betas * 0.5, bodies.translation + 0.1)


def test_what_is_behind_the_camera_is_far_but_finite(lesson: Lesson):
    points = torch.tensor([[[0.5, 0.0, -3.0], [0.5, 0, 0.0], [0.5, 0, 3.0]]]).expand(6, -1, -1)
    pixels = project(points, lesson.batch.camera)
    assert torch.isfinite(pixels).all()
    assert (pixels[:, 0] == pixels[:, 1]).all()


def test_an_unlabelled_part_is_no_part(regressor: Regressor, lesson: Lesson, body: BodyModel, tmp_path: Path):
    parts = lesson.batch.parts
    assert parts is not None
    network = Regressor(build(TINY["parts alone"]), body)
    seen = network.crops(
        replace(lesson.batch, parts=torch.where(parts == 1, 255, parts).to(torch.uint8))
    ).parts
    assert seen is not None
    assert torch.equal(seen, torch.where(parts <= 1, -1, parts.long() - 1))
