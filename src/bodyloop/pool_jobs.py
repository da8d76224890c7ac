"""A pool of candidates made of motion capture: what ``bodyloop pool build`` does."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from bodyloop import __version__
from bodyloop.body import Bodies, BodyModel, builtin_body, get_skeleton
from bodyloop.data.cameras import camera_rotations
from bodyloop.data.poses import PoseSet
from bodyloop.data.splits import SplitName, data_lines, read_poses
from bodyloop.errors import InputError
from bodyloop.evaluate.metrics import pa_mpjpe
from bodyloop.evidence import Evidence
from bodyloop.fit import FitProblem
from bodyloop.fit.pool import CandidatePool, save_pool
from bodyloop.geometry import Camera
from bodyloop.train.cards import card_text, settings_text
from bodyloop.train.pool import PoolConfig, build_pool
from bodyloop.writing import make_folder, write_atomic

Tell = Callable[[str], None]

JUDGED = 200
"""Held-out people of whom a card tells how near the candidates come."""
PATHS = 5
"""Candidates of each: as many as the paper ends up with (table 1)."""


@dataclass(frozen=True)
class PoolJob:
    """Cluster motion capture into a pool of candidates.

    Attributes:
        mocap: folder that holds ``cmu/bvh`` and ``cmu/npz_deepmimic``, or one of them.
        out: file for the pool; the card lies beside it.
        cache: folder for the converted clips, so that the next run need not convert them.
        poses, turns: how many poses and camera orientations.
        angle: degrees by which some joint of two poses of a clip must differ.
        seed: of all random draws.
    """

    mocap: Path
    out: Path = Path("pool.npz")
    cache: Path | None = None
    poses: int = PoolConfig.poses
    turns: int = PoolConfig.turns
    angle: float = 8.0
    seed: int = 0

    def command(self) -> str:
        """What to type for the same pool; DATA stands for the user's folder."""
        told = ("poses", "turns", "angle", "seed")
        changed = [f for f in fields(self) if f.name in told and getattr(self, f.name) != f.default]
        return "bodyloop pool build --mocap DATA" + "".join(
            f" --{f.name} {getattr(self, f.name)}" for f in changed
        )


def make_pool(job: PoolJob, tell: Tell = print) -> tuple[Path, Path, str]:
    """Read motion capture, cluster it, save the pool and its card.

    Args:
        job: what to do.
        tell: called with a line whenever there is something to say.

    Returns:
        the pool's file, the card's, and its text.

    Raises:
        InputError: no usable motion capture, too little of it, or a file that cannot be written.
    """
    if job.out.suffix != ".npz" or job.out.is_dir():
        raise InputError(f"--out {job.out}: expected the name of a file that ends in .npz")
    if job.poses < 1 or job.turns < 1:
        raise InputError(f"--poses and --turns: expected at least 1, got {job.poses} and {job.turns}")
    if not 0 < job.angle < 180:
        raise InputError(f"--angle: expected degrees between 0 and 180, got {job.angle:g}")
    make_folder(job.out.parent)
    names: tuple[SplitName, ...] = ("train", "validation")
    splits = {name: read_poses(job.mocap, name, job.angle, job.cache, tell) for name in names}
    config = replace(PoolConfig(), poses=job.poses, turns=job.turns, seed=job.seed)
    body, began = builtin_body(), time.time()
    pool = build_pool(splits["train"], body, config, tell)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "pool.npz"
        save_pool(file, pool)
        write_atomic(job.out, file.read_bytes())
    tell(f"clustered in {time.time() - began:.0f} s; measuring what was saved")
    stored = CandidatePool.load(job.out)
    first, best = reach(stored, body, splits["validation"], min(PATHS, len(stored)), job.seed)
    card = card_text(
        "Candidate pool",
        "Poses and camera orientations that stand for all (Liu et al. 2021, section 3.1): k-means of the body's joints "
        "without the heading, and of camera orientations; each cluster of poses is stood for by the pose of motion "
        "capture nearest to its mean.",
        [
            *data_lines(splits, job.angle),
            f"Candidates: {len(stored.pose):,} poses under {len(stored.turns)} orientations, {len(stored):,}.",
            f"Settings: {settings_text(config)}.",
            f"Command: `{job.command()}`, bodyloop {__version__}.",
            f"PA-MPJPE of {JUDGED} validation people with exact COCO-17 keypoints and shapes of their own: first "
            f"candidate {first:.1f} mm, best of {PATHS} {best:.1f} mm.",
            "Licence: Apache-2.0.",
        ],
    )
    write_atomic(job.out.with_suffix(".md"), card.encode())
    return job.out, job.out.with_suffix(".md"), card


def reach(pool: CandidatePool, body: BodyModel, poses: PoseSet, count: int, seed: int) -> tuple[float, float]:
    """PA-MPJPE (mm) of held-out people's first candidate, and of the best of `count`.

    Args:
        pool, body: whose reach is measured, and whose bodies they are.
        poses: of whom `JUDGED` are drawn, each seen from somewhere.
        count: candidates of each.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = poses.pose[torch.randperm(len(poses), generator=generator)[:JUDGED]].float()
    n = len(chosen)
    bodies = Bodies.from_smpl(chosen, torch.randn(n, 10, generator=generator), torch.zeros(n, 3))
    turns = camera_rotations(n, generator)
    bodies = bodies.turned(turns, body.rest_pelvis(bodies.betas))
    bodies = replace(bodies, translation=bodies.translation + torch.tensor([0.0, 0.0, 5.0]))
    camera, skeleton = Camera.from_focal(1000.0, 640, 480), get_skeleton("coco17")
    points, _ = body.keypoints(skeleton)
    seen = camera.project(body.points(bodies, points))
    evidence = Evidence.from_keypoints(skeleton, seen, torch.ones(seen.shape[:2]))
    found = pool.search(body, FitProblem.build(body, evidence, camera), count)
    error = pa_mpjpe(body.joints(found.bodies), body.joints(bodies)[:, None].expand(-1, count, -1, -1))
    return float(error[:, 0].mean()), float(error.amin(1).mean())
