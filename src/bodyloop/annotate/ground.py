"""The ground under people whom a standing camera sees, a world with y up, and how much feet slide on it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.track import Track

FEET = ("left_heel", "left_big_toe", "right_heel", "right_big_toe")
INSTEAD = ("left_ankle", "left_foot", "right_ankle", "right_foot")
"""Joints for bodies that lack these landmarks."""
STILL = 0.4
"""Metres a second: a foot that is slower may stand."""
LOW = 0.08
"""Metres above the person's lowest point up to which a foot may stand."""
TOUCHING = 0.05
"""Metres above the ground up to which a foot counts as touching it, for the measure of sliding."""
ROUGH = 0.03
"""Metres by which feet that stand are off the plane, one sigma: the fit's error more than the ground's."""
DISTANCE = 0.1
"""Share by which a foot's distance is off, one sigma: 0.05, but heels and toes of a person are off together."""
TILT = 0.05
"""Radians by which people lean against the vertical on the mean, one sigma."""
BENT = 0.2
"""And in a single frame."""


@dataclass(frozen=True)
class Ground:
    """A plane in camera axes: points p with up . p = height.

    Attributes:
        up: (3,) unit vector against gravity.
        height: metres.
        steps: how many times a foot stood; with few, `up` is mostly how upright the people are.
    """

    up: Tensor
    height: float
    steps: int

    def above(self, points: Tensor) -> Tensor:
        """Metres (...) above the ground of points (..., 3)."""
        return points @ self.up.to(points) - self.height


def feet(body: BodyModel, bodies: Bodies) -> Tensor:
    """Heels and toes (..., 4, 3) in metres: left heel and toe, right heel and toe."""
    names = tuple(name if body.has(name) else other for name, other in zip(FEET, INSTEAD, strict=True))
    return body.points(bodies, body.landmark_points(names))


def find_ground(tracks: Sequence[Track], body: BodyModel) -> Ground:
    """The plane on which feet stand, in the camera axes of all frames.

    A foot stands while it is slow and low. Each time counts once, however long. The plane goes through these places as
    well as being upright to the people allows, who lean by `TILT`: feet on one line say nothing of the slope across it.

    Raises:
        InputError: without any track, or if one is not in camera axes.
    """
    if not tracks or any(track.frame != "camera" for track in tracks):
        raise InputError("a ground needs tracks in camera axes, at least one")
    first = _upright(tracks, body)
    places = [_standing(feet(body, track.bodies), track.times, first) for track in tracks]
    stood = torch.cat(places).double()
    if not len(stood):
        lowest = torch.cat([(feet(body, track.bodies) @ first).flatten() for track in tracks])
        return Ground(first, float(lowest.quantile(0.05)), 0)
    side = torch.linalg.cross(first, first.new_tensor([0.0, 0.0, 1.0]))
    side = side / side.norm()
    axes = torch.stack([side, torch.linalg.cross(first, side)]).double()
    up = first.double()
    along = stood @ up
    # Geman-McClure, from the height at which most feet stand: who is on a stair or a roof does not tilt it
    apart = _robust((along[:, None] - along) / (6 * ROUGH))
    height = along[apart.sum(1).argmax()]
    off = along - height
    # Rays are exact and distances are not: were metres off the plane the measure, a plane through the camera, which
    # holds all rays, would cost least. So the plane is m . p = 1, where a distance's share is off by as much.
    rows = torch.cat([stood @ axes.T, along[:, None]], 1)
    found = torch.zeros(3, dtype=torch.float64)
    for _ in range(10):
        far = height.abs().clamp_min(ROUGH)
        weight = _robust(off / (6 * ROUGH)) / (DISTANCE**2 + (ROUGH / far) ** 2)
        known = torch.diag(torch.stack([(far / TILT) ** 2, (far / TILT) ** 2, 0 * far]))
        scaled = rows * weight[:, None]
        found = torch.linalg.solve(scaled.T @ rows + known, scaled.sum(0))
        height = 1 / found[2]
        off = (rows @ found - 1) * height
    normal = up + found[:2] * height @ axes
    length = normal.norm()
    return Ground((normal / length).float(), float(height / length), len(stood))


def _robust(off: Tensor) -> Tensor:
    """Weights of squares for Geman and McClure's charge of distances in units of its sigma."""
    return (1 + off.square()).square().reciprocal()


def _upright(tracks: Sequence[Track], body: BodyModel) -> Tensor:
    """The mean direction (3,) from the ankles to the neck of all people; the more one bends, the less one counts."""
    total = torch.zeros(3)
    for track in tracks:
        neck, left, right = body.points(
            track.bodies, body.landmark_points(("neck", "left_ankle", "right_ankle"))
        ).unbind(-2)
        tall = neck - (left + right) / 2
        mean = (tall / tall.norm(dim=-1, keepdim=True)).mean(0).cpu().float()
        variance = 1 - mean.square().sum() + BENT**2 / len(track)
        total = total + mean / variance
    if float(total.norm()) < 1e-6:
        return torch.tensor([0.0, -1.0, 0.0])
    return total / total.norm()


def speeds(places: Tensor, times: Tensor) -> Tensor:
    """Metres a second (T, F) of places (T, F, 3) at times (T,), by central differences."""
    if len(places) < 2:
        return torch.zeros(places.shape[:2])
    steps = places.diff(dim=0) / times.diff()[:, None, None].to(places)
    both = torch.cat([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]])
    return both.norm(dim=-1)


def _standing(places: Tensor, times: Tensor, up: Tensor) -> Tensor:
    """Mean places (S, 3) of feet (T, F, 3) while they stand."""
    height = places @ up.to(places)
    stands = (speeds(places, times) < STILL) & (height < height.amin(1, keepdim=True) + LOW)
    found = []
    for foot in range(places.shape[1]):
        own = stands[:, foot]
        number = (own & ~torch.cat([own.new_zeros(1), own[:-1]])).cumsum(0)
        found += [
            places[own & (number == n), foot].mean(0)
            for n in range(1, int(number.max().item()) + 1 if len(own) else 1)
        ]
    return torch.stack(found) if found else places.new_zeros(0, 3)


def to_world(tracks: Sequence[Track], ground: Ground, body: BodyModel) -> list[Track]:
    """The same people in a world with y up: y = 0 is the ground, x the camera's right, z towards the camera.

    The origin is below the first person's first place.
    """
    up = ground.up
    right = torch.tensor([1.0, 0.0, 0.0]) - up[0] * up
    if float(right.norm()) < 1e-3:
        right = torch.tensor([0.0, 0.0, 1.0]) - up[2] * up
    right = right / right.norm()
    turn = torch.stack([right, up, torch.linalg.cross(right, up)])
    first = body.joints(tracks[0].bodies[:1])[0, 0].cpu()
    origin = first - ground.above(first) * up
    moved = []
    for track in tracks:
        bodies = track.bodies
        here = replace(bodies, translation=bodies.translation - origin.to(bodies.translation))
        there = here.turned(turn.to(bodies.translation), body.rest_pelvis(bodies.betas))
        moved.append(replace(track, bodies=there, camera=None, frame="world"))
    return moved


def foot_skate(track: Track, ground: Ground, body: BodyModel) -> float:
    """Metres a second that the lower foot slides along the ground between frames in which its heel and toe touch it;
    the mean, NaN if there is none.

    Args:
        track: in camera axes.
        ground: of `find_ground`.
        body: the track's model.
    """
    places = feet(body, track.bodies)
    up = ground.up.to(places)
    level = places - (places @ up)[..., None] * up
    height = ground.above(places).unflatten(1, (2, 2)).amax(2)
    stands = (height < TOUCHING) & (height == height.amin(1, keepdim=True))
    speed = level.diff(dim=0).norm(dim=-1) / track.times.diff()[:, None].to(places)
    return float(speed.unflatten(1, (2, 2))[stands[1:] & stands[:-1]].mean())
