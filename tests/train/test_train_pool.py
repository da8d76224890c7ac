"""Building a pool: headings are gone, leaning stays, and every pose is one that somebody took."""

import math

import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.poses import PoseSet
from bodyloop.errors import InputError
from bodyloop.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle
from bodyloop.train.pool import PoolConfig, build_pool, without_heading


def turned(pose: torch.Tensor, yaw: float) -> torch.Tensor:
    """The body turned about the vertical."""
    turn = axis_angle_to_rotmat(torch.tensor([0.0, yaw, 0.0]))
    root = rotmat_to_axis_angle(turn @ axis_angle_to_rotmat(pose[:, :3]))
    return torch.cat([root, pose[:, 3:]], 1)


@pytest.mark.parametrize("yaw", [0.7, math.pi, -2.0])
def test_the_heading_does_not_matter(yaw: float):
    pose = 0.4 * torch.randn(50, 72, generator=torch.Generator().manual_seed(1))
    pose[25:, 0] -= math.pi / 2  # these lie
    there = axis_angle_to_rotmat(without_heading(pose)[:, :3])
    here = axis_angle_to_rotmat(without_heading(turned(pose, yaw))[:, :3])
    torch.testing.assert_close(here, there, atol=1e-4, rtol=0)
    up = axis_angle_to_rotmat(pose[:, :3])[:, 1]
    torch.testing.assert_close(there[:, 1], up, atol=1e-4, rtol=0, msg="how it leans stays")


def test_a_small_pool(body: BodyModel):
    g = torch.Generator().manual_seed(0)
    centers = 0.6 * torch.randn(8, 72, generator=g)
    centers[:, :3] = 0
    pose = centers.repeat_interleave(20, 0) + 0.01 * torch.randn(160, 72, generator=g)
    poses = PoseSet(pose, torch.full((160,), 1 / 160), torch.zeros(160, dtype=torch.long))
    pool = build_pool(poses, body, PoolConfig(poses=8, turns=5, views=400))
    assert 4 <= len(pool.pose) <= 8
    flat = without_heading(pose)
    assert float((pool.pose[:, None] - flat).norm(dim=-1).amin(1).max()) < 1e-5, "poses that somebody took"
    joints = body.joints(Bodies.from_smpl(pool.pose, None, torch.zeros(len(pool.pose), 3)))
    assert torch.isfinite(joints).all()
    torch.testing.assert_close(pool.turns @ pool.turns.mT, torch.eye(3).expand(5, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(pool.turns), torch.ones(5), atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="smaller pool"):
        build_pool(poses, body, PoolConfig(poses=200))
