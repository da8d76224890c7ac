"""The whole way with the weights that ship: starts, fit, scores."""

import pytest
import torch

from bodyloop.annotate import fit_people
from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import COCO17, MEDIAPIPE33, Skeleton
from bodyloop.data.mocap import load_split
from bodyloop.evaluate.heldout import draw_people, errors
from bodyloop.evaluate.metrics import pa_mpjpe
from bodyloop.evidence import Evidence
from bodyloop.fit import EnergyWeights, FitConfig
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.priors.gmm import default_mixture
from motion_data import shared_data

CAMERA = Camera.from_focal(1200, 1000, 1000)


def standing_people(body: BodyModel, skeleton: Skeleton) -> tuple[Bodies, Evidence]:
    """The prior's eight mean poses, turned by up to a right angle."""
    prior = default_mixture()
    yaw = torch.linspace(-1.5, 1.5, 8)
    turn = axis_angle_to_rotmat(torch.stack([torch.zeros(8), yaw, torch.zeros(8)], -1))
    root = torch.diag(torch.tensor([1.0, -1, -1])) @ turn
    local = axis_angle_to_rotmat(prior.means.unflatten(1, (23, 3)))
    trans = torch.tensor([0.1, 0.0, 4.0]).expand(8, 3)
    bodies = Bodies(torch.cat([root[:, None], local], 1), torch.zeros(8, 10), trans)
    keypoints = CAMERA.project(body.points(bodies, body.keypoints(skeleton)[0]))
    return bodies, Evidence.from_keypoints(skeleton, keypoints, torch.ones(keypoints.shape[:2]))


@pytest.mark.parametrize("skeleton", [COCO17, MEDIAPIPE33])
def test_usual_poses_are_recovered(body: BodyModel, skeleton: Skeleton):
    truth, evidence = standing_people(body, skeleton)
    fits = fit_people(evidence, CAMERA)
    assert fits.trusted.all()
    assert (fits.error_box < 0.02).all()
    assert pa_mpjpe(body.joints(fits.bodies), body.joints(truth)).mean() < 35


def test_more_starts_never_end_higher(body: BodyModel):
    _, evidence = standing_people(body, COCO17)
    one, both = (
        fit_people(evidence, CAMERA, config=FitConfig(rounds=0), starts=s)
        for s in (("lifter",), ("lifter", "mean"))
    )
    assert (both.energy <= one.energy * (1 + 1e-4)).all()


def test_without_the_lifter_nothing_is_anchored(body: BodyModel):
    _, evidence = standing_people(body, COCO17)
    assert "anchor" not in fit_people(evidence, CAMERA, starts=("mean",)).terms
    spin = FitConfig(weights=EnergyWeights(), rounds=0)
    assert "anchor" not in fit_people(evidence, CAMERA, config=spin).terms


def test_same_input_same_result(body: BodyModel):
    _, evidence = standing_people(body, COCO17)
    first, second = (fit_people(evidence, CAMERA) for _ in range(2))
    assert torch.equal(first.bodies.rotations, second.bodies.rotations)


@pytest.mark.slow
@pytest.mark.skipif(shared_data() is None, reason="the CMU motion data is not on this machine")
def test_held_out_subjects(body: BodyModel):
    """The aims for the test subjects, as `benchmarks/heldout_accuracy.py` measures them."""
    motions = load_split(shared_data(), "test").motions
    people = draw_people(motions, body, COCO17, 500, 0)
    found = errors(fit_people(people.evidence, people.camera).bodies, people, body)
    assert found["pa_mpjpe_mm"] <= 45
    assert found["reprojection_share_of_box"] < 0.01
