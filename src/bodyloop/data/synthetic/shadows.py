"""What takes light from places: people in the lamp's way, and people near the ground."""

from typing import NamedTuple

import numpy as np

from bodyloop.data.synthetic.scenes import Scene
from bodyloop.data.synthetic.views import bounds, product

LAMP_MAP = 96  # pixels each way of what the lamp sees
LAMP_AWAY = 25.0  # metres
BIAS = 0.06  # metres, so that cloth does not shade itself


class Shadow(NamedTuple):
    """What the lamp sees of the people, as a depth map.

    Attributes:
        depth: (S, S) float32 metres from the lamp.
        projection: (3, 4) from the world to column times depth, row times depth, and depth in that map.
        spread: pixels over which the shadow's border is smeared.
        bias: metres by which something must be nearer to the lamp to shade the people themselves.
    """

    depth: np.ndarray
    projection: np.ndarray
    spread: float
    bias: float


def lamp_map(places: np.ndarray, scene: Scene) -> Shadow:
    """What the lamp of a scene sees of people with vertices (V, 3), each drawn as a small square."""
    from bodyloop.data.synthetic import kernels

    direction = np.array(scene.light.direction)
    right = np.cross([0.0, 1.0, 0.0], direction)
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(-direction, right), -direction])
    low, high = bounds(places)
    place = -turn @ ((low + high) / 2 + LAMP_AWAY * direction)
    seen = (product(places, turn.T) + place).astype(np.float32)
    low, high = bounds(seen[:, :2] / seen[:, 2:])
    focal = (LAMP_MAP - 5) / float((high - low).max())
    center = (LAMP_MAP - 1) / 2 - (low + high) / 2 * focal
    intrinsics = np.array([[focal, 0.0, center[0]], [0.0, focal, center[1]], [0.0, 0.0, 1.0]])
    depth = np.full((LAMP_MAP, LAMP_MAP), np.inf, np.float32)
    projection = intrinsics @ np.concatenate([turn, place[:, None]], 1)
    kernels.splat(places, projection, depth)
    return Shadow(depth, projection, scene.soft, BIAS)


def blobs(joints: np.ndarray) -> np.ndarray:
    """Balls (B, 4), centre and radius, that stand for a body with SMPL's joints (24, 3)."""
    names = {
        0: 0.15,
        4: 0.08,
        5: 0.08,
        7: 0.06,
        8: 0.06,
        10: 0.06,
        11: 0.06,
        9: 0.16,
        15: 0.1,
        22: 0.05,
        23: 0.05,
    }
    return np.array([[*joints[joint], radius] for joint, radius in names.items()])
