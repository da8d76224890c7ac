"""Where the camera stands, and what part of its picture is kept. World with y up, ground at y = 0, metres."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from bodyloop.data.synthetic.domains import Domain
from bodyloop.data.synthetic.streams import chance, uniform
from bodyloop.geometry import Camera

LOWEST = 0.12
"""Metres: no camera lies lower above the ground."""


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a camera is.

    Attributes:
        eye: (3,) its place in the world.
        turn: (3, 3) from camera axes (x right, y down, z forward) to the world's.
    """

    eye: np.ndarray
    turn: np.ndarray

    def seen(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3) in the camera's frame."""
        return product(points, self.turn) - self.eye @ self.turn

    @property
    def pitch(self) -> float:
        """Degrees by which it looks down."""
        return math.degrees(math.asin(float(np.clip(-self.turn[1, 2], -1, 1))))


def product(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Matrix product of large arrays by torch, whose threads a loader's worker does without.

    numpy's library has threads of its own, which spin on all cores after each product: twice the time of a whole
    picture where every core draws one.
    """
    kind = np.promote_types(points.dtype, matrix.dtype)
    first, second = (torch.from_numpy(np.ascontiguousarray(a, kind)) for a in (points, matrix))
    return (first @ second).numpy()


def bounds(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest (D,) of points (N, D); copied first, since numpy is slow along the long axis."""
    rows = np.ascontiguousarray(points.T)
    return rows.min(1), rows.max(1)


def axes(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Camera-to-world (3, 3) of a camera that looks along +z turned by `yaw`, down by `pitch`; radians."""
    flat = np.array([math.sin(yaw), 0.0, math.cos(yaw)])
    up = np.array([0.0, 1.0, 0.0])
    forward = math.cos(pitch) * flat - math.sin(pitch) * up
    down = -math.cos(pitch) * up - math.sin(pitch) * flat
    right = np.cross(down, forward)
    c, s = math.cos(roll), math.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward], 1)


def studio_pose(rng: np.random.Generator, domain: Domain) -> Pose:
    """One of four level cameras in the corners of a room, which look at its middle."""
    corner = int(rng.integers(4))
    yaw = math.pi / 4 + corner * math.pi / 2
    low, high = domain.distance
    distance = low + (high - low) * (0.35, 0.6, 0.45, 0.7)[corner]
    pitch = math.radians(float(np.clip(rng.normal(*domain.pitch), *domain.pitch_limits)))
    turn = axes(yaw, pitch, math.radians(rng.normal(0.0, domain.roll_sd)))
    return Pose(np.array([0.0, 0.9, 0.0]) - distance * turn[:, 2], turn)


def free_pose(rng: np.random.Generator, domain: Domain, middle: np.ndarray, grounded: bool) -> Pose:
    """A camera anywhere around somebody whose middle (3,) is given, turned a little away from it.

    Args:
        rng: all draws come from here.
        domain: its ranges.
        middle: where to look.
        grounded: whether there is a ground, above which the camera has to stay.
    """
    yaw, distance = uniform(rng, (-math.pi, math.pi)), _distance(rng, domain)
    if not grounded and chance(rng, 0.3):
        pitch = math.asin(uniform(rng, (-0.95, 0.95)))
        roll = uniform(rng, (-math.pi, math.pi))
    elif chance(rng, domain.any_view):
        pitch = math.radians(uniform(rng, (30.0, domain.pitch_limits[1])))
        roll = uniform(rng, (-math.pi, math.pi))
    else:
        pitch = math.radians(float(np.clip(rng.normal(*domain.pitch), *domain.pitch_limits)))
        roll = math.radians(rng.normal(0.0, domain.roll_sd))
    if grounded:
        lowest = math.asin(float(np.clip((LOWEST - middle[1]) / distance, -0.99, 0.99)))
        pitch = max(pitch, lowest)
    eye = middle - distance * axes(yaw, pitch, 0.0)[:, 2]
    aside, up = np.radians(np.clip(rng.normal(0.0, 4.0, 2), -10, 10))
    return Pose(eye, axes(yaw + aside, pitch + up, roll))


def _distance(rng: np.random.Generator, domain: Domain) -> float:
    """Metres, even in the logarithm."""
    low, high = domain.distance
    return math.exp(uniform(rng, (math.log(low), math.log(high))))


def crop(rng: np.random.Generator, domain: Domain, seen: np.ndarray, size: int) -> Camera:
    """A square part, `size` pixels wide, of a picture that shows points (V, 3) in the camera's frame.

    Mostly the whole person; in the share `domain.truncated` only a part, the upper one more often than others.
    """
    rays = seen[:, :2] / np.maximum(seen[:, 2:], 0.3)
    low, high = bounds(rays)
    extent = high - low
    side = float(extent.max()) / uniform(rng, domain.fill)
    middle = (low + high) / 2 + rng.uniform(-domain.shift, domain.shift, 2) * side
    if chance(rng, domain.truncated):
        zoom = uniform(rng, (1.15, 1.9))
        side = float(extent.max()) / zoom
        start = low + rng.uniform(0.0, 1.0, 2) * np.maximum(extent - side, 0.0)
        if chance(rng, 0.6):
            start = low - uniform(rng, (0.0, 0.15)) * side
        middle = np.where(extent > side, start + side / 2, middle)
    focal = size / side
    center = (size - 1) / 2 - middle * focal
    return Camera(torch.tensor([focal, focal]).float(), torch.from_numpy(center).float(), (size, size))
