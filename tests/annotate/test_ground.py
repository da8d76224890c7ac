"""The ground, the world, and feet that slide."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bodyloop.annotate.ground import Ground, feet, find_ground, foot_skate, speeds, to_world
from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.track import Track

CAMERA = Camera.from_focal(1000, 1000, 800)


def stepping(body: BodyModel, pitch: float = 0.0, steps: int = 6) -> tuple[Track, Tensor]:
    """Somebody who stands still in `steps` places on level ground and hops between them, seen by a camera that looks
    down by `pitch` radians; and the direction up in its axes.
    """
    places, still, hop = [], 8, 4
    for n in range(steps):
        here = torch.tensor([0.5 * n, 0.0, 4.0 + (n % 3) * 0.8])
        there = torch.tensor([0.5 * (n + 1), 0.0, 4.0 + ((n + 1) % 3) * 0.8])
        places += [here] * still
        for k in range(hop):
            share = (k + 1) / (hop + 1)
            jump = torch.tensor([0.0, -0.4 * math.sin(math.pi * share), 0.0])
            places.append(here + share * (there - here) + jump)
    frames = len(places)
    turn = axis_angle_to_rotmat(torch.tensor([-pitch, 0.0, 0.0]))
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    rotations = torch.eye(3).repeat(frames, 24, 1, 1)
    rotations[:, 0] = turn @ upright
    pelvis = body.rest_pelvis(torch.zeros(10))
    trans = torch.stack(places) @ turn.T - pelvis
    bodies = Bodies(rotations, torch.zeros(frames, 10), trans)
    times = torch.arange(frames, dtype=torch.float64) / 30
    track = Track(bodies, times, torch.ones(frames, dtype=torch.bool), CAMERA, "0")
    return track, turn @ torch.tensor([0.0, -1.0, 0.0])


@pytest.mark.parametrize("pitch", [0.0, 0.2])
def test_the_ground_is_found(body: BodyModel, pitch: float):
    track, up = stepping(body, pitch)
    ground = find_ground([track], body)
    assert ground.steps >= 6
    assert float(ground.up @ up) > math.cos(0.02)
    standing = feet(body, track.bodies[:1])[0]
    assert ground.above(standing).abs().max() < 0.06
    assert abs(float(ground.up.norm()) - 1) < 1e-6


def test_a_stair_does_not_tilt_it(body: BodyModel):
    track, up = stepping(body)
    lifted = track.bodies.translation.clone()
    lifted[-12:] += 0.6 * up
    ground = find_ground([replace(track, bodies=replace(track.bodies, translation=lifted))], body)
    assert float(ground.up @ up) > math.cos(0.06)


def test_wrong_distances_do_not_tilt_it(body: BodyModel):
    """Steps that are too near or too far lie on their rays, and so on a plane through the camera."""
    track, up = stepping(body, steps=12)
    pelvis = body.rest_pelvis(torch.zeros(10))
    place = track.bodies.translation + pelvis + torch.tensor([0.0, 1.0, 0.0])
    found = torch.zeros(3)
    for seed in range(8):
        noise = 0.05 * torch.randn(12, generator=torch.Generator().manual_seed(seed))
        share = 1 + noise.repeat_interleave(12)[:, None]
        bodies = replace(track.bodies, translation=place * share - pelvis)
        found += find_ground([replace(track, bodies=bodies)], body).up / 8
    assert float(found @ up / found.norm()) > math.cos(0.015)


def test_in_the_world_people_stand_on_the_ground(body: BodyModel):
    track, _ = stepping(body, 0.2)
    ground = find_ground([track], body)
    (moved,) = to_world([track], ground, body)
    assert moved.frame == "world"
    assert moved.camera is None
    before, after = body.joints(track.bodies), body.joints(moved.bodies)
    assert torch.allclose(torch.pdist(before[3]), torch.pdist(after[3]), atol=1e-4), "only turned and moved"
    assert torch.allclose(after[..., 1], ground.above(before), atol=1e-4)
    assert torch.allclose(after[0, 0, [0, 2]], torch.zeros(2), atol=1e-4)
    head, foot = after[0, 15], after[0, 10]
    assert head[1] - foot[1] > 1.3
    assert after[-1, 0, 0] > 1.5, "the camera's right stays right"
    assert after[16, 0, 2] < after[0, 0, 2], "z comes towards the camera"


def test_two_people_share_one_world(body: BodyModel):
    track, _ = stepping(body)
    other = replace(track, name="1", bodies=replace(track.bodies, translation=track.bodies.translation + 0.3))
    ground = find_ground([track, other], body)
    first, second = to_world([track, other], ground, body)
    apart = body.joints(second.bodies)[0, 0] - body.joints(first.bodies)[0, 0]
    assert abs(float(apart.norm()) - 0.3 * math.sqrt(3)) < 1e-4


def test_feet_that_slide_are_told(body: BodyModel):
    track, up = stepping(body)
    ground = find_ground([track], body)
    still = foot_skate(track, ground, body)
    side = torch.tensor([1.0, 0.0, 0.0])
    slid = track.bodies.translation + track.times[:, None].float() * 0.5 * side
    sliding = foot_skate(replace(track, bodies=replace(track.bodies, translation=slid)), ground, body)
    assert still < 0.2
    assert 0.3 < sliding < 0.9
    lifted = replace(track, bodies=replace(track.bodies, translation=track.bodies.translation + 3 * up))
    assert math.isnan(foot_skate(lifted, ground, body))


def test_somebody_in_the_air_has_ground_below_and_no_steps(body: BodyModel):
    track, up = stepping(body, steps=1)
    times = track.times
    flying = track.bodies.translation[:1] + (times[:, None] * 2.0).float() * torch.tensor([[0.0, 0.0, 1.0]])
    ground = find_ground([replace(track, bodies=replace(track.bodies, translation=flying))], body)
    assert ground.steps == 0
    assert float(ground.up @ up) > 0.9


def test_speeds():
    times = torch.tensor([0.0, 0.1, 0.3], dtype=torch.float64)
    places = torch.tensor([0.0, 1.0, 2.0])[:, None, None] * torch.tensor([1.0, 0.0, 0.0])
    assert torch.allclose(speeds(places, times), torch.tensor([[10.0], [7.5], [5.0]]))
    assert speeds(places[:1], times[:1]).eq(0).all()


def test_worlds_have_no_camera_to_find_a_ground_by(body: BodyModel):
    track, _ = stepping(body, steps=2)
    world = to_world([track], Ground(torch.tensor([0.0, -1.0, 0.0]), 0.0, 1), body)
    with pytest.raises(InputError, match="camera axes"):
        find_ground(world, body)
    with pytest.raises(InputError):
        find_ground([], body)
