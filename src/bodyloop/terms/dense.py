"""Dense keypoints: points of the surface, given by three vertices and barycentrics, seen at pixels."""

from torch import Tensor


def dense_distance(vertices: Tensor, corners: Tensor, barycentric: Tensor, pixels: Tensor) -> Tensor:
    """L1 distance of each dense keypoint (Rong et al. 2019, eq. 4).

    The paper averages the corners' projections, which differs from the projection of the point on the triangle by
    far less than a pixel.

    Args:
        vertices: (..., V, 2) projected, pixels.
        corners: (..., N, 3) vertex indices, phi of eq. 3 (`bodyloop.body.Atlas.locate`).
        barycentric: (..., N, 3).
        pixels: (..., N, 2) where the points are seen.

    Returns:
        (..., N) |x - x'| + |y - y'| in pixels.
    """
    batch = vertices.shape[:-2]
    flat = corners.expand(*batch, *corners.shape[-2:]).flatten(-2)[..., None].expand(*batch, -1, 2)
    found = vertices.gather(-2, flat).unflatten(-2, (-1, 3))
    return ((found * barycentric[..., None]).sum(-2) - pixels).abs().sum(-1)
