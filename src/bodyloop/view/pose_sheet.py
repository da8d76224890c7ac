"""Poses of a body side by side on plain ground, seen from slightly above the front."""

import math

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.geometry import Camera
from bodyloop.view.render import Mesh, paint, person_colors
from bodyloop.view.stage import empty, shaded_ground

TILT = math.radians(14)
"""How far the camera looks down."""
DISTANCE = 5.0
"""Metres from the camera to the bodies."""
RADIUS = 0.85
"""Metres of ground around a body."""
FILLED = 0.97
"""Share of a place that the largest body, or the ground, fills."""


def pose_sheet(
    body: BodyModel, rotations: Tensor, columns: int, place: tuple[int, int] = (240, 270)
) -> np.ndarray:
    """A grid of the mean body in poses, row by row, all at one scale.

    Args:
        body: the model.
        rotations: (N, 23, 3, 3) local rotations of the body poses; the body stands upright and faces the viewer.
        columns: bodies a row.
        place: width and height in pixels of each body's place.

    Returns:
        (rows * height, columns * width, 3) uint8.

    Raises:
        ValueError: without poses or columns.
    """
    if not len(rotations) or columns < 1:
        raise ValueError(f"need poses and at least one column, got {len(rotations)} poses, {columns} columns")
    standing = _standing(body, rotations)
    camera = _camera(standing, *place)
    faces, color = body.faces.cpu(), person_colors(1)
    pictures = []
    for vertices in standing:
        canvas = empty(*place)
        floor = shaded_ground(vertices, RADIUS)
        paint(canvas, Mesh(_seen(floor.vertices), floor.faces, floor.colors), camera)
        paint(canvas, Mesh.people(_seen(vertices)[None], faces, color), camera)
        pictures.append(canvas)
    pictures += [empty(*place)] * (-len(pictures) % columns)
    rows = [np.concatenate(pictures[i : i + columns], 1) for i in range(0, len(pictures), columns)]
    return np.concatenate(rows)


@torch.no_grad()
def _standing(body: BodyModel, rotations: Tensor) -> Tensor:
    """Vertices (N, V, 3), x right, y down, z away: facing the viewer, lowest point on y = 0, middle over the origin."""
    count = len(rotations)
    upright = torch.eye(3).expand(count, 1, 3, 3)
    bodies = Bodies(
        torch.cat([upright, rotations.cpu().float()], 1), torch.zeros(count, 10), torch.zeros(count, 3)
    )
    vertices = body.vertices(bodies).cpu().float() * torch.tensor([1.0, -1.0, -1.0])
    low, high = vertices.amin(1, keepdim=True), vertices.amax(1, keepdim=True)
    return vertices - torch.stack([(low + high)[..., 0] / 2, high[..., 1], (low + high)[..., 2] / 2], -1)


def _seen(vertices: Tensor) -> Tensor:
    """Camera frame of places (..., 3) around the origin, from a camera that looks down by `TILT`."""
    c, s = math.cos(TILT), math.sin(TILT)
    turn = vertices.new_tensor([[1, 0, 0], [0, c, -s], [0, s, c]])
    return vertices @ turn.T + vertices.new_tensor([0, 0, DISTANCE])


def _camera(standing: Tensor, width: int, height: int) -> Camera:
    """A camera in whose picture all bodies (N, V, 3) with their ground have room, one after the other."""
    ground = RADIUS * torch.tensor([[-1.0, 0, 0], [1, 0, 0], [0, 0, -1], [0, 0, 1]])
    seen = _seen(torch.cat([standing.flatten(0, 1), ground]))
    rays = seen[:, :2] / seen[:, 2:]
    low, high = rays.amin(0), rays.amax(0)
    size = torch.tensor([width, height])
    focal = float((FILLED * size / (high - low)).min())
    center = (size - 1) / 2 - focal * (low + high) / 2
    return Camera(torch.full((2,), focal), center, (width, height))
