"""Attributes, normals, light and anti-aliasing on top of `Fragments`. Plain tensors, any device."""

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from bodyloop.geometry import Camera
from bodyloop.raster.zbuffer import Fragments

LAMP = (-0.42, -0.77, -0.48)
"""Direction from the scene to the lamp above on the left; unit, camera frame."""


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
    size, (count, channels) = fragments.face_id.shape, attributes.shape[-2:]
    face_id, weights = fragments.face_id.flatten(), fragments.barycentric.reshape(-1, 3)
    stride = count if attributes.ndim > 2 else 0
    table = attributes.reshape(-1, channels)
    image = table.new_full((len(face_id), channels), background)
    if table.device.type == "cpu" and table.dtype == torch.float32 and not table.requires_grad:
        _gather(face_id, weights, faces, table, (stride, size[-2] * size[-1]), image)
        return image.reshape(*size, channels)
    pixel = torch.nonzero(face_id >= 0)[:, 0]
    corners = faces[face_id[pixel].long()] + (pixel // (size[-2] * size[-1]) * stride)[:, None]
    # A bag of three rows with weights is the weighted sum of the corners' attributes.
    values = embedding_bag(corners, table, per_sample_weights=weights[pixel].to(table.dtype), mode="sum")
    return image.index_copy(0, pixel, values).reshape(*size, channels)


def _gather(
    face_id: Tensor, weights: Tensor, faces: Tensor, table: Tensor, step: tuple[int, int], image: Tensor
) -> None:
    """`interpolate` compiled, for the CPU: one pass on one core, no temporary arrays."""
    from bodyloop.raster.kernels import gather

    stride, pixels = step
    if not pixels:
        return
    gather(
        face_id.reshape(-1, pixels).numpy(),
        weights.reshape(-1, pixels, 3).numpy(),
        faces.cpu().long().contiguous().numpy(),
        table.contiguous().numpy(),
        stride,
        image.reshape(-1, pixels, image.shape[-1]).numpy(),
    )


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
    return normalize(total, dim=-1, eps=1e-20)


def lit_colors(vertices: Tensor, normals: Tensor, colors: Tensor) -> Tensor:
    """Vertex colours (..., V, 3) under a lamp at the camera, one above on the left, and soft ambient light.

    Args:
        vertices: (..., V, 3) camera frame.
        normals: (..., V, 3) unit, outward, camera frame. Both sides of a surface are lit alike.
        colors: (..., V, 3) or (3,), in [0, 1].
    """
    to_camera = normalize(-vertices, dim=-1)
    facing = (normals * to_camera).sum(-1, keepdim=True)
    outward = normals * facing.sign()
    key = (outward @ outward.new_tensor(LAMP)).clamp_min(0)[..., None]
    sky = 0.5 - 0.5 * outward[..., 1:2]
    light = 0.3 + 0.16 * sky + 0.4 * facing.abs() + 0.24 * key
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
    parts = [image[..., i::factor, j::factor, :] for i in range(factor) for j in range(factor)]
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total = total + part
    return total / factor**2
