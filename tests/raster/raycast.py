"""The slow twin of the z-buffer: every ray against every face, in float64 (Moller and Trumbore 1997)."""

import numpy as np

from bodyloop.geometry import Camera


def raycast(
    vertices: np.ndarray, faces: np.ndarray, camera: Camera, near: float, shift: tuple[float, float] = (0, 0)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Face id (H, W), weights (H, W, 3) and depth (H, W) of the nearest hit; `shift` is added to pixels."""
    width, height = camera.size
    fx, fy = camera.focal.double().tolist()
    cx, cy = camera.center.double().tolist()
    x, y = np.meshgrid(np.arange(width) + shift[0], np.arange(height) + shift[1])
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones(x.shape)], -1).reshape(-1, 1, 3)
    a, b, c = (vertices.astype(np.float64)[faces[:, i]] for i in range(3))
    ab, ac = b - a, c - a
    h = np.cross(rays, ac)
    det = (ab * h).sum(-1)
    with np.errstate(all="ignore"):
        u = -(a * h).sum(-1) / det
        q = np.cross(-a, ab)
        v = (rays * q).sum(-1) / det
        t = (ac * q).sum(-1) / det
        hit = (det != 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t >= near)
    depth = np.where(hit, t, np.inf)
    best = depth.argmin(1)
    row = np.arange(len(best))
    nearest, u, v = depth[row, best], u[row, best], v[row, best]
    found = np.isfinite(nearest)
    u, v = np.where(found, u, 0), np.where(found, v, 0)
    weights = np.where(found[:, None], np.stack([1 - u - v, u, v], -1), 0.0)
    shape = (height, width)
    return np.where(found, best, -1).reshape(shape), weights.reshape(*shape, 3), nearest.reshape(shape)
