"""Clips with known truth."""

import pytest
import torch

from bodyloop.body import BodyModel, get_skeleton
from bodyloop.data.motion import Motion
from bodyloop.evaluate.moving import MovingPeople, draw_clips, errors_over_time

COCO = get_skeleton("coco17")


def swinging(frames: int = 100, fps: float = 30.0) -> Motion:
    pose, place = torch.zeros(frames, 72), torch.zeros(frames, 3)
    time = torch.arange(frames) / fps
    pose[:, 3], pose[:, 6] = torch.sin(6 * time) * 0.4, -torch.sin(6 * time) * 0.4
    place[:, 2] = time
    return Motion.from_smpl(pose, place, fps, "swinging")


@pytest.fixture(scope="module")
def people(body: BodyModel) -> MovingPeople:
    return draw_clips([swinging()], body, COCO, 5, 16, 1)


def test_clips_are_motion_seen_by_one_camera(people: MovingPeople, body: BodyModel):
    assert len(people) == 5
    assert people.frames == 16
    assert people.truth.betas.eq(people.truth.betas[:, :1]).all()
    focal = people.camera.focal.reshape(5, 16, 2)
    assert focal.eq(focal[:, :1]).all()
    assert people.times.diff(dim=1).sub(1 / 30).abs().max() < 1e-9
    joints = body.joints(people.truth)
    assert (joints[..., 2] > 0.5).all()
    step = joints[:, 1:, 0] - joints[:, :-1, 0]
    assert torch.allclose(step.norm(dim=-1), torch.full((5, 15), 1 / 30), atol=1e-3), (
        "a metre a second, as it was"
    )
    points = people.evidence.keypoints
    assert (points > 0).all()
    assert (points < 1000).all()


def test_clips_of_other_frame_rates_are_resampled(body: BodyModel):
    (one,) = draw_clips([swinging(120, 60.0)], body, COCO, 1, 16, 0).times
    assert one[-1] == pytest.approx(0.5)


def test_the_same_frames_in_shorter_clips(people: MovingPeople, body: BodyModel):
    short = people.cut(4)
    assert (len(short), short.frames) == (20, 4)
    assert torch.equal(short.truth.rotations.flatten(0, 1), people.truth.rotations.flatten(0, 1))
    assert short.evidence is people.evidence
    part = people[1:3]
    assert torch.equal(part.evidence.keypoints, people.evidence.keypoints[16:48])
    assert torch.equal(part.truth.betas, people.truth.betas[1:3])


def test_noise_and_drop_outs(people: MovingPeople):
    noisy = people.disturbed(0.02, 0.1, 3)
    seen = noisy.evidence.confidence > 0
    assert 0.85 < float(seen.float().mean()) < 0.95
    side = (people.evidence.boxes[:, 2:] - people.evidence.boxes[:, :2]).amax(-1)
    off = (noisy.evidence.keypoints - people.evidence.keypoints) / side[:, None, None]
    assert float(off[seen].std()) == pytest.approx(0.02, rel=0.1)
    again = people.disturbed(0.02, 0.1, 3).evidence
    assert torch.equal(again.keypoints, noisy.evidence.keypoints)
    assert not torch.equal(people.disturbed(0.02, 0.1, 4).evidence.keypoints, again.keypoints)


def test_errors_of_the_truth_are_none(people: MovingPeople, body: BodyModel):
    assert all(abs(v) < 1e-3 for v in errors_over_time(people.truth, people, body).values())


def test_too_few_frames_are_told(body: BodyModel):
    with pytest.raises(ValueError, match="need 99 clips"):
        draw_clips([swinging()], body, COCO, 99)
