"""Fits of people over time: gaps, windows, who is observed, and what is refused."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from bodyloop.annotate.over_time import (
    TemporalConfig,
    fit_over_time,
    shape_weight,
    steady_boxes,
    windows,
)
from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from made_up_videos import walk

CAMERA = Camera.from_focal(1200, 1000, 1000)
FRAMES = 24


def evidence_of(
    body: BodyModel, bodies: Bodies, noise: float = 0.0, hidden: tuple[int, ...] = ()
) -> Evidence:
    keypoints = CAMERA.project(body.points(bodies, body.keypoints(COCO17)[0]))
    g = torch.Generator().manual_seed(0)
    confidence = torch.ones(keypoints.shape[:2])
    confidence[list(hidden)] = 0
    return Evidence.from_keypoints(
        COCO17, keypoints + torch.randn(keypoints.shape, generator=g) * noise, confidence
    )


def times_of(count: int = 1, frames: int = FRAMES) -> Tensor:
    return (torch.arange(frames, dtype=torch.float64) / 30).expand(count, -1)


def off(body: BodyModel, found: Bodies, truth: Bodies) -> Tensor:
    """Mean distance of the joints (T,) after root alignment, metres."""
    a, b = body.joints(found), body.joints(truth)
    return ((a - a[:, :1]) - (b - b[:, :1])).norm(dim=-1).mean(1)


@pytest.fixture(scope="module")
def truth() -> Bodies:
    return walk(FRAMES)


def test_noisy_frames_with_a_gap(body: BodyModel, truth: Bodies):
    hidden = (10, 11, 12)
    found = fit_over_time(evidence_of(body, truth, 6.0, hidden), CAMERA, times_of(), body)
    assert found.observed[0].tolist() == [t not in hidden for t in range(FRAMES)]
    assert found.error_px[0, list(hidden)].isnan().all()
    assert found.error_px[0].nanmean() < 12
    assert found.noise.shape == (1,)
    assert found.bodies.betas[0].eq(found.bodies.betas[0, :1]).all()
    errors = off(body, found.bodies[0], truth)
    assert errors.mean() < 0.09
    assert errors[list(hidden)].mean() < 1.5 * errors.mean()
    moved = found.bodies.translation[0].diff(dim=0)
    assert moved.norm(dim=-1).max() < 0.1, "nobody jumps"


def test_two_people_are_fitted_as_each_alone(body: BodyModel, truth: Bodies):
    short = truth[:8]
    other = walk(8, aside=-0.7)
    both = Evidence.from_keypoints(
        COCO17,
        torch.cat([evidence_of(body, b).keypoints for b in (short, other)]),
        torch.ones(16, 17),
    )
    together = fit_over_time(both, CAMERA, times_of(2, 8), body)
    alone = fit_over_time(evidence_of(body, other), CAMERA, times_of(1, 8), body)
    assert torch.allclose(together.bodies.translation[1], alone.bodies.translation[0], atol=0.01)
    assert torch.allclose(together.noise[1], alone.noise[0], rtol=1e-3)


def test_windows_give_what_one_fit_gives(body: BodyModel, truth: Bodies):
    evidence = evidence_of(body, truth, 3.0)
    whole = fit_over_time(evidence, CAMERA, times_of(), body)
    config = TemporalConfig(window=14, overlap=6)
    parts = fit_over_time(evidence, CAMERA, times_of(), body, config)
    assert parts.bodies.betas[0].eq(parts.bodies.betas[0, :1]).all(), "one shape in all windows"
    places = body.joints(parts.bodies[0]) - body.joints(whole.bodies[0])
    assert places.norm(dim=-1).mean() < 0.03
    eye = parts.bodies.rotations.mT @ parts.bodies.rotations
    assert torch.allclose(eye, torch.eye(3).expand_as(eye), atol=1e-5)


@pytest.mark.parametrize(
    ("frames", "size", "overlap"), [(10, 10, 3), (10, 20, 3), (31, 10, 4), (11, 10, 9), (100, 7, 1)]
)
def test_windows_cover_all_frames_and_overlap(frames: int, size: int, overlap: int):
    found = windows(frames, size, overlap)
    assert found[0][0] == 0
    assert found[-1][1] == frames
    assert all(end - begin == min(size, frames) for begin, end in found)
    for (_, end), (begin, _) in pairwise(found):
        assert end - begin >= overlap


def test_a_shape_is_believed_no_more_for_being_seen_wrong_every_time(body: BodyModel):
    """A detector that puts the shoulders too far apart does so in every frame. The shape follows that at most as much
    as the frames' say grows against its charge, which has an end."""
    bent, say = [], []
    for frames in (16, 128):
        say.append(frames / shape_weight(TemporalConfig(), frames) ** 2)
        truth = walk(frames)
        evidence = evidence_of(body, truth)
        keypoints = evidence.keypoints.clone()
        left, right = (COCO17.keypoints.index(f"{side}_shoulder") for side in ("left", "right"))
        keypoints[:, left, 0] += 6
        keypoints[:, right, 0] -= 6
        found = fit_over_time(replace(evidence, keypoints=keypoints), CAMERA, times_of(1, frames), body)
        bent.append(float(found.bodies.betas[0, 0].norm()))
    assert bent[1] / bent[0] < say[1] / say[0]
    assert 100_000 / shape_weight(TemporalConfig(), 100_000) ** 2 < 1.6 * say[0]


def test_boxes_do_not_shrink_when_a_keypoint_is_missing(body: BodyModel, truth: Bodies):
    evidence = evidence_of(body, truth)
    confidence = evidence.confidence.clone()
    confidence[5, [15, 16]] = 0  # the ankles
    confidence[6] = 0
    missing = Evidence.from_keypoints(COCO17, evidence.keypoints, confidence)
    sides = [(b[:, 3] - b[:, 1]) for b in (steady_boxes(evidence, 1), steady_boxes(missing, 1))]
    assert torch.allclose(sides[0][5], sides[1][5], rtol=0.03)
    assert torch.allclose(sides[0][6], sides[1][6], rtol=0.03)
    assert missing.boxes[5, 3] - missing.boxes[5, 1] < 0.9 * sides[0][5]


def test_a_single_frame_is_a_track(body: BodyModel, truth: Bodies):
    found = fit_over_time(evidence_of(body, truth[:1]), CAMERA, times_of(1, 1), body)
    assert found.bodies.batch_shape == (1, 1)


def test_what_cannot_be_fitted_is_refused(body: BodyModel, truth: Bodies):
    evidence = evidence_of(body, truth)
    with pytest.raises(ValueError, match="24 frames, got"):
        fit_over_time(evidence[:5], CAMERA, times_of(), body)
    nobody = replace(evidence, confidence=torch.zeros_like(evidence.confidence))
    with pytest.raises(ValueError, match="at least one frame"):
        fit_over_time(nobody, CAMERA, times_of(), body)
    with pytest.raises(ValueError, match="overlap"):
        TemporalConfig(window=10, overlap=10)
