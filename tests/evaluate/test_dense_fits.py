"""Fits to dense evidence: what each condition gives a fit, the claims, and a run on one person."""

import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.data.synthetic import SyntheticPeople, SyntheticSample
from bodyloop.evaluate.dense_fits import (
    CONDITIONS,
    DENSE,
    FEW,
    KEYPOINTS,
    LEAST_SEEN,
    RAW,
    Condition,
    Task,
    _curves,
    claims,
    measured,
    seen_keypoints,
    summed_up,
    surface_of,
)
from bodyloop.evaluate.tables import Figures, Table
from bodyloop.fit import Surface

NAMES = {condition.name for condition in CONDITIONS}


@pytest.fixture(scope="module")
def sample() -> SyntheticSample:
    people = SyntheticPeople("studio", split="test")
    return people.sample(1)


def surface(sample: SyntheticSample, body: BodyModel, **condition: object) -> Surface:
    chosen = Condition("made up", **condition)  # type: ignore[arg-type]
    found = surface_of(sample, chosen, seen_keypoints(sample, body, 0.0, 0), 0)
    assert found is not None
    return found


def test_keypoints_alone_tell_nothing_of_the_surface(sample: SyntheticSample, body: BodyModel):
    evidence = seen_keypoints(sample, body, 0.0, 0)
    assert surface_of(sample, CONDITIONS[0], evidence, 0) is None
    assert (evidence.confidence > 0).sum() >= LEAST_SEEN


def test_noise_is_that_of_the_box(sample: SyntheticSample, body: BodyModel):
    exact = seen_keypoints(sample, body, 0.0, 0)
    seen = exact.confidence > 0
    off = torch.cat(
        [(seen_keypoints(sample, body, 0.03, s).keypoints - exact.keypoints)[seen] for s in range(40)]
    )
    side = (exact.boxes[:, 2:] - exact.boxes[:, :2]).max()
    assert off.std() == pytest.approx(0.03 * float(side), rel=0.1)


def test_dense_points_are_where_the_true_surface_is_seen(sample: SyntheticSample, body: BodyModel):
    found = surface(sample, body, dense=True)
    assert 100 <= len(found) <= 150
    at = sample.camera.project(body.points(sample.bodies, found.dense_points(body)))
    # In clothes the pixel shows a point some way before the skin; a studio's clothes are thin.
    assert (at - found.pixels).norm(dim=-1).median() < 2.0


def test_fewer_points_are_among_the_more(sample: SyntheticSample, body: BodyModel):
    full, few, share = (surface(sample, body, dense=True, **k) for k in ({}, {"count": FEW}, {"share": 0.4}))
    assert len(few) == FEW
    assert len(share) == round(0.4 * len(full))
    everything = {tuple(p) for p in full.pixels.tolist()}
    assert {tuple(p) for p in few.pixels.tolist()} <= {tuple(p) for p in share.pixels.tolist()} <= everything


def test_noise_moves_points_on_the_surface(sample: SyntheticSample, body: BodyModel):
    exact, noisy = (surface(sample, body, dense=True, sigma=s) for s in (0.0, 20.0))
    assert torch.equal(exact.pixels, noisy.pixels)
    a, b = (body.points(sample.bodies, s.dense_points(body)) for s in (exact, noisy))
    assert 0.005 < float((a - b).norm(dim=-1).median()) < 0.1


def test_refinement_takes_from_swapped_limbs(sample: SyntheticSample, body: BodyModel):
    def wrong(refine: str) -> float:
        shares = []
        for seed in range(6):
            chosen = Condition("made up", dense=True, swapped=True, refine=refine)
            found = surface_of(sample, chosen, seen_keypoints(sample, body, 0.0, 0), seed)
            assert found is not None
            at = sample.camera.project(body.points(sample.bodies, found.dense_points(body)))
            shares.append(float(((at - found.pixels).norm(dim=-1) > 12).float().mean()))
        return sum(shares) / len(shares)

    raw, paper, limbs = wrong(""), wrong("paper"), wrong("limbs")
    assert raw > 0.1
    assert limbs < paper < raw


def test_parts_are_those_of_the_partition(sample: SyntheticSample, body: BodyModel):
    fine, coarse = surface(sample, body, parts="smpl"), surface(sample, body, parts="densepose")
    assert fine.targets is not None
    assert coarse.targets is not None
    assert (fine.targets.parts, coarse.targets.parts) == (24, 14)


def test_one_person_under_two_conditions(sample: SyntheticSample, body: BodyModel):
    chosen = tuple(c for c in CONDITIONS if c.name in (KEYPOINTS, DENSE))
    found = measured(Task(SyntheticSample.stack([sample]), 0, chosen))
    assert found.keys() == {KEYPOINTS, DENSE}
    sparse, dense = summed_up(found[KEYPOINTS]), summed_up(found[DENSE])
    for measure in ("pa_mpjpe_mm", "dkd_px"):
        assert getattr(dense, measure) < 0.6 * getattr(sparse, measure)
    assert dense.part_iou is not None
    assert dense.part_iou > 0.8


def test_claims_are_judged_by_pve():
    worse = {KEYPOINTS: 130.0, DENSE: 50.0, RAW: 200.0, "KA + BA": 120.0}
    figures = {name: Figures(mpvpe_mm=worse.get(name, 54.0)) for name in NAMES}
    found = {claim.id: claim for claim in claims(figures, "made up", 3)}
    assert all(claim.holds for claim in found.values())
    assert {claim.seeds for claim in found.values()} == {(3,)}
    figures[DENSE] = Figures(mpvpe_mm=40.0)
    figures["KA + BA"] = Figures(mpvpe_mm=130.5)
    figures[f"KA + dense, {FEW} points"] = Figures(mpvpe_mm=118.0)
    broken = {claim.id for claim in claims(figures, "made up", 3) if not claim.holds}
    assert broken == {
        "zanfir-eq7-parts-help",
        "rong-fig6-fit-few-points-help",
        "rong-fig6-fit-60-percent",
        "rong-fig5-fit-noise-10",
    }


def test_curves_go_through_rows_that_are_there():
    for curve in _curves():
        assert {name for _, name in curve.points} | set(curve.levels) <= NAMES
        places = [x for x, _ in curve.points]
        assert places == sorted(places)


def test_a_table_with_curves_comes_back_from_json():
    table = Table("made up", (), ("a note",), _curves())
    assert Table.from_json(table.to_json()) == table
