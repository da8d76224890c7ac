"""Bodies drawn as the networks of MION want to see them (Liu et al. 2021, eq. 3 and 4)."""

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.geometry import Camera
from bodyloop.nets.estimator import Candidate
from bodyloop.raster import pncc_map, rasterize

NEAREST = 0.05
"""Metres; bodies that come nearer to the camera, or are nowhere, are not drawn: their maps are empty."""


@torch.no_grad()
def draw_pncc(body: BodyModel, bodies: Bodies, camera: Camera, side: int) -> Tensor:
    """PNCC (B, 3, side, side) in [0, 1] of bodies in crops.

    Args:
        body: their model.
        bodies: (B,) in the axes of the crops' cameras.
        camera: (B,) of the crops, which are square.
        side: of the maps in pixels, whatever that of the crops.
    """
    scale = side / camera.size[0]
    lens = Camera(camera.focal * scale, (camera.center + 0.5) * scale - 0.5, (side, side)).expand(len(bodies))
    vertices = body.vertices(bodies.to(body.v_template))
    maps = vertices.new_zeros(len(bodies), side, side, 3)
    there = (vertices.isfinite().flatten(1).all(1) & (vertices[..., 2].amin(1) > NEAREST)).nonzero()[:, 0]
    if len(there):
        seen = Camera(lens.focal[there], lens.center[there], lens.size)
        maps[there] = pncc_map(rasterize(vertices[there], body.faces, seen, near=NEAREST), body).to(maps)
    return maps.movedim(-1, 1)


def draw_candidate(body: BodyModel, bodies: Bodies, camera: Camera, side: int) -> Candidate:
    """Bodies as `Crops.candidate`; arguments as of `draw_pncc`."""
    return Candidate(draw_pncc(body, bodies, camera, side), bodies.rotations)
