"""Training of the VPoser prior (Pavlakos et al. 2019, eq. 4 to 8 of the supplement's losses).

    L = c_mesh |M(R) - M(R')|_1 + c_kl KL(q(z | R) || N(0, I)) + c_orthogonal |A^T A - I|^2 + c_rotation |R - R'|^2

R are the joints' rotations, A the decoder's 6D numbers, R' their Gram-Schmidt rotations, M the mesh. The mesh enters
by a spread sample of its vertices: the full 13,718 of the built-in body cost many times more and teach the same.
Both are means over what they sum, the mesh's over vertices and the divergence's over poses. The balance of
reconstruction and divergence was chosen by fits to the validation subjects: with a heavier mesh poses are
reconstructed better, but codes spread far beyond the unit Gaussian and fits in them get stuck.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, BodyPoints
from bodyloop.data.poses import PoseSet
from bodyloop.priors.representation import BODY_JOINTS, to_rotations
from bodyloop.priors.vae import Vae, rot6d_lengths_and_angles
from bodyloop.train.checkpoint import Checkpoint, Report

REPORT_EVERY = 500  # steps between reports and checkpoints


@dataclass(frozen=True)
class VaeConfig:
    """Everything that a training run depends on.

    Attributes:
        latent_size: of the code.
        width: of the hidden layers.
        mesh: weight of the mean distance between vertices, per metre and coordinate.
        kl: weight of the divergence in nats.
        orthogonal: weight of the 6D numbers' distance from orthonormal.
        rotation: weight of the squared difference of rotation matrices, per joint.
        decay: of the weights.
        vertices: of the mesh that are compared.
        steps: optimiser steps.
        batch: poses a step.
        rate: highest learning rate (Adam, one cycle).
        seed: of all random draws.
    """

    latent_size: int = 32
    width: int = 512
    mesh: float = 15.0
    kl: float = 0.005
    orthogonal: float = 0.01
    rotation: float = 0.2
    decay: float = 1e-5
    vertices: int = 100
    steps: int = 4000
    batch: int = 256
    rate: float = 1e-3
    seed: int = 0


def train_vae(
    poses: PoseSet,
    validation: PoseSet,
    body: BodyModel,
    config: VaeConfig,
    report: Report = print,
    checkpoint: Path | None = None,
) -> Vae:
    """Train a pose autoencoder.

    Args:
        poses: weighted training poses.
        validation: poses for the reports; nothing is chosen by them.
        body: whose mesh is compared.
        config: what the run depends on.
        report: called with a line every now and then.
        checkpoint: file that a killed run goes on from.

    Returns:
        The autoencoder, frozen.

    Raises:
        InputError: if the checkpoint is of another run.
    """
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    points = spread_vertices(body, config.vertices)
    vae = Vae(BODY_JOINTS, config.latent_size, config.width)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=config.rate, weight_decay=config.decay)
    plan = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.rate, total_steps=config.steps, pct_start=0.1
    )
    state = Checkpoint(checkpoint, config)
    parts = {"vae": vae, "optimiser": optimiser, "plan": plan}
    first = state.restore(parts, generator)
    began = time.time()
    for step in range(first + 1, config.steps + 1):
        vae.train()
        pose = poses.draw(config.batch, generator)[:, 3:].float()
        loss = _loss(vae, pose, body, points, config)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
        if step % REPORT_EVERY == 0 or step == config.steps:
            error, divergence = vae_error(vae, validation.pose, body, points)
            rate = (step - first) / (time.time() - began)
            report(
                f"step {step}/{config.steps}  {rate:.1f} steps/s  loss {float(loss.detach()):.3f}  validation: "
                f"vertices off {error:.1f} mm, divergence {divergence:.1f} nats"
            )
            state.keep(parts, generator, step)
    state.done()
    return vae.eval().requires_grad_(False)


def spread_vertices(body: BodyModel, count: int) -> BodyPoints:
    """`count` vertices of the mesh, spread evenly (`BodyModel.spread_vertices`)."""
    chosen = body.spread_vertices(count)
    first = body.v_template.new_tensor([1.0, 0, 0]).expand(len(chosen), 3)
    return body.mesh_points(chosen[:, None].expand(-1, 3), first)


def _placed(rotations: Tensor, body: BodyModel, points: BodyPoints) -> Tensor:
    """Vertices (N, P, 3) of body poses (N, 23, 3, 3), mean shape, upright."""
    count = len(rotations)
    root = torch.eye(3, dtype=rotations.dtype).expand(count, 1, 3, 3)
    bodies = Bodies(
        torch.cat([root, rotations], 1), rotations.new_zeros(count, 10), rotations.new_zeros(count, 3)
    )
    return body.points(bodies, points)


def _divergence(mean: Tensor, spread: Tensor) -> Tensor:
    """KL of N(mean, spread^2) from the unit Gaussian (N,), nats."""
    return 0.5 * (mean.square() + spread.square() - 1 - 2 * spread.log()).sum(1)


def _loss(vae: Vae, pose: Tensor, body: BodyModel, points: BodyPoints, config: VaeConfig) -> Tensor:
    """The loss of poses (N, 69)."""
    mean, spread = vae.posterior(pose)
    numbers = vae.decode_coordinates(mean + spread * torch.randn_like(spread))
    truth, found = to_rotations(pose, "axis_angle"), to_rotations(numbers, "rot6d")
    mesh = (_placed(truth, body, points) - _placed(found, body, points)).abs().mean()
    rotation = (truth - found).square().sum((-1, -2)).mean()
    return (
        config.mesh * mesh
        + config.kl * _divergence(mean, spread).mean()
        + config.orthogonal * rot6d_lengths_and_angles(numbers).mean()
        + config.rotation * rotation
    )


@torch.no_grad()
def vae_error(vae: Vae, pose: Tensor, body: BodyModel, points: BodyPoints) -> tuple[float, float]:
    """Mean vertex distance in mm after encoding and decoding poses (N, 72), and the mean divergence in nats."""
    vae.eval()
    pose = pose[:, 3:].float()
    mean, spread = vae.posterior(pose)
    off = _placed(to_rotations(pose, "axis_angle"), body, points) - _placed(vae.decode(mean), body, points)
    return 1000 * float(off.norm(dim=-1).mean()), float(_divergence(mean, spread).mean())
