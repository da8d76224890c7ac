"""Bodies over the photo they were found in, and the same bodies from the side."""

import math

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.view.draw import draw_keypoints
from bodyloop.view.render import Mesh, paint, person_colors
from bodyloop.view.stage import empty, ground


def overlay(
    pixels: np.ndarray,
    body: BodyModel,
    bodies: Bodies,
    camera: Camera,
    evidence: Evidence | None = None,
    alpha: float = 0.85,
) -> np.ndarray:
    """The photo with all people's meshes on it; who stands in front hides the others.

    Args:
        pixels: (H, W, 3) uint8 RGB; not changed.
        body: the bodies' model.
        bodies: N people in the camera frame; people with a number that is not finite are left out.
        camera: the photo's camera, one for all people.
        evidence: if given, its observed keypoints are drawn on top.
        alpha: opacity of the meshes.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: if the camera is not one for a photo of this size.
    """
    height, width = pixels.shape[:2]
    if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8 or camera.size != (width, height):
        raise ValueError(
            f"need a uint8 photo of the camera's size, ({camera.size[1]}, {camera.size[0]}, 3), got "
            f"{pixels.dtype} {pixels.shape}; resize the photo or build the camera with the photo's size"
        )
    camera = single_camera(camera)
    out = pixels.copy()
    vertices, colors = _people(body, bodies)
    paint(out, Mesh.people(vertices, body.faces.cpu(), colors), camera, alpha)
    return out if evidence is None else draw_keypoints(out, evidence)


def side_view(
    body: BodyModel, bodies: Bodies, size: tuple[int, int] = (512, 512), degrees: float = 90.0
) -> np.ndarray:
    """The same people turned about the vertical through their middle, on a plain ground.

    At 90 degrees this is what somebody sees who stands at the photo's right edge and looks across: of a
    person who faces the camera, the left side. The vertical is the camera's y axis; the ground touches the
    lowest point.

    Args:
        body: the bodies' model.
        bodies: N people in the camera frame; people with a number that is not finite are left out.
        size: width and height of the picture; the people are framed automatically.
        degrees: the angle of the turn.

    Returns:
        (height, width, 3) uint8.
    """
    width, height = size
    canvas = empty(width, height)
    vertices, colors = _people(body, bodies)
    if not vertices.numel():
        return canvas
    points = vertices.flatten(0, 1)
    angle = math.radians(degrees)
    c, s = math.cos(angle), math.sin(angle)
    turn = points.new_tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    middle = (points.amin(0) + points.amax(0)) / 2
    turned = (vertices - middle) @ turn.T
    camera, distance = _frame(turned.flatten(0, 1), width, height)
    turned = turned + torch.tensor([0.0, 0.0, distance])
    mesh = Mesh.people(turned, body.faces.cpu(), colors) + ground(turned.flatten(0, 1))
    paint(canvas, mesh, camera)
    return canvas


def single_camera(camera: Camera) -> Camera:
    """The camera without batch dimensions, on the CPU in float32.

    Raises:
        ValueError: if it is a batch of different cameras.
    """
    focal = camera.focal.detach().cpu().float().reshape(-1, 2)
    center = camera.center.detach().cpu().float().reshape(-1, 2)
    if bool((focal != focal[:1]).any()) or bool((center != center[:1]).any()):
        raise ValueError(f"a photo has one camera, got {len(focal)} different ones; draw each alone")
    return Camera(focal[0], center[0], camera.size)


def _people(body: BodyModel, bodies: Bodies) -> tuple[Tensor, Tensor]:
    """Finite vertices (M, V, 3) and colours (M, 3) on the CPU; a person's colour is that of their number."""
    with torch.no_grad():
        vertices = body.vertices(bodies).cpu().float()
    vertices = vertices.reshape(-1, *vertices.shape[-2:])
    good = torch.isfinite(vertices).all(-1).all(-1)
    return vertices[good], person_colors(len(vertices))[good]


def _frame(points: Tensor, width: int, height: int) -> tuple[Camera, float]:
    """A camera and the distance at which points (V, 3), centred on the origin, fill most of the picture."""
    half = points.abs().amax(0).clamp_min(0.1)
    distance = 2.5 * float(half.max()) + float(half[2])
    nearest = distance - float(half[2])
    focal = 0.9 * nearest * min((width - 1) / 2 / float(half[0]), (height - 1) / 2 / float(half[1]))
    return Camera.from_focal(focal, width, height), distance
