"""Pictures of meshes: several people in one z-buffer, lit, anti-aliased.

Vertices are in the camera frame in metres, colours are RGB in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bodyloop.geometry import Camera
from bodyloop.raster import (
    NEAR,
    downsample,
    interpolate,
    lit_colors,
    rasterize,
    supersampled,
    vertex_normals,
)

PALETTE = torch.tensor(
    [
        [0.55, 0.71, 0.90],
        [0.95, 0.68, 0.52],
        [0.60, 0.82, 0.62],
        [0.93, 0.81, 0.49],
        [0.78, 0.65, 0.88],
        [0.94, 0.62, 0.70],
        [0.50, 0.80, 0.80],
        [0.80, 0.72, 0.60],
    ]
)
"""Body colours, told apart by people with most kinds of colour vision as long as they are few."""

SUPERSAMPLED_PIXELS = 2_000_000
"""Areas up to this many pixels get four samples a pixel; in larger ones the stairs are too small to see."""
BAND_PIXELS = 500_000
"""Samples that are drawn at once."""


def person_colors(count: int) -> Tensor:
    """One colour (count, 3) a person; they repeat after eight."""
    return PALETTE[torch.arange(count) % len(PALETTE)]


@dataclass(frozen=True)
class Mesh:
    """Coloured triangles in the camera frame.

    Attributes:
        vertices: (V, 3) metres.
        faces: (F, 3), counter-clockwise seen from outside.
        colors: (V, 3) RGB in [0, 1], light included.
    """

    vertices: Tensor
    faces: Tensor
    colors: Tensor

    @staticmethod
    def people(vertices: Tensor, faces: Tensor, colors: Tensor) -> "Mesh":
        """Lit bodies as one mesh: vertices (N, V, 3) with common faces (F, 3) and one colour (N, 3) each."""
        n, v = vertices.shape[:2]
        lit = lit_colors(vertices, vertex_normals(vertices, faces), colors[:, None])
        first = torch.arange(n, device=faces.device)[:, None, None] * v
        return Mesh(vertices.flatten(0, 1), (faces + first).flatten(0, 1), lit.flatten(0, 1))

    def __add__(self, other: "Mesh") -> "Mesh":
        return Mesh(
            torch.cat([self.vertices, other.vertices]),
            torch.cat([self.faces, other.faces + len(self.vertices)]),
            torch.cat([self.colors, other.colors]),
        )


def visible_box(vertices: Tensor, camera: Camera) -> tuple[int, int, int, int]:
    """Pixels x0, y0, x1, y1 (ends excluded) that contain the image of vertices (V, 3); may be empty."""
    width, height = camera.size
    if not len(vertices) or bool((vertices[:, 2] < NEAR).all()):
        return 0, 0, 0, 0
    if bool((vertices[:, 2] < NEAR).any()):
        return 0, 0, width, height
    pixels = camera.project(vertices)
    limit = pixels.new_tensor([width, height])
    low = pixels.amin(0).floor().clamp_min(0).minimum(limit)
    high = (pixels.amax(0).ceil() + 1).clamp_min(0).minimum(limit)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def paint(canvas: np.ndarray, mesh: Mesh, camera: Camera, alpha: float = 1.0) -> None:
    """Paint a mesh onto a picture (H, W, 3) uint8 of the camera's size, in place and on the CPU.

    Only the mesh's surroundings are touched, band by band, so that large photos need little memory.
    """
    x0, y0, x1, y1 = visible_box(mesh.vertices, camera)
    factor = 2 if (x1 - x0) * (y1 - y0) <= SUPERSAMPLED_PIXELS else 1
    rows = max(1, BAND_PIXELS // max(1, (x1 - x0) * factor**2))
    for top in range(y0, y1, rows):
        bottom = min(top + rows, y1)
        window = Camera(camera.focal, camera.center - torch.tensor([x0, top]), (x1 - x0, bottom - top))
        fragments = rasterize(mesh.vertices, mesh.faces, supersampled(window, factor))
        colors = downsample(interpolate(fragments, mesh.faces, mesh.colors), factor).numpy()
        cover = downsample(fragments.mask[..., None].float(), factor).numpy()
        seen = cover[..., 0] > 0
        band, opacity = canvas[top:bottom, x0:x1], np.float32(alpha)
        mixed = band[seen] * (1 - opacity * cover[seen]) + 255 * opacity * colors[seen] + np.float32(0.5)
        band[seen] = mixed.astype(np.uint8)
