"""What takes light from places: people in the lamp's way, and people near the ground."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bodyloop.data.synthetic.scenes import Scene
from bodyloop.geometry import Camera
from bodyloop.raster import rasterize

LAMP_MAP = 128  # pixels each way of what the lamp sees
LAMP_AWAY = 25.0  # metres
SMALLEST_BIAS = 0.03  # metres, so that cloth does not shade itself


class Shadow(NamedTuple):
    """What the lamp sees of the people, as a depth map.

    Attributes:
        depth: (S, S) float32 metres from the lamp.
        turn, place: (3, 3) and (3,), from the world to the lamp's camera frame.
        focal, center: of the lamp's camera, pixels.
        spread: pixels over which the shadow's border is smeared.
        bias: metres by which something must be nearer to the lamp to throw shade.
    """

    depth: np.ndarray
    turn: np.ndarray
    place: np.ndarray
    focal: tuple[float, float]
    center: tuple[float, float]
    spread: float
    bias: float


def lamp_map(places: np.ndarray, faces: Tensor, scene: Scene) -> Shadow:
    """What the lamp of a scene sees of people (V, 3) with faces (F, 3)."""
    direction = np.array(scene.light.direction)
    right = np.cross([0.0, 1.0, 0.0], direction)
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(-direction, right), -direction])
    place = -turn @ ((places.min(0) + places.max(0)) / 2 + LAMP_AWAY * direction)
    seen = (places @ turn.T + place).astype(np.float32)
    rays = seen[:, :2] / seen[:, 2:]
    low, high = rays.min(0), rays.max(0)
    focal = (LAMP_MAP - 5) / float((high - low).max())
    center = (LAMP_MAP - 1) / 2 - (low + high) / 2 * focal
    camera = Camera(torch.full((2,), focal), torch.from_numpy(center).float(), (LAMP_MAP, LAMP_MAP))
    depth = rasterize(torch.from_numpy(seen), faces, camera).depth.numpy()
    middle = (float(center[0]), float(center[1]))
    return Shadow(depth, turn, place, (focal, focal), middle, scene.soft, SMALLEST_BIAS)


def blobs(joints: np.ndarray) -> np.ndarray:
    """Balls (B, 4), centre and radius, that stand for a body with SMPL's joints (24, 3) where it is near the ground."""
    names = {0: 0.15, 4: 0.08, 5: 0.08, 7: 0.06, 8: 0.06, 10: 0.06, 11: 0.06, 9: 0.16, 15: 0.1, 22: 0.05, 23: 0.05}
    return np.array([[*joints[joint], radius] for joint, radius in names.items()])
