"""Made-up people over time, and small bodies for them."""

import dataclasses

import numpy as np
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.files import _to_model
from bodyloop.geometry import Camera
from bodyloop.track import Frame, Track
from bodyloop.view.glb import strongest
from made_up import smpl_file_arrays

CAMERA = Camera.from_focal(800, 640, 480)


def small_body(influences: int = 24, correctives: bool = False) -> BodyModel:
    """A body of 96 vertices, each moved by so many joints."""
    body = _to_model(smpl_file_arrays(), "small")
    joints, shares = strongest(body.weights.numpy(), influences)
    weights = np.zeros(body.weights.shape)
    np.add.at(weights, (np.arange(len(weights))[:, None], joints), shares)
    return dataclasses.replace(
        body, weights=torch.from_numpy(weights).float(), posedirs=body.posedirs if correctives else None
    )


def track(
    name: str = "anna",
    frames: int = 9,
    seed: int = 0,
    start: float = 0.0,
    frame: Frame = "camera",
    body: str = "small",
    fps: float = 30.0,
) -> Track:
    """Somebody who spins more than twice while all joints swing."""
    g = torch.Generator().manual_seed(seed)
    phase = torch.arange(frames)[:, None] / 8
    swing = torch.sin(phase * 4 * torch.rand(72, generator=g) + 6 * torch.rand(72, generator=g))
    pose = swing * torch.rand(72, generator=g)
    pose[:, :3] = torch.tensor([0.3, 1.0, -0.2]) * (1 + 16 * phase)  # beyond pi: axis-angle wraps
    betas = torch.randn(1, 10, generator=g).expand(frames, 10)
    place = torch.randn(3, generator=g) + torch.tensor([0.0, 0.0, 5.0]) + phase * torch.randn(3, generator=g)
    times = start + torch.arange(frames, dtype=torch.float64) / fps
    seen = torch.rand(frames, generator=g) < 0.8
    return Track(Bodies.from_smpl(pose, betas, place), times, seen, CAMERA, name, frame, body)


def in_viewer(joints: torch.Tensor) -> np.ndarray:
    """Camera axes to y up."""
    return joints.double().numpy() * [1.0, -1.0, -1.0]
