"""The plain place where bodies stand when there is no photo: background and ground."""

import math

import numpy as np
import torch
from torch import Tensor

from bodyloop.view.render import Mesh

BACKGROUND = (0.95, 0.955, 0.965)
GROUND = (0.78, 0.79, 0.81)


def empty(width: int, height: int) -> np.ndarray:
    """Background alone: (height, width, 3) uint8."""
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[:] = np.asarray(BACKGROUND) * 255
    return canvas


def ground(points: Tensor, segments: int = 64) -> Mesh:
    """A disc under the points (V, 3), fading into the background towards its rim."""
    low, high = points.amin(0), points.amax(0)
    middle = torch.stack([(low[0] + high[0]) / 2, high[1], (low[2] + high[2]) / 2])
    radius = 0.75 * float((high - low)[[0, 2]].max().clamp_min(0.8))
    angle = torch.arange(segments) * (2 * math.pi / segments)
    spokes = torch.stack([angle.cos(), torch.zeros(segments), angle.sin()], -1)
    vertices = torch.cat([middle[None], middle + radius * spokes])
    i = torch.arange(segments)
    faces = torch.stack([torch.zeros_like(i), 1 + i, 1 + (i + 1) % segments], -1)
    rim = torch.tensor(BACKGROUND).expand(segments, 3)
    return Mesh(vertices, faces, torch.cat([torch.tensor([GROUND]), rim]))


def shaded_ground(points: Tensor, radius: float, cells: int = 72) -> Mesh:
    """Ground at y = 0 around the origin, fading into the background, darker under and around what stands on it.

    Args:
        points: (V, 3) of what stands there, metres, y down, hence y <= 0.
        radius: metres, where the ground has become background.
        cells: of the ground's mesh, each way.
    """
    line = torch.linspace(-radius, radius, cells + 1)
    z, x = torch.meshgrid(line, line, indexing="ij")
    near = _nearness(points, radius, cells + 1)
    fade = (1 - (x.square() + z.square()).sqrt() / radius).clamp(0, 1)
    fade = fade.square() * (3 - 2 * fade)
    color = torch.tensor(GROUND) * (1 - 0.6 * near[..., None])
    color = torch.lerp(torch.tensor(BACKGROUND).expand_as(color), color, fade[..., None])
    i = torch.arange(cells)
    corner = (i[:, None] * (cells + 1) + i).flatten()
    right, away = corner + 1, corner + cells + 1
    faces = torch.cat([torch.stack([corner, away, right], -1), torch.stack([right, away, away + 1], -1)])
    return Mesh(torch.stack([x, torch.zeros_like(x), z], -1).flatten(0, 1), faces, color.flatten(0, 1))


def _nearness(points: Tensor, radius: float, size: int) -> Tensor:
    """How near something is above each point of the ground, smoothed: (size, size) from 0 to 1, rows along z."""
    index = ((points[:, [2, 0]] / radius + 1) / 2 * (size - 1)).round().long()
    inside = ((index >= 0) & (index < size)).all(-1)
    flat = index[inside, 0] * size + index[inside, 1]
    near = torch.exp(points[inside, 1] / 0.35)  # a third at 0.35 m
    highest = torch.zeros(size * size).scatter_reduce(0, flat, near, "amax").reshape(1, 1, size, size)
    reach = torch.arange(-9, 10) / 2.5
    kernel = torch.exp(-0.5 * reach.square())
    kernel = kernel / kernel.sum()
    rows = torch.nn.functional.conv2d(highest, kernel[None, None, :, None], padding=(9, 0))
    return torch.nn.functional.conv2d(rows, kernel[None, None, None], padding=(0, 9))[0, 0]
