"""The fits dictionary: never worse, the same however crops are turned and mirrored, safe on disk; the loop."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.batch import Batch
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.crops import CropSpec, draw_crops
from bodyloop.data.labels import Labels
from bodyloop.data.mixture import Draw
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.fit.problem import MATCHED
from bodyloop.geometry import Camera, geodesic_distance
from bodyloop.train import fits as module
from bodyloop.train.config import FitLoop
from bodyloop.train.fits import FitsDictionary, Loop, extents, initial_fits, reprojection_error
from made_up import random_bodies
from made_up_people import full_record

COUNT = 6
SQUARE = Camera(torch.tensor([420.0, 420.0]), torch.tensor([150.0, 110.0]), (320, 240))
TURNED = AugmentConfig(64, rotation_chance=1.0, rotation_sd=math.radians(30))


@pytest.fixture(scope="module")
def source(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> CropSource:
    records = [full_record(body, seed, SQUARE) for seed in range(COUNT)]
    spec = CropSpec("made", {}, resolution=80, maps=40)
    crops = draw_crops(records, spec, tmp_path_factory.mktemp("crops"))
    return CropSource(crops, Labels(0, 0, 0, 0, 0), "coco17")


def batch_of(
    source: CropSource, body: BodyModel, augment: AugmentConfig, seed: int = 0, **labels: float
) -> Batch:
    own = replace(source, labels=replace(Labels(three_d=0), **labels))
    draws = [Draw(0, i, 0) for i in range(COUNT)]
    return CropBatches([own], augment, body).lesson(draws, np.random.default_rng(seed)).batch


def truth(source: CropSource, body: BodyModel, augment: AugmentConfig, seed: int = 0) -> Bodies:
    return batch_of(source, body, augment, seed, three_d=1.0).bodies


def close(first: Bodies, second: Bodies) -> bool:
    pairs = [(getattr(first, n), getattr(second, n)) for n in ("rotations", "betas", "translation")]
    return all(torch.allclose(a, b, atol=1e-4) for a, b in pairs)


def test_out_as_it_went_in_however_the_crop_lay(body: BodyModel, source: CropSource):
    bodies, rows = random_bodies(COUNT, dtype=torch.float32), torch.arange(COUNT)
    g = torch.Generator().manual_seed(0)
    angle, flipped = torch.rand(COUNT, generator=g) * 6 - 3, torch.rand(COUNT, generator=g) < 0.5
    fits = FitsDictionary(COUNT, body)
    assert fits.offer(rows, bodies, torch.full((COUNT,), 0.1), angle, flipped).all()
    found, error = fits.get(rows, angle, flipped)
    assert close(found, bodies)
    assert torch.allclose(error, torch.tensor(0.1))
    order = torch.tensor([3, 0])
    assert close(fits.get(order, angle[order], flipped[order])[0], bodies[order])


def test_what_one_crop_gave_fits_every_other_crop_of_the_person(body: BodyModel, source: CropSource):
    """Exactly: the labels' own augmentation is the twin."""
    fits, rows = FitsDictionary(COUNT, body), torch.arange(COUNT)
    batch = batch_of(source, body, TURNED, 1)
    assert batch.flipped.any()
    fits.offer(rows, truth(source, body, TURNED, 1), torch.zeros(COUNT), batch.crop_angle, batch.flipped)
    for seed in (2, 3):
        other = batch_of(source, body, TURNED, seed)
        found, _ = fits.get(rows, other.crop_angle, other.flipped)
        assert close(found, truth(source, body, TURNED, seed))
        assert reprojection_error(body, found, other).max() < 1e-3


def test_errors_do_not_depend_on_the_crop(body: BodyModel, source: CropSource):
    wrong = random_bodies(COUNT, 9, dtype=torch.float32)
    fits, rows = FitsDictionary(COUNT, body), torch.arange(COUNT)
    plain = batch_of(source, body, AugmentConfig.none(64))
    fits.offer(rows, wrong, torch.zeros(COUNT), plain.crop_angle, plain.flipped)
    errors = []
    for seed in range(3):
        batch = batch_of(source, body, replace(TURNED, shift=0.1), seed)
        found, _ = fits.get(rows, batch.crop_angle, batch.flipped)
        errors.append(reprojection_error(body, found, batch))
    assert torch.allclose(errors[0], errors[1], rtol=1e-3)
    assert torch.allclose(errors[0], errors[2], rtol=1e-3)


def test_it_never_gets_worse(body: BodyModel):
    fits, g = FitsDictionary(4, body), torch.Generator().manual_seed(0)
    plain, straight = torch.zeros(10), torch.zeros(10, dtype=torch.bool)
    best = torch.full((4,), torch.inf)
    for step in range(20):
        rows = torch.randint(0, 4, (10,), generator=g)
        bodies, error = random_bodies(10, step, dtype=torch.float32), torch.rand(10, generator=g)
        taken = fits.offer(rows, bodies, error, plain, straight)
        for row in range(4):
            best[row] = min([float(best[row]), *error[rows == row].tolist()])
        assert torch.allclose(fits.error, best)
        where = (fits.error[rows] == error) & taken
        assert close(fits.get(rows[where], plain[where], straight[where])[0], bodies[where])
    worse = fits.state_dict()["rotations"].clone()
    assert not fits.offer(
        torch.arange(4), random_bodies(4, 99, dtype=torch.float32), best + 1, plain[:4], straight[:4]
    ).any()
    assert torch.equal(fits.rotations, worse)


def test_what_is_not_finite_is_not_kept(body: BodyModel):
    fits, bodies = FitsDictionary(3, body), random_bodies(3, dtype=torch.float32)
    bodies.translation[0] = torch.nan
    bodies.rotations[1] = torch.inf
    flags = torch.zeros(3), torch.zeros(3, dtype=torch.bool)
    taken = fits.offer(torch.arange(3), bodies, torch.tensor([0.1, 0.1, torch.nan]), *flags)
    assert not taken.any()
    assert (fits.error == torch.inf).all()


def test_dictionaries_of_several_processes_become_the_best_of_all(body: BodyModel):
    both = [FitsDictionary(4, body) for _ in range(2)]
    flags = torch.zeros(4), torch.zeros(4, dtype=torch.bool)
    people = [random_bodies(4, seed, dtype=torch.float32) for seed in (1, 2)]
    errors = [torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.4, 0.1, 0.4, 0.1])]
    for fits, bodies, error in zip(both, people, errors, strict=True):
        fits.offer(torch.arange(4), bodies, error, *flags)
    both[0].merge(both[1].state_dict())
    assert torch.equal(both[0].error, torch.minimum(*errors))
    found, _ = both[0].get(torch.arange(4), *flags)
    assert close(found[0:1], people[0][0:1])
    assert close(found[1:2], people[1][1:2])


def test_on_disk_it_is_complete_or_the_old_one(body: BodyModel, tmp_path: Path):
    fits, flags = FitsDictionary(2, body), (torch.zeros(2), torch.zeros(2, dtype=torch.bool))
    fits.offer(torch.arange(2), random_bodies(2, dtype=torch.float32), torch.tensor([0.1, 0.2]), *flags)
    file = tmp_path / "fits.safetensors"
    fits.save(file)
    again = FitsDictionary.load(file, body)
    assert all(torch.equal(value, fits.state_dict()[name]) for name, value in again.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["fits.safetensors"]
    with pytest.raises(InputError, match="not of 3 people"):
        FitsDictionary(3, body).load_state_dict(fits.state_dict())
    file.write_bytes(b"spoilt")
    with pytest.raises(InputError, match="delete it"):
        FitsDictionary.load(file, body)


def test_initial_fits_go_on_after_a_kill(body: BodyModel, source: CropSource, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "PER_FILE", 2)
    asked: list[range] = []
    whole = batch_of(source, body, AugmentConfig.none(64))
    whole.confidence[3] = 0  # nobody to be seen

    def part(span: range) -> Batch:
        asked.append(span)
        return whole[torch.tensor(list(span))]

    def fit(evidence: Evidence, camera: Camera) -> Bodies:
        if len(asked) == 2 and not (tmp_path / "again").exists():
            (tmp_path / "again").touch()
            raise KeyboardInterrupt
        right = truth(source, body, AugmentConfig.none(64))
        rows = [whole.names.index(name) for name in evidence.labels]
        return right[torch.tensor(rows)]

    folder = tmp_path / "fits"
    with pytest.raises(KeyboardInterrupt):
        initial_fits(COUNT, part, body, fit, folder)
    found = initial_fits(COUNT, part, body, fit, folder)
    assert asked == [range(0, 2), range(2, 4), range(2, 4), range(4, 6)]
    assert found.error.argmax() == 3
    assert found.error[3] == torch.inf
    seen = found.error < torch.inf
    assert int(seen.sum()) == COUNT - 1
    assert found.error[seen].max() < 1e-3
    asked.clear()
    again = initial_fits(COUNT, part, body, fit, folder)
    assert not asked
    assert torch.equal(again.rotations, found.rotations)


def test_in_the_loop_fits_from_good_answers_are_good(body: BodyModel, source: CropSource):
    batch, right = batch_of(source, body, TURNED, 4), truth(source, body, TURNED, 4)
    answers = Bodies.from_smpl(right.pose * 0.93, 0 * right.betas, right.translation + 0.05)
    fits = FitsDictionary(COUNT, body)
    loop = Loop(FitLoop(), body, {0: fits})
    before = reprojection_error(body, answers, batch)
    targets, figures = loop.targets(batch, answers)
    assert (fits.error < 0.3 * before).all()
    assert targets.has_rotations.all()
    assert figures["fits_good"] == figures["fits_better"] == 1
    best, _ = fits.get(batch.row, batch.crop_angle, batch.flipped)
    assert close(best, targets.bodies)
    # The next answers are bad: the dictionary's fits stay, and supervise.
    bad = random_bodies(COUNT, 3, 1.5, torch.float32)
    stored = fits.error.clone()
    targets, _ = loop.targets(batch, bad)
    assert (fits.error <= stored).all()
    assert targets.has_rotations.all()


def test_an_anchor_keeps_what_the_network_knows_of_depth(body: BodyModel, source: CropSource):
    """Answers have the right pose: fits that know no more of it than where to start forget more of it."""
    batch, right = batch_of(source, body, TURNED, 4), truth(source, body, TURNED, 4)
    answers = Bodies(right.rotations, 0 * right.betas, right.translation)
    off = []
    for weights in (MATCHED, replace(MATCHED, anchor=0.0)):
        fits = Loop(FitLoop(weights=weights), body, {}).fit(batch, answers)
        off.append(geodesic_distance(fits.rotations, right.rotations).mean())
    assert off[0] < 0.6 * off[1]


def test_static_fits_are_never_fitted_anew(body: BodyModel, source: CropSource, monkeypatch):
    batch, right = batch_of(source, body, TURNED, 4), truth(source, body, TURNED, 4)
    fits = FitsDictionary(COUNT, body)
    fits.offer(batch.row[:4], right[:4], torch.full((4,), 0.01), batch.crop_angle[:4], batch.flipped[:4])
    loop = Loop(FitLoop("static"), body, {0: fits})
    monkeypatch.setattr(Loop, "fit", None)
    targets, figures = loop.targets(batch, random_bodies(COUNT, dtype=torch.float32))
    assert targets.has_rotations.all(1).tolist() == [True] * 4 + [False] * 2
    assert close(targets.bodies[:4], right[:4])
    assert "fits_better" not in figures


def test_bad_fits_are_rejected_and_odd_shapes_calmed(body: BodyModel, source: CropSource):
    batch, right = batch_of(source, body, TURNED, 5), truth(source, body, TURNED, 5)
    right.betas[1, 0] = 3.5
    fits = FitsDictionary(COUNT, body)
    error = torch.tensor([0.049, 0.01, 0.051, 0.01, 0.2, 0.01])
    fits.offer(batch.row, right, error, batch.crop_angle, batch.flipped)
    targets, figures = Loop(FitLoop("static"), body, {0: fits}).targets(batch, right)
    good = [True, True, False, True, False, True]
    assert targets.has_rotations.all(1).tolist() == targets.has_rotations.any(1).tolist() == good
    assert targets.calm.tolist() == [False, True] + [False] * 4
    assert targets.has_betas.tolist() == targets.has_mesh.tolist() == [True, False, False, True, False, True]
    assert figures["fits_good"] == pytest.approx(4 / 6)


def test_labels_go_before_fits(body: BodyModel, source: CropSource):
    batch = batch_of(source, body, TURNED, 6, three_d=0.5)
    labelled = batch.has_pose
    assert labelled.any()
    assert not labelled.all()
    wrong = random_bodies(COUNT, 7, dtype=torch.float32)
    fits = FitsDictionary(COUNT, body)
    fits.offer(batch.row, wrong, torch.full((COUNT,), 0.01), batch.crop_angle, batch.flipped)
    targets, _ = Loop(FitLoop("static"), body, {0: fits}).targets(batch, wrong)
    assert close(targets.bodies[labelled], batch.bodies[labelled])
    assert close(targets.bodies[~labelled], wrong[~labelled])
    everybody = batch_of(source, body, TURNED, 6, three_d=1.0)
    targets, figures = Loop(FitLoop(), body, {}).targets(everybody, wrong)
    assert not figures
    assert close(targets.bodies, everybody.bodies)


def test_extents():
    points = torch.tensor([[[0.0, 0], [3, 4], [100, 100]]])
    assert extents(points, torch.tensor([[True, True, False]])) == 5
    assert extents(points, torch.zeros(1, 3, dtype=torch.bool)) > 0
