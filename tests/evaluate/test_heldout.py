import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.data.motion import Motion
from bodyloop.evaluate.heldout import HeldOut, draw_people, errors


@pytest.fixture(scope="module")
def people(body: BodyModel) -> HeldOut:
    pose = torch.randn(60, 72, generator=torch.Generator().manual_seed(0)) * 0.2
    motion = Motion.from_smpl(pose, torch.zeros(60, 3), 30.0, "made up")
    return draw_people([motion], body, COCO17, 40, 1)


def test_no_more_people_than_frames(body: BodyModel):
    motion = Motion.from_smpl(torch.zeros(5, 72), torch.zeros(5, 3), 30.0)
    with pytest.raises(ValueError, match="need 6 good frames, got 5"):
        draw_people([motion], body, COCO17, 6)


def test_the_truth_has_no_error(people: HeldOut, body: BodyModel):
    found = errors(people.truth, people, body)
    assert found["mpjpe_mm"] < 0.01
    assert found["pve_mm"] < 0.01
    assert found["reprojection_share_of_box"] < 1e-5
    assert found["failures"] == 0


def test_people_are_in_the_picture_and_in_front(people: HeldOut, body: BodyModel):
    assert (body.joints(people.truth)[..., 2] > 1).all()
    middle = people.evidence.boxes.unflatten(1, (2, 2)).mean(1)
    assert ((middle > 0) & (middle < 1000)).all()
    height = people.evidence.boxes[:, 3] - people.evidence.boxes[:, 1]
    assert (height < 1100).all()


def test_seeds_decide(body: BodyModel):
    motion = Motion.from_smpl(torch.randn(60, 72) * 0.2, torch.zeros(60, 3), 30.0, "made up")
    a, b, c = (draw_people([motion], body, COCO17, 10, s).evidence.keypoints for s in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_noise_is_as_large_as_said(people: HeldOut):
    noisy = people.disturbed(0.03, 0)
    side = (people.evidence.boxes[:, 2:] - people.evidence.boxes[:, :2]).amax(-1)
    off = (noisy.evidence.keypoints - people.evidence.keypoints) / side[:, None, None]
    assert abs(float(off.std()) - 0.03) < 0.002
    assert abs(float((people.thinned(0.3, 0).evidence.confidence > 0).float().mean()) - 0.7) < 0.05
