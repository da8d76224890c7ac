"""Attributes, normals, light and anti-aliasing on top of `Fragments`. Plain tensors, any device."""

import torch
from torch import Tensor

from bodyloop.geometry import Camera
from bodyloop.raster.zbuffer import Fragments


def interpolate(fragments: Fragments, faces: Tensor, attributes: Tensor, background: float = 0.0) -> Tensor:
    """Attributes of the surface that each pixel sees.

    Args:
        fragments: maps (..., H, W).
        faces: (F, 3) vertex indices, those that were drawn.
        attributes: per vertex (V, C), shared by the batch, or (..., V, C), one set a mesh. Gradients flow to
            them.
        background: value of pixels that see nothing.

    Returns:
        (..., H, W, C).
    """
    batch, (height, width) = fragments.face_id.shape[:-2], fragments.face_id.shape[-2:]
    count, channels = attributes.shape[-2:]
    face_id = fragments.face_id.reshape(-1, height * width)
    mesh, pixel = torch.nonzero(face_id >= 0, as_tuple=True)
    corners = faces[face_id[mesh, pixel].long()]
    if attributes.ndim > 2:
        corners = corners + mesh[:, None] * count
    weights = fragments.barycentric.reshape(-1, height * width, 3)[mesh, pixel].to(attributes.dtype)
    table = attributes.reshape(-1, channels)
    values = sum(table[corners[:, i]] * weights[:, i, None] for i in range(3))
    image = table.new_full((len(face_id), height * width, channels), background)
    return image.index_put((mesh, pixel), values).reshape(*batch, height, width, channels)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals (..., V, 3) of vertices (..., V, 3): means of the faces' normals, weighted by area.

    They point out of meshes whose faces (F, 3) are counter-clockwise seen from outside. A vertex without any
    face of positive area gets zero.
    """
    a, b, c = vertices[..., faces, :].unbind(-2)
    normals = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(-2, faces[:, corner], normals)
    return torch.nn.functional.normalize(total, dim=-1, eps=1e-20)


def lit_colors(vertices: Tensor, normals: Tensor, colors: Tensor) -> Tensor:
    """Vertex colours (..., V, 3) in [0, 1] under a lamp at the camera, one above left, and soft ambient light.

    Args:
        vertices: (..., V, 3) camera frame.
        normals: (..., V, 3) unit, outward, camera frame. Both sides of a surface are lit alike.
        colors: (..., V, 3) or (3,), in [0, 1].
    """
    to_camera = torch.nn.functional.normalize(-vertices, dim=-1)
    facing = (normals * to_camera).sum(-1, keepdim=True)
    outward = normals * facing.sign()
    above = outward.new_tensor([-0.42, -0.77, -0.48])
    key = (outward @ above).clamp_min(0)[..., None]
    sky = 0.5 - 0.5 * outward[..., 1:2]
    light = 0.16 + 0.2 * sky + 0.45 * facing.abs() + 0.3 * key
    return (colors * light).clamp(0, 1)


def supersampled(camera: Camera, factor: int) -> Camera:
    """Camera of the same view with `factor` times as many pixels each way; see `downsample`."""
    width, height = camera.size
    center = (camera.center + 0.5) * factor - 0.5
    return Camera(camera.focal * factor, center, (width * factor, height * factor))


def downsample(image: Tensor, factor: int) -> Tensor:
    """Mean of blocks of `factor` x `factor` pixels: (..., H f, W f, C) to (..., H, W, C)."""
    if factor == 1:
        return image
    blocks = image.unflatten(-3, (-1, factor)).unflatten(-2, (-1, factor))
    return blocks.mean((-4, -2))
