from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bodyloop.body import SKELETONS
from bodyloop.body.skeletons import COCO17, mirrored
from bodyloop.evidence import Evidence, IuvMap, RemovedRegion, refine_iuv, swapped_limbs
from bodyloop.evidence.iuv import SEGMENTS
from bodyloop.evidence.refine import KEYPOINT_SEGMENTS, wrong_parts
from drawn_iuv import drawn, standing


def swap(*limbs, both_sides=True):
    return swapped_limbs(drawn(), torch.Generator().manual_seed(0), limbs, 1.0, both_sides)


def one_keypoint(name, x, y):
    index = COCO17.index(name)
    keypoints, confidence = torch.zeros(1, 17, 2), torch.zeros(1, 17)
    keypoints[0, index], confidence[0, index] = torch.tensor([float(x), float(y)]), 1
    return Evidence.from_keypoints(COCO17, keypoints, confidence)


def of_parts(part):
    part = np.asarray(part, np.uint8)
    return IuvMap(part, np.full((*part.shape, 2), 0.5) * (part > 0)[..., None])


def slow_refined(part, x, y, right):
    """One keypoint of Rong et al., appendix A, told as it stands there; None at a tie."""
    part = part.copy()
    grid = part[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].ravel().tolist()
    votes = sorted(((grid.count(i), i) for i in set(grid)), reverse=True)
    if len(votes) > 1 and votes[0][0] == votes[1][0]:
        return None
    surrounding = votes[0][1]
    if surrounding == 0 or surrounding in right:
        return part
    part[y, x] = 0
    front = [(y, x)]
    while front:
        row, column = front.pop()
        for r in range(max(row - 1, 0), min(row + 2, part.shape[0])):
            for c in range(max(column - 1, 0), min(column + 2, part.shape[1])):
                if part[r, c] == surrounding:
                    part[r, c] = 0
                    front.append((r, c))
    return part


def test_a_right_map_is_left_alone():
    iuv = drawn()
    for mirrored_only in (False, True):
        refined, removed = refine_iuv(iuv, standing(), mirrored_only=mirrored_only)
        assert removed == []
        assert np.array_equal(refined.part, iuv.part)
        assert np.array_equal(refined.uv, iuv.uv)


@settings(max_examples=200, deadline=None)
@given(
    arrays(np.uint8, (9, 8), elements=st.sampled_from([0, 5, 6, 13, 14])),
    st.integers(0, 7),
    st.integers(0, 8),
)
def test_slow_twin(part, x, y):
    expected = slow_refined(part, x, y, {6, 11, 13})
    refined, _ = refine_iuv(of_parts(part), one_keypoint("right_ankle", x, y))
    if expected is not None:
        assert np.array_equal(refined.part, expected)


@settings(max_examples=100, deadline=None)
@given(
    arrays(np.uint8, (12, 12), elements=st.integers(0, 24)),
    st.integers(0, 1000),
    st.booleans(),
    st.booleans(),
)
def test_refining_again_changes_nothing(part, seed, mirrored_only, whole_limbs):
    places = torch.rand(2, 17, 2, generator=torch.Generator().manual_seed(seed)) * 12
    evidence = Evidence.from_keypoints(COCO17, places, torch.ones(2, 17))
    options = {"mirrored_only": mirrored_only, "whole_limbs": whole_limbs}
    once, removed = refine_iuv(of_parts(part), evidence, **options)
    again, rest = refine_iuv(once, evidence, **options)
    assert rest == []
    assert np.array_equal(again.part, once.part)
    kept = once.part > 0
    assert np.array_equal(once.part[kept], part[kept])
    assert (once.uv[~kept] == 0).all()
    assert sum(region.pixels for region in removed) <= (~kept & (part > 0)).sum()


@pytest.mark.parametrize("limb", ["arm", "leg", "upper_arm", "lower_arm", "upper_leg", "lower_leg"])
@pytest.mark.parametrize("both_sides", [True, False])
def test_swapped_limbs_lose_what_keypoints_touch(limb, both_sides):
    swapped, wrong = swap(limb, both_sides=both_sides)
    for mirrored_only in (False, True):
        refined, removed = refine_iuv(swapped, standing(), mirrored_only=mirrored_only)
        gone = swapped.foreground & ~refined.foreground
        accused = {r.part for r in removed}
        assert accused
        assert accused <= set(np.unique(swapped.part[wrong]).tolist())
        assert (gone & ~wrong).sum() <= len(removed)  # a keypoint's own pixel may be of another part
        joints = len(set(r.keypoint for r in removed))
        assert joints >= (1 if not both_sides else 2)


def test_swapped_arms_and_legs_go_where_every_chart_has_a_keypoint():
    swapped, wrong = swap("arm", "leg")
    refined, removed = refine_iuv(swapped, standing())
    assert (refined.foreground | wrong)[swapped.foreground].all()
    assert (refined.foreground & wrong).sum() < 5  # pixels that the drawing cuts off from their limb
    keypoints = {r.keypoint for r in removed}
    assert {mirrored(name) for name in keypoints} == keypoints
    assert all(r.label == "anna" and r.pixels > 200 for r in removed)


@pytest.mark.parametrize(("whole_limbs", "low", "high"), [(False, 0.3, 0.6), (True, 1.0, 1.0)])
def test_charts_without_a_keypoint_go_only_with_their_limb(whole_limbs, low, high):
    """Two charts along each bone: the paper's rule clears one of them, and no hand or foot."""
    iuv = drawn(halves=True)
    swapped, wrong = swapped_limbs(iuv, torch.Generator().manual_seed(0), chance=1.0)
    refined, _ = refine_iuv(swapped, standing(), whole_limbs=whole_limbs)
    gone = swapped.foreground & ~refined.foreground
    assert not (gone & ~wrong).any()
    assert low <= gone.sum() / wrong.sum() <= high
    assert refine_iuv(iuv, standing(), whole_limbs=whole_limbs)[1] == []


def test_a_whole_limb_is_that_of_one_side():
    part = np.repeat([20, 3, 4, 19, 2, 0], 4)[None].repeat(
        6, 0
    )  # right arm and hand, left hand and arm, torso
    refined, removed = refine_iuv(of_parts(part), one_keypoint("left_wrist", 5, 3), whole_limbs=True)
    assert removed == [RemovedRegion("0", "left_wrist", 3, 48)]
    assert np.array_equal(refined.part, np.where(np.isin(part, (20, 3)), 0, part))


def test_only_the_connected_region_goes():
    part = np.zeros((20, 20), int)
    part[2:8, 2:8] = 12  # a left lower leg around a right ankle
    part[8, 8] = 12  # touches by its corner alone
    part[12:18, 2:8] = 12
    part[2:8, 8:14] = 14
    refined, removed = refine_iuv(of_parts(part), one_keypoint("right_ankle", 4.4, 4.6))
    expected = part.copy()
    expected[:9, :9][expected[:9, :9] == 12] = 0
    assert np.array_equal(refined.part, expected)
    assert removed == [RemovedRegion("0", "right_ankle", 12, 37)]


@pytest.mark.parametrize(
    ("grid", "goes"),
    [
        ([12] * 5 + [0] * 4, True),
        ([12] * 4 + [0] * 5, False),  # mostly background
        ([12] * 4 + [0] * 4 + [11], False),  # a tie
        ([12] * 4 + [11] * 4 + [0], False),
        ([12] * 5 + [11] * 4, True),
        ([12] * 4 + [14] * 3 + [11] * 2, True),
    ],
)
def test_votes_of_the_grid(grid, goes):
    refined, removed = refine_iuv(of_parts(np.reshape(grid, (3, 3))), one_keypoint("right_ankle", 1, 1))
    assert bool(removed) == goes
    assert (12 in refined.part) == (not goes)


def test_what_is_unseen_or_outside_accuses_nobody():
    iuv = of_parts(np.full((6, 6), 12))
    right = one_keypoint("right_ankle", 3, 3)
    assert refine_iuv(iuv, right)[1]
    for evidence, least in (
        (replace(right, confidence=right.confidence * 0.3), 0.3),
        (replace(right, confidence=right.confidence * 0), 0.0),
        (replace(right, keypoints=right.keypoints + 3), 0.0),
        (replace(right, keypoints=right.keypoints - 3.6), 0.0),
        (right[:0], 0.0),
    ):
        refined, removed = refine_iuv(iuv, evidence, min_confidence=least)
        assert removed == []
        assert np.array_equal(refined.part, iuv.part)


def test_a_hidden_keypoint_accuses_only_its_mirror_image_if_asked():
    torso = of_parts(np.full((6, 6), 2))
    wrist = one_keypoint("left_wrist", 3, 3)
    assert refine_iuv(torso, wrist)[1] == [RemovedRegion("0", "left_wrist", 2, 36)]
    assert refine_iuv(torso, wrist, mirrored_only=True)[1] == []
    assert refine_iuv(of_parts(np.full((6, 6), 20)), wrist, mirrored_only=True)[1] != []


def test_maps_of_a_box():
    iuv = of_parts(np.full((6, 6), 12))
    for box, x, goes in (((99.5, 49.5, 105.5, 55.5), 105, True), ((99.5, 49.5, 111.5, 61.5), 111, True),
                         ((99.5, 49.5, 105.5, 55.5), 106, False)):  # fmt: skip
        assert bool(refine_iuv(replace(iuv, box=box), one_keypoint("right_ankle", x, 52))[1]) == goes


def test_several_people_judge_one_map():
    a = standing()
    both = Evidence.from_keypoints(
        COCO17, a.keypoints.repeat(2, 1, 1), torch.tensor([[0.0], [1.0]]).repeat(1, 17), labels=("a", "b")
    )
    swapped, _ = swap("arm")
    refined, removed = refine_iuv(swapped, both)
    assert {r.label for r in removed} == {"b"}
    assert np.array_equal(refined.part, refine_iuv(swapped, a)[0].part)


def test_the_table_is_symmetric_and_covers_coco():
    assert set(COCO17.keypoints) <= KEYPOINT_SEGMENTS.keys()
    for name, segments in KEYPOINT_SEGMENTS.items():
        assert set(segments) <= SEGMENTS.keys()
        assert {mirrored(s) for s in segments} == set(KEYPOINT_SEGMENTS[mirrored(name)])
    ankle = np.flatnonzero(~wrong_parts(COCO17)[COCO17.index("right_ankle")])
    assert ankle.tolist() == [0, 6, 11, 13]  # the paper's example: not on the left foot, 5


@pytest.mark.parametrize("name", sorted(SKELETONS))
def test_any_skeleton(name):
    skeleton = SKELETONS[name]
    wrong = wrong_parts(skeleton)
    assert wrong.shape == (len(skeleton), 25)
    assert not wrong[:, 0].any()
    assert wrong.any(1).sum() >= 12
    assert not (wrong_parts(skeleton, mirrored_only=True) & ~wrong).any()
