"""The z-buffer on posed bodies, whose triangles are smaller than pixels."""

import importlib.resources
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, load_body
from bodyloop.geometry import Camera
from bodyloop.raster import NEAR, rasterize

sys.path.insert(0, str(Path(__file__).parent))
from raycast import raycast


@pytest.mark.slow
@pytest.mark.skipif(
    not importlib.resources.files("bodyloop.body").joinpath("assets/builtin_body.npz").is_file(),
    reason="the built-in body's file is not there",
)
def test_agrees_with_the_ray_caster_on_random_posed_bodies():
    body = load_body()
    pose = torch.randn(3, 72, generator=torch.Generator().manual_seed(1)) * 0.35
    pose[:, :3] += torch.tensor([torch.pi, 0, 0])
    people = Bodies.from_smpl(pose, None, torch.tensor([[0.0, 0.2, 2.4]]).expand(3, 3))
    vertices = body.vertices(people)
    faces = body.faces.numpy()
    focal, center, size = torch.tensor([60.0, 60]), torch.tensor([23.5, 27.5]), (48, 56)
    found = rasterize(vertices, body.faces, Camera(focal, center, size)).face_id.numpy()
    for mesh, ids in zip(vertices, found, strict=True):
        for row in range(56):
            line = Camera(focal, center - torch.tensor([0.0, row]), (48, 1))
            expected = raycast(mesh.numpy(), faces, line, NEAR)[0][0]
            ids[row] = np.where(ids[row] == expected, 0, 1)
    assert found.mean() <= 0.005
    print(f"{found.mean():.5%} of pixels differ")
