"""Training of the keypoint lifter on motion capture, seen by random cameras.

Every step draws poses, shapes and cameras anew, so the network never sees the same view twice: any yaw,
pitch and roll about level, distances from close to far, 2D noise, missing keypoints, half bodies, and the
keypoint sets that people really have.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, BodyPoints, Skeleton, get_skeleton
from bodyloop.data.cameras import camera_rotations
from bodyloop.geometry import align_similarity, axis_angle_to_rotmat, look_at_points
from bodyloop.nets.lifter import LIFTER29, Lifter

SETS = ("coco17", "openpose25", "mediapipe33", "lsp14", "mpii16", "lifter29")
REPORT_EVERY = 500  # steps between reports and checkpoints
_SET_SHARES = (0.3, 0.25, 0.15, 0.05, 0.05, 0.2)


@dataclass(frozen=True)
class LifterConfig:
    """Everything that a training run depends on.

    Attributes:
        steps: optimiser steps.
        batch: people a step.
        rate: highest learning rate (AdamW, one cycle).
        width, blocks, dropout: of the network.
        seed: of all random draws.
    """

    steps: int = 10000
    batch: int = 640
    rate: float = 1.5e-3
    width: int = 640
    blocks: int = 2
    dropout: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Views:
    """A batch of made-up observations: bodies in camera axes and their keypoints.

    Attributes:
        bodies: B people, translation in front of the camera.
        points: (B, 53, 3) metres, camera axes: the 29 keypoints, then the 24 joints.
        rays: (B, 29, 2) observed places on the plane z = 1, noisy.
        confidence: (B, 29).
    """

    bodies: Bodies
    points: Tensor
    rays: Tensor
    confidence: Tensor


def draw_views(
    pose: Tensor, body: BodyModel, points: BodyPoints, generator: torch.Generator, noise: bool = True
) -> Views:
    """Random shape, camera and observation for every pose (B, 72) with a y-up global orientation.

    Args:
        pose: (B, 72) axis-angle.
        body: the model.
        points: `all_points` of the body: the 29 keypoints first.
        generator: of all draws.
        noise: whether keypoints are disturbed and hidden.
    """
    count, known = len(pose), len(LIFTER29)
    rotations = axis_angle_to_rotmat(pose.unflatten(1, (24, 3)))
    turn = camera_rotations(count, generator)
    rotations = torch.cat([(turn @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)
    betas = torch.randn(count, 10, generator=generator)
    local = body.points(Bodies(rotations, betas, torch.zeros(count, 3)), points)
    depth = torch.exp(torch.rand(count, generator=generator) * math.log(12 / 1.8) + math.log(1.8))
    side = torch.randn(count, 2, generator=generator) * 0.25 * depth[:, None]
    trans = torch.cat([side, depth[:, None]], 1) - local[:, :known].mean(1)
    placed = local + trans[:, None]
    rays = placed[:, :known, :2] / placed[:, :known, 2:].clamp_min(0.3)
    return observe(Bodies(rotations, betas, trans), placed, rays, generator, noise)


def observe(bodies: Bodies, placed: Tensor, rays: Tensor, generator: torch.Generator, noise: bool) -> Views:
    """Pick a keypoint set a person, hide points, add noise."""
    count, known = len(rays), len(LIFTER29)
    sets = torch.tensor([[name in _keypoint_set(s).keypoints for name in LIFTER29.keypoints] for s in SETS])
    shares = torch.tensor(_SET_SHARES)
    confidence = sets[torch.multinomial(shares, count, True, generator=generator)].float()
    if not noise:
        return Views(bodies, placed, rays, confidence)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    height = rays[..., 1] - rays[..., 1].amin(1, keepdim=True)
    height = height / height.amax(1, keepdim=True).clamp_min(1e-6)
    cut = 0.3 + 0.65 * uniform(count, 1)  # photos often end at the hips or knees
    cropped = (uniform(count, 1) < 0.25) & (height > cut)
    rate = uniform(count, 1).square() * 0.5 * (uniform(count, 1) < 0.6)
    dropped = uniform(count, known) < rate
    hidden = cropped | dropped
    too_few = ((confidence > 0) & ~hidden).sum(1, keepdim=True) < 5
    confidence = torch.where(hidden & ~too_few, 0.0, confidence)
    doubtful = (uniform(count, 1) < 0.5) & (uniform(count, known) < 0.5)
    confidence = confidence * torch.where(doubtful, 0.3 + 0.7 * uniform(count, known), 1.0)
    size = look_at_points(rays, confidence > 0).size
    spread = 0.03 * uniform(count, 1).square() * (2 - confidence.clamp_min(0.3))
    rays = rays + torch.randn(count, known, 2, generator=generator) * (spread * size[:, None])[..., None]
    return Views(bodies, placed, rays, confidence)


def _keypoint_set(name: str) -> Skeleton:
    """A registered skeleton, or the lifter's own."""
    return LIFTER29 if name == LIFTER29.name else get_skeleton(name)


def lifter_loss(
    lifter: Lifter, views: Views, body: BodyModel, points: BodyPoints
) -> tuple[Tensor, dict[str, float]]:
    """L1 on root-aligned 3D points and squared error of rotation matrices, plus a little on betas."""
    view = look_at_points(views.rays, views.confidence > 0)
    guess = lifter.in_camera(view, views.confidence)
    found = body.points(guess, points)
    root = len(LIFTER29)  # the points are the 29 keypoints, then all joints
    off = (found - found[:, root : root + 1]) - (views.points - views.points[:, root : root + 1])
    position = off.abs().sum(-1).mean()
    rotation = (guess.rotations - views.bodies.rotations).square().sum((-1, -2)).mean()
    shape = (guess.betas - views.bodies.betas).square().mean()
    loss = 5 * position + rotation + 0.05 * shape
    return loss, {
        "position_mm": 1000 * float(off.detach().norm(dim=-1).mean()),
        "rotation": float(rotation.detach()),
    }


def all_points(body: BodyModel) -> BodyPoints:
    """The lifter's 29 keypoints and the 24 joints."""
    keypoints, _ = body.keypoints(LIFTER29)
    joints, _ = body.keypoints(get_skeleton("smpl24"))
    return BodyPoints.cat([keypoints, joints])


@torch.no_grad()
def _look(lifter: Lifter, pose: Tensor, body: BodyModel, seed: int) -> tuple[Bodies, Views]:
    """What the lifter makes of poses (N, 72) seen by seeded cameras with the training's noise."""
    views = draw_views(pose, body, all_points(body), torch.Generator().manual_seed(seed))
    view = look_at_points(views.rays, views.confidence > 0)
    return lifter.eval().in_camera(view, views.confidence), views


def lifter_error(lifter: Lifter, pose: Tensor, body: BodyModel, seed: int = 0) -> dict[str, float]:
    """MPJPE and PA-MPJPE in mm over poses (N, 72), with the training's noise and missing keypoints."""
    found, views = _look(lifter, pose, body, seed)
    joints, truth = body.joints(found), body.joints(views.bodies)
    error = (joints - joints[:, :1] - truth + truth[:, :1]).norm(dim=-1).mean()
    pa = (align_similarity(joints, truth).apply(joints) - truth).norm(dim=-1).mean()
    return {"mpjpe_mm": 1000 * float(error), "pa_mpjpe_mm": 1000 * float(pa)}


def lifter_spread(
    lifter: Lifter, pose: Tensor, body: BodyModel, seed: int = 1, floor: float = 0.05
) -> Tensor:
    """`Lifter.spread` (69,): the 68 % quantile of the absolute errors over poses (N, 72), five views each.

    The floor, in radians, is for joints that the motion capture leaves unmoved.
    """
    found, views = _look(lifter, pose.repeat(5, 1), body, seed)
    return (found.pose - views.bodies.pose)[:, 3:].abs().quantile(0.68, 0).clamp_min(floor)


def train_lifter(
    pose: Tensor,
    weight: Tensor,
    validation: Tensor,
    body: BodyModel,
    out: Path,
    config: LifterConfig,
    report: Callable[[str], None] = print,
) -> Lifter:
    """Train, keeping a checkpoint that a killed run resumes from; writes half-precision weights to `out`.

    Args:
        pose: (N, 72) training poses with y-up global orientation.
        weight: (N,) sampling weights.
        validation: (M, 72) poses of the validation subjects.
        body: whose joints and keypoints are seen.
        out: safetensors file; ``out.with_suffix('.ckpt')`` holds the state of the run.
        config: what the run depends on.
        report: called with a line at every checkpoint.
    """
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    lifter = Lifter(config.width, config.blocks, config.dropout)
    optimiser = torch.optim.AdamW(lifter.parameters(), lr=config.rate, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.rate, total_steps=config.steps, pct_start=0.1
    )
    checkpoint = out.with_suffix(".ckpt")
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        lifter.load_state_dict(state["lifter"])
        optimiser.load_state_dict(state["optimiser"])
        plan.load_state_dict(state["plan"])
        generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        first = state["step"]
        report(f"resumed at step {first}")
    points = all_points(body)
    began = time.time()
    for step in range(first, config.steps):
        lifter.train()
        chosen = pose[torch.multinomial(weight, config.batch, True, generator=generator)]
        loss, parts = lifter_loss(lifter, draw_views(chosen, body, points, generator), body, points)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(lifter.parameters(), 1.0)
        optimiser.step()
        plan.step()
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == config.steps:
            error = lifter_error(lifter, validation, body)
            rate = (step + 1 - first) / (time.time() - began)
            report(
                f"step {step + 1}/{config.steps}  {rate:.1f} steps/s  train {parts['position_mm']:.1f} mm  "
                f"validation MPJPE {error['mpjpe_mm']:.1f}  PA {error['pa_mpjpe_mm']:.1f} mm"
            )
            state = {
                "lifter": lifter.state_dict(),
                "optimiser": optimiser.state_dict(),
                "plan": plan.state_dict(),
                "generator": generator.get_state(),
                "torch": torch.get_rng_state(),
                "step": step + 1,
            }
            partial = checkpoint.with_suffix(".tmp")
            torch.save(state, partial)
            partial.replace(checkpoint)
    lifter.spread.copy_(lifter_spread(lifter.eval(), validation, body))
    half = {k: v.half().contiguous() for k, v in lifter.state_dict().items()}
    save_file(half, str(out), {k: str(v) for k, v in asdict(config).items()})
    return lifter
