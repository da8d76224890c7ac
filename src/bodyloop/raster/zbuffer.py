"""Meshes to face ids, barycentric coordinates and depth per pixel.

Camera axes as OpenCV (x right, y down, z forward), metres; pixel (0, 0) is the centre of the top-left pixel.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.geometry import Camera
from bodyloop.raster.tensors import draw_meshes

NEAR = 0.01
"""Metres; what lies nearer to the camera is cut off."""


@dataclass(frozen=True, eq=False)
class Fragments:
    """What each pixel's ray hits first.

    Attributes:
        face_id: (..., H, W) int32 index into the faces; -1 where the ray hits nothing.
        barycentric: (..., H, W, 3) float32 weights of the face's corners at the hit point in 3D (perspective
            correct), non-negative, summing to 1; 0 where the ray hits nothing.
        depth: (..., H, W) float32 z of the hit point in metres; infinity where the ray hits nothing.
    """

    face_id: Tensor
    barycentric: Tensor
    depth: Tensor

    @property
    def mask(self) -> Tensor:
        """(..., H, W) bool: whether anything is hit."""
        return self.face_id >= 0


def rasterize(
    vertices: Tensor, faces: Tensor, camera: Camera, *, near: float = NEAR, cull: bool = False
) -> Fragments:
    """Z-buffer of meshes that share their faces.

    Exact at pixel centres: a pixel on a shared edge belongs to exactly one of the two faces (top-left rule);
    faces that cross the near plane are clipped; of equally near faces the first one wins. One mesh is drawn
    on one core, a batch on all of torch's threads; on a GPU the batch is drawn there (`bodyloop.raster.tensors`).
    No gradients: interpolated attributes carry their own (`interpolate`).

    Args:
        vertices: (..., V, 3) camera frame, metres.
        faces: (F, 3) integer vertex indices, counter-clockwise seen from outside.
        camera: one, or a batch of the same leading dimensions; its `size` is the size of the maps.
        near: metres, positive; nothing nearer is drawn.
        cull: leave out faces seen from behind.

    Raises:
        ValueError: for wrong shapes, a vertex that is not finite, or a face that names no vertex.
    """
    if vertices.ndim < 2 or vertices.shape[-1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(
            f"need vertices (..., V, 3) and faces (F, 3), got {tuple(vertices.shape)}, {tuple(faces.shape)}"
        )
    batch = vertices.shape[:-2]
    points = vertices.detach().reshape(-1, *vertices.shape[-2:])
    faces = faces.detach().to(points.device).long()
    _check(points, faces, near)
    lens = torch.cat(torch.broadcast_tensors(camera.focal, camera.center), -1).detach()
    lens = lens.expand(*batch, 4).reshape(-1, 4).to(points.device).double()
    draw = _draw if points.device.type == "cpu" else draw_meshes
    maps = draw(points, faces, lens, camera.size, near, cull)
    return Fragments(*(m.reshape(*batch, *m.shape[1:]) for m in maps))


def _check(points: Tensor, faces: Tensor, near: float) -> None:
    """Refuse what the loops cannot survive."""
    if not near > 0:
        raise ValueError(f"near must be a positive number of metres, got {near}")
    if points.device.type == "cpu":  # numpy takes one core: waking torch's threads costs more than looking
        total = float(points.numpy().sum())
    else:
        total = float(points.sum())
    # A sum tells of every NaN and infinity in one quick pass; one that overflows is looked at closely.
    if not (math.isfinite(total) or torch.isfinite(points).all()):
        raise ValueError("vertices hold NaN or infinity; leave out such people before drawing them")
    if faces.numel():
        if faces.device.type == "cpu":
            least, most = int(faces.numpy().min()), int(faces.numpy().max())
        else:
            least, most = (int(v) for v in faces.aminmax())
        if not (least >= 0 and most < points.shape[1]):
            raise ValueError(f"faces name vertices {least} to {most} of {points.shape[1]}")


def _draw(
    points: Tensor, faces: Tensor, lens: Tensor, size: tuple[int, int], near: float, cull: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """`bodyloop.raster.tensors.draw_meshes` compiled, for the CPU: one core, or several threads for a batch."""
    from bodyloop.raster.kernels import draw_mesh

    width, height = size
    face_id = torch.empty(len(points), height, width, dtype=torch.int32)
    barycentric = torch.empty(len(points), height, width, 3)
    depth = torch.empty(len(points), height, width)
    maps = face_id.numpy(), barycentric.numpy(), depth.numpy()
    corners = (points if points.dtype == torch.float64 else points.float()).contiguous().numpy()
    indices, views = faces.contiguous().numpy(), lens.tolist()

    def draw(first: int, step: int) -> None:
        for i in range(first, len(points), step):
            draw_mesh(corners[i], indices, tuple(views[i]), near, cull, *(m[i] for m in maps))

    threads = min(len(points), torch.get_num_threads())
    if threads < 2:
        draw(0, 1)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(draw, range(threads), [threads] * threads))
    return face_id, barycentric, depth
