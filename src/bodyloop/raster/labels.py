"""Maps of the surface that each pixel sees: IUV, parts, PNCC, normals, depth. All on top of `Fragments`.

Each function takes the fragments of one mesh or of a batch, (..., H, W), and gives maps of the same leading
dimensions. Fragments name faces by number, so they must come from `rasterize` with the same faces.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from bodyloop.body import BodyModel
from bodyloop.body.atlas import Atlas
from bodyloop.raster.shading import interpolate, vertex_normals
from bodyloop.raster.zbuffer import Fragments


def iuv_map(fragments: Fragments, atlas: Atlas) -> Tensor:
    """DensePose's coordinates (..., H, W, 3) float32: I (0 where nothing is hit, else 1 to 24), U, V in [0, 1].

    Args:
        fragments: drawn with `atlas.faces` (for the built-in atlas the same as the built-in body's).
        atlas: on the fragments' device.

    Raises:
        ValueError: if the fragments name faces that the atlas lacks.
    """
    charts = part_map(fragments, atlas.charts, background=0)
    # Corners of neighbouring faces may lie in different charts: every face brings its own three.
    corners = torch.arange(3 * len(atlas.faces), device=atlas.uv.device).reshape(-1, 3)
    places = interpolate(fragments, corners, atlas.uv.flatten(0, 1))
    # Weights sum to 1 up to rounding, which must not lead out of the chart.
    return torch.cat([charts[..., None].to(places), places.clamp(0, 1)], -1)


def part_map(fragments: Fragments, face_parts: Tensor, background: int = -1) -> Tensor:
    """Label of the face that each pixel sees (..., H, W), in the labels' type.

    Args:
        fragments: any.
        face_parts: (F,) labels, as of `bodyloop.body.parts.face_parts`.
        background: label of pixels that see nothing.

    Raises:
        ValueError: if the fragments name faces without a label.
    """
    face_id = fragments.face_id.long()
    if face_id.numel() and int(face_id.max()) >= len(face_parts):
        raise ValueError(
            f"the fragments name face {int(face_id.max())}, but there are labels of {len(face_parts)} faces; "
            "draw the mesh that the labels belong to"
        )
    padded = torch.cat([face_parts, face_parts.new_tensor([background])])
    return padded[face_id]  # face -1 is the last entry, the background


def pncc_map(fragments: Fragments, body: BodyModel) -> Tensor:
    """Projected normalised coordinate code (..., H, W, 3) in [0, 1], 0 where nothing is hit.

    The mean body's coordinates, each axis normalised to 0 .. 1 over the body, as colours of the drawn body
    (Liu et al., "Multi-initialization Optimization Network for
    Accurate 3D Human Pose and Shape Estimation", 2021, eq. 3-4; after 3DDFA, Zhu et al. 2016).

    Args:
        fragments: bodies of any pose and shape, drawn with `body.faces`.
        body: the model.
    """
    low, high = body.v_template.amin(0), body.v_template.amax(0)
    return interpolate(fragments, body.faces, (body.v_template - low) / (high - low)).clamp(0, 1)


def normal_map(fragments: Fragments, faces: Tensor, vertices: Tensor) -> Tensor:
    """Unit outward normals (..., H, W, 3), camera frame, smooth over the mesh; 0 where nothing is hit.

    Args:
        fragments: drawn from the vertices and faces.
        faces: (F, 3), counter-clockwise seen from outside.
        vertices: (..., V, 3) camera frame, metres.
    """
    normals = interpolate(fragments, faces, vertex_normals(vertices, faces))
    return normalize(normals, dim=-1, eps=1e-20)


def depth_map(fragments: Fragments, background: float = 0.0) -> Tensor:
    """Depth z (..., H, W) in metres, camera frame, with a finite value where nothing is hit."""
    return torch.where(fragments.mask, fragments.depth, fragments.depth.new_tensor(background))
