"""Training of the adversarial pose prior without a network to play against.

HMR's discriminators learn from the poses that its encoder predicts. Here the others are made: real poses of which
some joints are turned by angles from small to large, poses whose joints come from different people, and poses of
random turns. A joint's head is taught that its own joint is false only where that joint was changed; where joints
were shuffled each of them is real, and only the whole is not.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bodyloop.data.poses import PoseSet
from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.priors.adversarial import Adversarial
from bodyloop.priors.separation import separation
from bodyloop.train.checkpoint import Checkpoint, Report

REPORT_EVERY = 500  # steps between reports and checkpoints


@dataclass(frozen=True)
class AdversarialConfig:
    """Everything that a training run depends on.

    Attributes:
        embedding, width: of the network.
        least_turn, most_turn: degrees by which joints of disturbed poses are turned, drawn by their logarithm.
        decay: of the weights.
        steps: optimiser steps.
        batch: real poses a step, and as many others.
        rate: highest learning rate (Adam, one cycle).
        seed: of all random draws.
    """

    embedding: int = 32
    width: int = 1024
    least_turn: float = 10.0
    most_turn: float = 120.0
    decay: float = 1e-4
    steps: int = 4000
    batch: int = 256
    rate: float = 5e-4
    seed: int = 0


def train_adversarial(
    poses: PoseSet,
    validation: PoseSet,
    config: AdversarialConfig,
    report: Report = print,
    checkpoint: Path | None = None,
) -> Adversarial:
    """Train the discriminators.

    Args:
        poses: weighted training poses.
        validation: poses for the reports; nothing is chosen by them.
        config: what the run depends on.
        report: called with a line every now and then.
        checkpoint: file that a killed run goes on from.

    Returns:
        The prior, frozen.

    Raises:
        InputError: if the checkpoint is of another run.
    """
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    prior = Adversarial(embedding=config.embedding, width=config.width)
    optimiser = torch.optim.AdamW(prior.parameters(), lr=config.rate, weight_decay=config.decay)
    plan = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.rate, total_steps=config.steps, pct_start=0.1
    )
    state = Checkpoint(checkpoint, config)
    parts = {"prior": prior, "optimiser": optimiser, "plan": plan}
    first = state.restore(parts, generator)
    unseen = _rotations(validation.pose)
    began = time.time()
    for step in range(first + 1, config.steps + 1):
        real = _rotations(poses.draw(config.batch, generator))
        fake, changed = false_poses(_rotations(poses.draw(config.batch, generator)), config, generator)
        loss = (prior.scores(real) - 1).square().sum(1).mean() + (
            prior.scores(fake) - (~changed).to(fake)
        ).square().sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
        if step % REPORT_EVERY == 0 or step == config.steps:
            share = adversarial_separation(prior, unseen, config)
            rate = (step - first) / (time.time() - began)
            report(
                f"step {step}/{config.steps}  {rate:.1f} steps/s  loss {float(loss.detach()):.3f}  "
                f"validation: a false pose has the higher energy in {share:.1%} of pairs"
            )
            state.keep(parts, generator, step)
    state.done()
    return prior.eval().requires_grad_(False)


def _rotations(pose: Tensor) -> Tensor:
    """Poses (N, 72), axis-angle, to body poses (N, 23, 3, 3)."""
    return axis_angle_to_rotmat(pose[:, 3:].float().unflatten(1, (23, 3)))


def false_poses(real: Tensor, config: AdversarialConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Poses that nobody takes, made of real ones (N, K, 3, 3).

    A half is disturbed, a quarter shuffled among people, a quarter turned at random throughout.

    Returns:
        the poses, and what is false about each (N, K + 1): its joints, and in any case the whole.
    """
    count, joints = real.shape[:2]

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    kind = torch.arange(count) % 4  # 0, 1: disturbed; 2: shuffled; 3: random
    low, high = torch.tensor([config.least_turn, config.most_turn]).deg2rad().log()
    angle = (low + uniform(count, joints) * (high - low)).exp()
    axis = torch.nn.functional.normalize(torch.randn(count, joints, 3, generator=generator), dim=-1)
    turn = axis_angle_to_rotmat(axis * angle[..., None])
    chosen = uniform(count, joints) < uniform(count, 1) ** 2
    chosen[torch.arange(count), torch.randint(joints, (count,), generator=generator)] = True
    disturbed = torch.where(chosen[..., None, None], real @ turn, real)
    other = torch.randint(count, (count, joints), generator=generator)
    shuffled = real[other, torch.arange(joints)]
    kinds = kind[:, None, None, None]
    poses = torch.where(kinds < 2, disturbed, torch.where(kinds == 2, shuffled, turn))
    changed = torch.where(kind[:, None] < 2, chosen, (kind == 3)[:, None])
    return poses, torch.cat([changed, torch.ones(count, 1, dtype=torch.bool)], 1)


@torch.no_grad()
def adversarial_separation(
    prior: Adversarial, real: Tensor, config: AdversarialConfig, seed: int = 1
) -> float:
    """Share of pairs of a real pose of (N, K, 3, 3) and a false one in which the false has more energy."""
    fake, _ = false_poses(real, config, torch.Generator().manual_seed(seed))
    return separation(prior.energy(real), prior.energy(fake))
