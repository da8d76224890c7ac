"""People over time on the frames of their video."""

from collections.abc import Sequence

import numpy as np
import torch

from bodyloop.body import BodyModel
from bodyloop.evidence.videos import VideoFrame
from bodyloop.geometry import Camera
from bodyloop.track import Track
from bodyloop.view.render import Mesh, paint, person_colors

ALPHA, FAINT = 0.85, 0.35
"""Opacity of people who are seen, and of those who were bridged over a gap."""
SOON = 1e-4
"""Seconds by which a frame's time may differ from a track's."""


def overlay_frame(frame: VideoFrame, tracks: Sequence[Track], body: BodyModel) -> np.ndarray:
    """The frame (H, W, 3) uint8 with everybody who is there on it; who was not seen in it is faint.

    People keep their colours. One who stands in front hides the others, unless one of them is faint.

    Args:
        frame: of the video.
        tracks: in camera axes, with cameras.
        body: their model.
    """
    colors = person_colors(len(tracks))
    meshes: dict[bool, Mesh] = {}
    camera: Camera | None = None
    for color, track in zip(colors, tracks, strict=True):
        nearest = int((track.times - frame.time).abs().argmin())
        if abs(float(track.times[nearest]) - frame.time) > SOON or track.camera is None:
            continue
        full = track.camera.expand(len(track))
        camera = Camera(full.focal[nearest], full.center[nearest], full.size)
        with torch.no_grad():
            vertices = body.vertices(track.bodies[nearest : nearest + 1]).cpu().float()
        mesh = Mesh.people(vertices, body.faces.cpu(), color[None])
        seen = bool(track.observed[nearest])
        meshes[seen] = meshes[seen] + mesh if seen in meshes else mesh
    picture = frame.pixels.copy()
    if camera is not None:
        for seen, alpha in ((False, FAINT), (True, ALPHA)):
            if seen in meshes:
                paint(picture, meshes[seen], camera, alpha)
    return picture
