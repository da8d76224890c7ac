"""Estimates of crops as bodies in the full image."""

import math

import pytest
import torch

from bodyloop.body import SMPL_FLIP, Bodies, BodyModel, get_skeleton
from bodyloop.geometry import Camera, CropTransform, WeakPerspective
from bodyloop.nets.estimator import LEAST_SCALE, Estimate
from bodyloop.nets.multistage import Seen, StagedEstimate
from made_up import random_bodies

COUNT = 4
SKELETON = get_skeleton("coco17")
FAR = Camera.from_focal(60000, 800, 600)
"""So long a lens that perspective is weak."""


def crop(angle: float | torch.Tensor = 0.0, flip: bool = False) -> CropTransform:
    g = torch.Generator().manual_seed(3)
    center = torch.tensor([400.0, 300.0]) + 150 * torch.randn(COUNT, 2, generator=g)
    return CropTransform(center, torch.tensor([180.0, 220, 260, 300]), 112, angle, flip)


def weak_estimate() -> Estimate:
    bodies = random_bodies(COUNT, 2, 0.3, torch.float32)
    g = torch.Generator().manual_seed(4)
    camera = WeakPerspective(
        0.8 + 0.2 * torch.rand(COUNT, generator=g), 0.1 * torch.randn(COUNT, 2, generator=g)
    )
    return Estimate(bodies.rotations, bodies.betas, camera)


def crop_coordinates(pixels: torch.Tensor, where: CropTransform) -> torch.Tensor:
    return (2 * where.image_to_crop(pixels) - where.resolution + 1) / where.resolution


def in_crop(body: BodyModel, estimate: Estimate) -> torch.Tensor:
    """Joints as the network's own weak-perspective camera sees them, (B, 24, 2)."""
    still = Bodies(estimate.rotations, estimate.betas, torch.zeros(COUNT, 3))
    return estimate.camera.project(body.joints(still))


@pytest.mark.parametrize("angle", [0.0, 0.4, torch.tensor([0.5, -0.2, 0.0, 3.0])])
def test_the_image_shows_what_the_crop_shows(body: BodyModel, angle: float | torch.Tensor):
    where, estimate = crop(angle), weak_estimate()
    found = estimate.to_bodies(FAR, where, body)
    seen = crop_coordinates(FAR.project(body.joints(found)), where)
    assert torch.allclose(seen, in_crop(body, estimate), atol=5e-3)


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_mirrored_crop_shows_the_mirrored_body(body: BodyModel, angle: float):
    where, estimate = crop(angle, flip=True), weak_estimate()
    seen = crop_coordinates(FAR.project(body.joints(estimate.to_bodies(FAR, where, body))), where)
    # left and right trade names; the built-in body is symmetric to a few millimetres
    assert torch.allclose(seen[:, SMPL_FLIP], in_crop(body, estimate), atol=0.02)


def test_a_scale_below_zero_stands_in_front_of_the_camera(body: BodyModel):
    estimate = weak_estimate()
    odd = Estimate(
        estimate.rotations,
        estimate.betas,
        WeakPerspective(torch.tensor([-1.0, 0, 0.01, 1]), estimate.camera.shift),
    )
    depth = odd.to_bodies(FAR, crop(), body).translation[:, 2]
    assert (depth > 0).all()
    assert depth.max() <= 2 * 60000 / (LEAST_SCALE * 180.0) + 1


def staged(body: BodyModel, where: CropTransform, camera: Camera) -> tuple[Bodies, StagedEstimate]:
    """People, and what a perfect network says of crops of them: upright and unmirrored ones."""
    truth = random_bodies(COUNT, 5, 0.2, torch.float32)
    pixels = camera.project(body.points(truth, body.keypoints(SKELETON)[0]))
    seen = Seen(crop_coordinates(pixels, where), torch.ones(COUNT, 17), SKELETON, (), ())
    return truth, StagedEstimate(truth.rotations, truth.betas, pose=torch.zeros(COUNT, 1), seen=seen)


def test_keypoints_place_people(body: BodyModel):
    where, camera = crop(), Camera.from_focal(900, 800, 600)
    truth, estimate = staged(body, where, camera)
    found = estimate.to_bodies(camera, where, body)
    assert torch.allclose(found.translation, truth.translation, atol=0.02)
    assert torch.equal(found.rotations, truth.rotations)


@pytest.mark.parametrize("flip", [False, True])
def test_turned_and_mirrored_crops_of_keypoints(body: BodyModel, flip: bool):
    """A network that looks at a changed crop, and says the changed truth, says the truth."""
    angle, camera = 0.5, Camera.from_focal(900, 800, 600)
    plain, changed = crop(), crop(angle, flip)
    truth, _ = staged(body, plain, camera)
    c, s = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[c, -s, 0.0], [s, c, 0], [0, 0, 1]])
    there = Bodies(
        torch.cat([(turn @ truth.rotations[:, 0])[:, None], truth.rotations[:, 1:]], 1),
        truth.betas,
        truth.translation,
    )
    pixels = camera.project(body.points(truth, body.keypoints(SKELETON)[0]))
    places = crop_coordinates(pixels, changed)
    if flip:
        there, places = there.mirrored(), places[:, list(SKELETON.flip)]
    seen = Seen(places, torch.ones(COUNT, 17), SKELETON, (), ())
    found = StagedEstimate(there.rotations, there.betas, pose=torch.zeros(COUNT, 1), seen=seen).to_bodies(
        camera, changed, body
    )
    assert torch.allclose(found.rotations, truth.rotations, atol=1e-5)
    assert torch.allclose(found.translation, truth.translation, atol=0.02)


def test_placing_is_differentiable(body: BodyModel):
    """The derivative by one keypoint, against finite differences in double precision."""
    where, camera = crop(), Camera.from_focal(900, 800, 600).to(torch.float64)
    double = body.to(torch.float64)
    truth, estimate = staged(body, where, Camera.from_focal(900, 800, 600))

    def depth(places: torch.Tensor) -> torch.Tensor:
        seen = Seen(places, estimate.seen.confidence, SKELETON, (), ())
        moved = StagedEstimate(truth.rotations, truth.betas, pose=estimate.pose, seen=seen)
        return moved.to_bodies(camera, where, double).translation[:, 2].sum()

    places = estimate.seen.keypoints.clone().requires_grad_()
    (slope,) = torch.autograd.grad(depth(places), places)
    step = torch.zeros_like(places)
    step[0, 0, 1] = 1e-2
    found = (depth(places + step) - depth(places - step)) / 2e-2
    assert torch.isclose(found.float(), slope[0, 0, 1], rtol=0.05)


def test_nothing_seen_is_still_a_place(body: BodyModel):
    where, camera = crop(), Camera.from_focal(900, 800, 600)
    _, estimate = staged(body, where, camera)
    blind = Seen(estimate.seen.keypoints, torch.zeros(COUNT, 17), SKELETON, (), ())
    found = StagedEstimate(estimate.rotations, estimate.betas, pose=estimate.pose, seen=blind).to_bodies(
        camera, where, body
    )
    assert torch.isfinite(found.translation).all()
