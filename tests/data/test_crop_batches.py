"""Batches cut out of stored crops: what `Change` makes of each record, for all at once."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import BodyModel, ChartMirror, builtin_atlas, get_skeleton
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig, Change, Occluder
from bodyloop.data.batch import Batch, Layout, to_sample
from bodyloop.data.crop_batches import CropBatches, CropSource, Kept, Lesson, Wanted
from bodyloop.data.crop_changes import Changes
from bodyloop.data.crops import Crops, CropSpec, draw_crops
from bodyloop.data.labels import NO_ERRORS, DenseErrors, Labels
from bodyloop.data.mixture import Draw
from bodyloop.data.record import Record
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, CropTransform
from made_up_people import full_record

SIDE, STORED = 48, 96
CAMERA = Camera(torch.tensor([420.0, 420.0]), torch.tensor([150.0, 110.0]), (320, 240))
WILD = AugmentConfig(SIDE, shift=0.1, rotation_chance=1.0, occlusion_chance=0.5)


@pytest.fixture(scope="module")
def records(body: BodyModel) -> list[Record]:
    return [full_record(body, seed, CAMERA) for seed in range(8)]


@pytest.fixture(scope="module")
def crops(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Crops:
    spec = CropSpec("made", {}, resolution=STORED, maps=STORED, dense=200)
    return draw_crops(records, spec, tmp_path_factory.mktemp("crops"))


def draws(count: int) -> list[Draw]:
    return [Draw(0, i, i) for i in range(count)]


def one_by_one(records: list[Record], crops: Crops, changes: Changes, body: BodyModel) -> Batch:
    """The same changes, made of the records themselves."""
    samples = []
    for i, record in enumerate(records):
        (row,) = crops.rows([i])
        pixel = row["crop_size"] / STORED
        center = row["crop_center"] + (changes.center[i] - (STORED - 1) / 2) * pixel
        crop = CropTransform(
            torch.from_numpy(center),
            torch.tensor(changes.side[i] * pixel),
            SIDE,
            float(changes.angle[i]),
            bool(changes.flip[i]),
        )
        color = tuple((255 * changes.color[i]).round().astype(int).tolist())
        occluder = Occluder(tuple(changes.box[i].tolist()), bool(changes.ellipse[i]), color)
        change = Change(crop, tuple(changes.gains[i].tolist()), occluder if changes.hidden[i] else None)
        changed = change.apply(record, record.image, body, ChartMirror())
        layout = Layout(UNION45, 200, "smpl", iuv=True)
        samples.append(to_sample(changed, change, layout, np.random.default_rng(0), None))
    return Batch.stack(samples)


def test_a_batch_is_what_change_makes_of_each_record(records: list[Record], crops: Crops, body: BodyModel):
    wanted = Wanted("smpl", True, "densepose", SIDE)
    batches = CropBatches([CropSource(crops)], WILD, body, wanted)
    changes = Changes.draw(WILD, STORED, crops.spec.margin, 8, np.random.default_rng(5))
    assert changes.flip.any()
    assert not changes.flip.all()
    assert changes.hidden.any()
    found = batches.lesson(draws(8), np.random.default_rng(5)).batch
    truth = one_by_one(records, crops, changes, body)
    for name, tolerance in (
        ("keypoints", 1e-3), ("confidence", 0), ("joints", 1e-5), ("crop_center", 1e-3), ("crop_size", 1e-3),
        ("crop_angle", 1e-6),
    ):  # fmt: skip
        assert torch.allclose(getattr(found, name), getattr(truth, name), atol=tolerance), name
    for name in (
        "detected",
        "joints_known",
        "flipped",
        "has_pose",
        "has_translation",
        "has_iuv",
        "has_parts",
        "gender",
    ):
        assert torch.equal(getattr(found, name), getattr(truth, name)), name
    for name in ("rotations", "betas", "translation"):
        assert torch.allclose(getattr(found.bodies, name), getattr(truth.bodies, name), atol=1e-5), name
    assert torch.allclose(found.camera.focal, truth.camera.focal, rtol=1e-5)
    assert torch.allclose(found.camera.center, truth.camera.center, atol=1e-3)
    for i in range(8):  # the record's points lose those that are covered, here their weight is 0
        mine, theirs = found.dense_weight[i] > 0, truth.dense_weight[i] > 0
        assert torch.allclose(found.dense_pixels[i, mine], truth.dense_pixels[i, theirs], atol=1e-3)
        assert torch.equal(found.dense_part[i, mine], truth.dense_part[i, theirs])
        assert torch.allclose(found.dense_uv[i, mine], truth.dense_uv[i, theirs], atol=1e-6)
    # Pictures and maps are sampled a second time.
    assert found.parts is not None
    assert truth.parts is not None
    assert (found.parts == truth.parts).float().mean() > 0.97
    assert found.iuv is not None
    assert truth.iuv is not None
    same = (found.iuv[:, 0] == truth.iuv[:, 0]) & (truth.iuv[:, 0] > 0)
    assert same.sum() > 0.8 * (truth.iuv[:, 0] > 0).sum()
    assert (found.iuv - truth.iuv).movedim(1, -1)[same].abs().median() < 0.02
    assert (found.image - truth.image).abs().mean() < 0.02


def test_without_augmentation_it_is_the_crop_alone(crops: Crops, body: BodyModel):
    plain = AugmentConfig.none(STORED, crops.spec.margin)
    lesson = CropBatches([CropSource(crops)], plain, body).lesson(draws(3), np.random.default_rng(0))
    rows = crops.rows([0, 1, 2])
    image = torch.from_numpy(rows["image"].copy()).movedim(-1, 1).float() / 255
    assert torch.allclose(lesson.batch.image, image, atol=1e-6)
    assert np.allclose(lesson.batch.keypoints.numpy(), rows["keypoints"], atol=1e-4)
    assert torch.allclose(
        lesson.batch.bodies.rotations, torch.from_numpy(rows["rotations"].copy()), atol=1e-6
    )
    assert lesson.batch.parts is lesson.batch.iuv is lesson.part_targets is None


@pytest.mark.parametrize("config", [AugmentConfig.none(SIDE), WILD])
def test_all_labels_agree(crops: Crops, body: BodyModel, config: AugmentConfig):
    """The camera sees the body's keypoints and dense points where the batch says, mirrored or not."""
    batches = CropBatches([CropSource(crops)], config, body, Wanted(targets="densepose", target_size=12))
    lesson = batches.lesson(draws(8), np.random.default_rng(2))
    batch = lesson.batch
    points = body.points(batch.bodies, body.keypoints(UNION45)[0])
    seen = batch.confidence > 0
    assert torch.allclose(batch.camera.project(points)[seen], batch.keypoints[seen], atol=0.02)
    assert torch.allclose(points[batch.joints_known], batch.joints[batch.joints_known], atol=1e-3)
    surface = batch.camera.project(body.surface_points(batch.bodies, lesson.corners, lesson.barycentric))
    there = batch.dense_weight > 0
    assert there.any(1).all()
    off = (surface - batch.dense_pixels)[there].norm(dim=-1)
    assert off.median() < 0.2
    assert off.quantile(0.95) < 1.0
    assert lesson.part_targets is not None
    assert lesson.part_targets.shape == (8, 12, 12)
    assert lesson.part_targets.max() <= 14


def test_labels_and_landmarks_that_do_not_count(crops: Crops, body: BodyModel):
    none = Labels(0, 0, 0, 0, 0)
    wanted = Wanted("densepose", True, "densepose", 12)
    batches = CropBatches([CropSource(crops, none)], AugmentConfig.none(SIDE), body, wanted)
    lesson = batches.lesson(draws(4), np.random.default_rng(0))
    batch = lesson.batch
    for mask in (
        batch.confidence,
        batch.dense_weight,
        lesson.has_part_targets,
        batch.joints_known,
        batch.has_pose,
    ):
        assert not mask.any()
    assert not (batch.has_betas | batch.has_orientation | batch.has_translation).any()
    assert torch.equal(batch.bodies.rotations, torch.eye(3).expand(4, 24, 3, 3))
    assert batch.has_iuv.all(), "a network's input is no label"
    assert (batch.keypoints == 0).all()
    source = CropSource(crops, Labels(), "lsp14")
    batch = CropBatches([source], AugmentConfig(SIDE), body).lesson(draws(4), np.random.default_rng(0)).batch
    named = [UNION45.keypoints[i] for i in batch.confidence[0].nonzero()[:, 0].tolist()]
    assert set(named) == set(get_skeleton("lsp14").keypoints)
    half = Labels(three_d=0.5)
    batch = (
        CropBatches([CropSource(crops, half)], WILD, body).lesson(draws(8), np.random.default_rng(0)).batch
    )
    kept = [half.keeps("three_d", Record("made", str(i))) for i in range(8)]
    assert batch.has_pose.tolist() == kept
    assert batch.joints_known.any(1).tolist() == kept


def test_several_sources_in_one_batch(crops: Crops, body: BodyModel):
    sources = [CropSource(crops), CropSource(crops, Labels(three_d=0)), CropSource(crops, mirror=None)]
    flipped = AugmentConfig(SIDE, flip_chance=1.0)
    batches = CropBatches(sources, flipped, body, Wanted(iuv=True))
    assert batches.sizes == (8, 8, 8)
    batch = batches.lesson([Draw(1, 3, 0), Draw(0, 3, 1), Draw(2, 0, 2)], np.random.default_rng(0)).batch
    assert batch.has_pose.tolist() == [False, True, True]
    assert batch.has_iuv.tolist() == [True, True, False]
    assert batch.iuv is not None
    assert batch.iuv[2].abs().max() == 0
    assert (batch.source.tolist(), batch.row.tolist()) == ([1, 0, 2], [3, 3, 0])
    assert batch.names == ("made/3", "made/3", "made/0")
    assert (batch.dense_weight > 0).any(1).tolist() == [True, True, False]


class _OtherMirror(ChartMirror):
    """Charts that mirror otherwise: their U the other way around too."""

    def __call__(self, part: torch.Tensor, uv: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        part, uv = super().__call__(part, uv)
        return part, torch.stack([1 - uv[..., 0], uv[..., 1]], -1)


def test_dense_points_mirror_as_their_sources_charts_do(crops: Crops, body: BodyModel):
    sources = [CropSource(crops), CropSource(crops, mirror=_OtherMirror())]
    batches = CropBatches(sources, AugmentConfig(SIDE, flip_chance=1.0), body)
    batch = batches.lesson([Draw(0, 3, 0), Draw(1, 3, 0)], np.random.default_rng(0)).batch
    there = batch.dense_part[0] > 0
    assert there.any()
    assert torch.equal(batch.dense_part[0], batch.dense_part[1])
    usual, other = batch.dense_uv[:, there]
    assert torch.equal(other, torch.stack([1 - usual[:, 0], usual[:, 1]], 1))


def test_the_same_seed_is_the_same_batch(crops: Crops, body: BodyModel):
    batches = CropBatches([CropSource(crops)], WILD, body, Wanted(targets="densepose"))

    def images(seed: int, lesson: Lesson | None = None) -> torch.Tensor:
        lesson = batches.lesson(draws(8), np.random.default_rng(seed))
        return lesson.batch.image

    assert torch.equal(images(1), images(1))
    assert not torch.equal(images(1), images(2))


def test_what_does_not_fit_together(crops: Crops, body: BodyModel, records: list[Record], tmp_path: Path):
    with pytest.raises(InputError, match="expected at least one"):
        CropBatches([], WILD, body)
    with pytest.raises(InputError, match="margin"):
        CropBatches([CropSource(crops)], AugmentConfig(SIDE, margin=2.0), body)
    other = draw_crops(records[:2], CropSpec("made", {}, resolution=32, maps=16), tmp_path)
    with pytest.raises(InputError, match="one layout"):
        CropBatches([CropSource(crops), CropSource(other)], WILD, body)


def spoilt(crops: Crops, body: BodyModel, errors: DenseErrors) -> Lesson:
    """All crops as they are stored, their dense keypoints with errors."""
    batches = CropBatches([CropSource(crops, errors=errors)], AugmentConfig.none(SIDE), body)
    return batches.lesson(draws(8), np.random.default_rng(0))


def test_fewer_dense_keypoints_are_among_the_more(crops: Crops, body: BodyModel):
    shares = (1.0, 0.6, 0.2, 0.0)
    there = [spoilt(crops, body, DenseErrors(share=s)).batch.dense_weight > 0 for s in shares]
    for more, fewer in pairwise(there):
        assert (more | ~fewer).all()
    counts = [int(mask.sum()) for mask in there]
    assert counts[0] == int((spoilt(crops, body, NO_ERRORS).batch.dense_weight > 0).sum())
    assert counts[3] == 0
    assert [count / counts[0] for count in counts] == pytest.approx(shares, abs=0.05)


def test_noise_moves_points_on_the_surface_and_stays(crops: Crops, body: BodyModel):
    plain, noisy, again = (spoilt(crops, body, DenseErrors(s)) for s in (0.0, 20.0, 20.0))
    there = plain.batch.dense_weight > 0
    assert torch.equal(noisy.batch.dense_pixels, plain.batch.dense_pixels)
    assert torch.equal(noisy.batch.dense_part, plain.batch.dense_part)
    assert torch.equal(noisy.barycentric, again.barycentric), "the same in every epoch"
    inside = (plain.batch.dense_uv > 0.2) & (plain.batch.dense_uv < 0.8) & there[..., None]
    off = (noisy.batch.dense_uv - plain.batch.dense_uv)[inside]
    assert float(off.std()) == pytest.approx(20 / 255, rel=0.1)
    atlas = builtin_atlas()
    uv = noisy.batch.dense_uv[there]
    corners, weights = atlas.locate(noisy.batch.dense_part[there], uv[:, 0], uv[:, 1])
    assert torch.equal(noisy.corners[there], corners)
    torch.testing.assert_close(noisy.barycentric[there], weights, atol=1e-5, rtol=0)


@pytest.mark.parametrize("wrong", [{"sigma": -1.0}, {"sigma": math.inf}, {"share": 1.5}])
def test_impossible_errors(wrong: dict[str, float]):
    with pytest.raises(ValueError, match="dense errors need"):
        DenseErrors(**wrong)


def known(count: int, versions: int = 3) -> Kept:
    """Features that say which version of which crop they are of."""
    return Kept({"image": [np.array([[v, n] for n in range(count)], np.float16) for v in range(versions)]})


def test_kept_versions_are_drawn_with_their_labels(crops: Crops, body: BodyModel):
    batches = CropBatches(
        [CropSource(crops, known=known(len(crops)))], WILD, body, Wanted(targets="densepose")
    )
    lesson = batches.lesson(draws(8), np.random.default_rng(0))
    assert lesson.features is not None
    version, row = lesson.features["image"].long().T.tolist()
    assert row == list(range(8))
    assert len(set(version)) > 1
    assert lesson.batch.image.shape == (8, 3, SIDE, SIDE)
    for i, number in enumerate(version):
        alone = batches.version(0, number, [i])
        assert alone.features is None
        assert alone.batch.image.any()
        for name in ("keypoints", "joints", "dense_pixels", "crop_angle", "flipped"):
            torch.testing.assert_close(getattr(lesson.batch, name)[i], getattr(alone.batch, name)[0])
        torch.testing.assert_close(lesson.batch.bodies.rotations[i], alone.batch.bodies.rotations[0])
        assert lesson.part_targets is not None
        assert alone.part_targets is not None
        assert torch.equal(lesson.part_targets[i], alone.part_targets[0])
    moved = lesson.to("cpu")
    assert moved.features is not None
    assert torch.equal(moved.features["image"], lesson.features["image"])


def test_versions_differ_and_stay(crops: Crops, body: BodyModel):
    first, second = (CropBatches([CropSource(crops)], WILD, body) for _ in range(2))
    a, b = first.version(0, 0, range(8)).batch, second.version(0, 0, range(8)).batch
    assert torch.equal(a.image, b.image)
    assert not torch.equal(a.keypoints, first.version(0, 1, range(8)).batch.keypoints)
    torch.testing.assert_close(first.version(0, 0, [5]).batch.keypoints[0], a.keypoints[5])


def test_kept_features_of_several_sources(crops: Crops, body: BodyModel):
    more = Kept({"image": [values + 100 for values in known(len(crops)).features["image"]]})
    sources = [CropSource(crops, known=known(len(crops))), CropSource(crops, known=more)]
    mixed = CropBatches(sources, WILD, body).lesson([Draw(1, 2, 0), Draw(0, 2, 1)], np.random.default_rng(1))
    assert mixed.features is not None
    assert mixed.features["image"][:, 1].tolist() == [102, 2]
