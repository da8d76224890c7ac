"""The z-buffer on posed bodies, whose triangles are smaller than pixels."""

import importlib.resources
import sys
from pathlib import Path

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
    assert (found >= 0).mean() > 0.05
    wrong = 0
    for mesh, ids in zip(vertices, found, strict=True):
        for row in range(0, 56, 3):
            line = Camera(focal, center - torch.tensor([0.0, row]), (48, 1))
            wrong += int((ids[row] != raycast(mesh.numpy(), faces, line, NEAR)[0][0]).sum())
    assert wrong <= 0.005 * 3 * 19 * 48
    print(f"{wrong} of {3 * 19 * 48} pixels differ")
