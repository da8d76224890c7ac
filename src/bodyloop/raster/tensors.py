"""The z-buffer in tensor operations: what a GPU runs, and the compiled loops' twin in the tests.

With corners h = (x, y, 1) in pixels and p = (column, row, 1), the edge function opposite to corner i is
p . (h_j x h_k). Places are snapped as in `bodyloop.raster.kernels`, so that it is exact and two faces that share an
edge never both win or both lose a pixel. Of faces that cross the near plane the corners are h = (fx X + cx Z,
fy Y + cy Z, Z), homogeneous (Olano and Greer 1997): nothing is divided by a depth, and nothing needs clipping.
"""

from typing import NamedTuple

import torch
from torch import Tensor

PAIRS = 1 << 22
"""Pixels of faces' bounding boxes that are looked at in one go; bounds the memory (about 1 GB)."""


def draw_meshes(
    vertices: Tensor, faces: Tensor, lens: Tensor, size: tuple[int, int], near: float, cull: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Z-buffer of a batch on the device of its vertices.

    Args:
        vertices: (B, V, 3) finite, camera frame, metres.
        faces: (F, 3) valid indices.
        lens: (B, 4) fx, fy, cx, cy in pixels.
        size: width and height of the maps.
        near: metres; nothing nearer is drawn.
        cull: leave out faces seen from behind.

    Returns:
        face id (B, H, W) int32, barycentrics (B, H, W, 3) and depth (B, H, W) float32, as in `Fragments`.
    """
    width, height = size
    count, pixels = len(vertices), width * height
    focal, center = lens.double()[:, None, :2], lens.double()[:, None, 2:]
    points = vertices.double()
    rays = torch.cat([points[..., :2] * focal + points[..., 2:] * center, points[..., 2:]], -1)
    seen = _visible(rays, faces, size, near, cull)
    key = torch.full((count * pixels,), -1, dtype=torch.long, device=vertices.device)
    ends = seen.spans.prod(1).cumsum(0)
    first = 0
    while first < len(ends):
        done = ends[first - 1] if first else ends.new_zeros(())
        last = max(first + 1, int(torch.searchsorted(ends, done + PAIRS, right=True)))
        _compete(key, _Faces(*(x[first:last] for x in seen)), size, near)
        first = last
    face_id = torch.where(key >= 0, _MOST - (key & _MOST), -1)
    weights, depth = _resolve(face_id.reshape(count, pixels), rays, faces, size)
    shape = (count, height, width)
    return face_id.int().reshape(shape), weights.reshape(*shape, 3), depth.reshape(shape)


_MOST = 0xFFFFFFFF
SNAP = 65536.0


class _Faces(NamedTuple):
    """N faces of some meshes.

    Attributes:
        edges: (N, 3, 3) edge functions, positive inside; not divided by anything, so that they vanish exactly on edges.
        shares: (N, 3) factors under which they sum to the inverse depth.
        mesh, face: (N,) which.
        low, spans: (N, 2) first column and row of the box around them, and its size.
    """

    edges: Tensor
    shares: Tensor
    mesh: Tensor
    face: Tensor
    low: Tensor
    spans: Tensor


def _visible(rays: Tensor, faces: Tensor, size: tuple[int, int], near: float, cull: bool) -> _Faces:
    """The faces that may be seen."""
    corners = rays[:, faces]
    behind = corners[..., 2] < near
    limit = rays.new_tensor(size) - 1
    place = (
        torch.round(corners[..., :2] / torch.where(behind, torch.nan, corners[..., 2])[..., None] * SNAP)
        / SNAP
    )
    crosses = behind.any(-1)  # the box of what lies in front is not known: the whole picture
    low = torch.where(crosses[..., None], 0, place.amin(-2).ceil()).clamp_min(0)
    high = torch.where(crosses[..., None], limit, place.amax(-2).floor()).minimum(limit)
    spans = (high - low + 1).clamp_min(0)
    mesh, face = ((spans > 0).all(-1) & ~behind.all(-1)).nonzero(as_tuple=True)
    corners, place, crosses = corners[mesh, face], place[mesh, face], crosses[mesh, face][:, None]
    flat = torch.cat([place, torch.ones_like(place[..., :1])], -1)
    a, b, c = torch.where(crosses[..., None], corners, flat).unbind(1)
    edges = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], 1)
    volume = (edges[:, 0] * a).sum(-1, keepdim=True)
    shares = torch.where(crosses, 1.0, 1 / corners[..., 2]) / volume.abs()
    keep = (volume < 0 if cull else volume != 0)[:, 0]  # y points down: outward faces have a negative volume
    mesh, face = mesh[keep], face[keep]
    return _Faces(
        (edges * volume.sign()[..., None])[keep],
        shares[keep],
        mesh,
        face,
        low[mesh, face].long(),
        spans[mesh, face].long(),
    )


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """a x b (..., 3), every product rounded by itself: swapping a and b changes the sign and nothing else."""
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def _compete(key: Tensor, faces: _Faces, size: tuple[int, int], near: float) -> None:
    """Write into `key` of each pixel the nearest face: bits of the inverse depth, then the lowest face id."""
    width, height = size
    counts = faces.spans.prod(1)
    row = torch.repeat_interleave(counts)
    inside = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    across = faces.spans[row, 0]
    x, y = faces.low[row, 0] + inside % across, faces.low[row, 1] + inside // across
    a, b, c = faces.edges[row].unbind(-1)
    weight = a * x[:, None] + b * y[:, None] + c
    owns = (a > 0) | ((a == 0) & (b > 0))  # a top or left edge keeps the pixels on it
    inverse = (weight * faces.shares[row]).sum(-1)
    hit = ((weight > 0) | ((weight == 0) & owns)).all(-1) & (inverse <= 1 / near)
    row, pixel = row[hit], ((faces.mesh[row] * height + y) * width + x)[hit]
    bits = inverse[hit].float().view(torch.int32).long()
    key.scatter_reduce_(0, pixel, (bits << 32) | (_MOST - faces.face[row]), "amax")


def _resolve(face_id: Tensor, rays: Tensor, faces: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Barycentrics (B, P, 3) and depth (B, P) of the faces (B, P) that won."""
    mesh, pixel = (face_id >= 0).nonzero(as_tuple=True)
    corners = rays[mesh[:, None], faces[face_id[mesh, pixel]]]
    a, b, c = corners.unbind(1)
    at = torch.stack([pixel % size[0], pixel // size[0], torch.ones_like(pixel)], -1).to(rays.dtype)
    weight = torch.stack([(at * _cross(p, q)).sum(-1) for p, q in ((b, c), (c, a), (a, b))], -1)
    weight = weight * weight.sum(-1, keepdim=True).sign()
    weight = weight.clamp_min(0)
    weight = weight / weight.sum(-1, keepdim=True)
    weights = torch.zeros(*face_id.shape, 3, device=rays.device)
    depth = torch.full(face_id.shape, torch.inf, device=rays.device)
    weights[mesh, pixel] = weight.float()
    depth[mesh, pixel] = (weight * corners[..., 2]).sum(-1).float()
    return weights, depth
