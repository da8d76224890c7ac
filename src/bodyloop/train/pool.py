"""The candidate pool: poses and orientations that stand for all (MION, Liu et al. 2021, section 3.1).

Poses are clustered where their joints are, not by their angles, and each cluster is stood for by the pose nearest to
its mean, so that every candidate is a pose that somebody took. The heading is taken out of them: it belongs to the
camera.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.cameras import camera_rotations
from bodyloop.data.poses import PoseSet
from bodyloop.errors import InputError
from bodyloop.fit.pool import CandidatePool
from bodyloop.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle


@dataclass(frozen=True)
class PoolConfig:
    """What a pool depends on, but for the poses.

    Attributes:
        poses, turns: how many of each; the paper's.
        views: camera orientations that are clustered.
        rounds: of k-means at most.
        seed: of where k-means starts, and of the views.
    """

    poses: int = 10_000
    turns: int = 30
    views: int = 20_000
    rounds: int = 30
    seed: int = 0


def without_heading(pose: Tensor) -> Tensor:
    """Poses (N, 72), the body turned about the vertical until its front looks along z as far as it can."""
    root = axis_angle_to_rotmat(pose[:, :3])
    front = root[:, :, 2]
    # A body that lies looks up or down: then its head says where it is turned to.
    lying = front[:, 1].abs() > root[:, 1, 1].abs()
    ahead = torch.where(lying[:, None], -root[:, :, 1] * front[:, 1:2].sign(), front)
    yaw = torch.atan2(ahead[:, 0], ahead[:, 2])
    back = axis_angle_to_rotmat(torch.stack([torch.zeros_like(yaw), -yaw, torch.zeros_like(yaw)], 1))
    return torch.cat([rotmat_to_axis_angle(back @ root), pose[:, 3:]], 1)


def build_pool(
    poses: PoseSet, body: BodyModel, config: PoolConfig, tell: Callable[[str], None] = lambda line: None
) -> CandidatePool:
    """Cluster poses and views.

    Args:
        poses: distinct ones of motion capture.
        body: whose joints say how far poses are apart.
        config: settings.
        tell: called with a line now and then.

    Raises:
        InputError: if there are fewer poses than clusters, or without scikit-learn.
    """
    if len(poses) < config.poses:
        raise InputError(
            f"expected at least {config.poses:,} distinct poses, got {len(poses):,}; ask for a smaller pool"
        )
    pose = without_heading(poses.pose.float())
    joints = body.joints(Bodies.from_smpl(pose, None, torch.zeros(len(pose), 3)))
    joints = (joints - joints[:, :1]).flatten(1)
    tell(f"clustering {len(pose):,} poses into {config.poses:,}")
    centers = _centers(joints, config.poses, config)
    nearest = torch.cat([torch.cdist(part, joints).argmin(1) for part in centers.split(500)])
    chosen = pose[nearest.unique()]
    tell(f"clustering {config.views:,} views into {config.turns}")
    views = camera_rotations(config.views, torch.Generator().manual_seed(config.seed))
    u, _, v = torch.linalg.svd(_centers(views.flatten(1), config.turns, config).unflatten(1, (3, 3)))
    sign = torch.ones(config.turns, 3)
    sign[:, 2] = torch.linalg.det(u @ v)
    return CandidatePool(chosen, u @ torch.diag_embed(sign) @ v)


def _centers(points: Tensor, count: int, config: PoolConfig) -> Tensor:
    """Means (count, D) of clusters of points (N, D)."""
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise InputError("building a pool needs scikit-learn: pip install scikit-learn") from None
    found = KMeans(count, init="random", n_init=1, max_iter=config.rounds, random_state=config.seed)
    return torch.from_numpy(found.fit(points.numpy()).cluster_centers_)
