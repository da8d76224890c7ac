"""Training of the flow prior by maximum likelihood (Zanfir et al. 2020, eq. 1)."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bodyloop.data.poses import PoseSet
from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.priors.flow import Flow, StepKind
from bodyloop.priors.representation import Representation, to_coordinates
from bodyloop.train.checkpoint import Checkpoint, Report

REPORT_EVERY = 500  # steps between reports and checkpoints
WHITENED_ON = 40_000  # poses from which the first linear layer starts


@dataclass(frozen=True)
class FlowConfig:
    """Everything that a training run depends on.

    Attributes:
        representation: axis-angle or 6D.
        depth: steps of the flow.
        hidden: widths of a coupling's network.
        kind: couplings, or parametric ReLUs.
        noise: standard deviation added to every number of every pose, radians for axis-angle. Poses lie on a
            thinner set than the space (6D numbers of rotations; joints that never move), and a density of such a
            set has no upper bound: this is the least thickness that the flow may see.
        mixed: share of training poses that are put together of two people's (see `limbs_mixed`).
        steps: optimiser steps.
        batch: poses a step.
        rate: highest learning rate (Adam, one cycle).
        seed: of all random draws.
    """

    representation: Representation = "rot6d"
    depth: int = 4
    hidden: tuple[int, ...] = (64,)
    kind: StepKind = "nvp"
    noise: float = 0.05
    mixed: float = 0.3
    steps: int = 5000
    batch: int = 1024
    rate: float = 2e-3
    seed: int = 0


def train_flow(
    poses: PoseSet,
    validation: PoseSet,
    config: FlowConfig,
    report: Report = print,
    checkpoint: Path | None = None,
) -> Flow:
    """Train a flow; its first layer starts as the whitening of the data, all else as the identity.

    Args:
        poses: weighted training poses.
        validation: poses for the reports; nothing is chosen by them.
        config: what the run depends on.
        report: called with a line every now and then.
        checkpoint: file that a killed run goes on from.

    Returns:
        The flow, frozen.

    Raises:
        InputError: if the checkpoint is of another run.
    """
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    numbers = pose_numbers(poses.pose, config.representation)
    unseen = thickened(
        pose_numbers(validation.pose, config.representation), config.noise, torch.Generator().manual_seed(1)
    )
    flow = Flow(config.representation, config.depth, config.hidden, config.kind)
    chosen = torch.multinomial(poses.weight, WHITENED_ON, True, generator=generator)
    flow.mixings[0].whiten(thickened(numbers[chosen], config.noise, generator))  # type: ignore[operator]
    optimiser = torch.optim.Adam(flow.parameters(), lr=config.rate)
    plan = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.rate, total_steps=config.steps, pct_start=0.1
    )
    state = Checkpoint(checkpoint, config)
    parts = {"flow": flow, "optimiser": optimiser, "plan": plan}
    first = state.restore(parts, generator)
    began = time.time()
    for step in range(first + 1, config.steps + 1):
        chosen = torch.multinomial(poses.weight, config.batch, True, generator=generator)
        batch = limbs_mixed(numbers[chosen], config.mixed, generator)
        loss = flow.energy_at(thickened(batch, config.noise, generator)).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 10.0)
        optimiser.step()
        plan.step()
        if step % REPORT_EVERY == 0 or step == config.steps:
            with torch.no_grad():
                held_out = float(flow.log_prob_at(unseen).mean())
            rate = (step - first) / (time.time() - began)
            report(
                f"step {step}/{config.steps}  {rate:.1f} steps/s  log-likelihood in nats: "
                f"train {-float(loss.detach()):.2f}  validation {held_out:.2f}"
            )
            state.keep(parts, generator, step)
    state.done()
    return flow.eval().requires_grad_(False)


def pose_numbers(pose: Tensor, representation: Representation) -> Tensor:
    """Axis-angle poses (N, 72), or (N, 69) without the global orientation, to the prior's numbers (N, D)."""
    return to_coordinates(axis_angle_to_rotmat(pose[:, -69:].float().unflatten(1, (23, 3))), representation)


def thickened(numbers: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Numbers with Gaussian noise added."""
    return numbers + noise * torch.randn(numbers.shape, generator=generator)


LIMBS = (
    (0, 3, 6, 9),  # left leg, in the order of SMPL's body joints, without the pelvis
    (1, 4, 7, 10),
    (12, 15, 17, 19, 21),  # left arm with its collar
    (13, 16, 18, 20, 22),
    (11, 14),  # neck and head
)
"""Joints that move together; what is in none of them is the spine."""


def limbs_mixed(numbers: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Poses (N, D) of which a share has each limb, with even odds, from the pose before it in the batch.

    Motion capture of few subjects does not hold all combinations of what their limbs do; the prior should not take
    those that are missing for impossible.
    """
    if share == 0:
        return numbers
    joints = numbers.unflatten(1, (23, -1))
    mixed = torch.rand(len(numbers), generator=generator) < share
    for limb in LIMBS:
        swapped = mixed & (torch.rand(len(numbers), generator=generator) < 0.5)
        other = joints.roll(1, 0)[:, list(limb)]
        joints = joints.index_copy(
            1, torch.tensor(limb), torch.where(swapped[:, None, None], other, joints[:, list(limb)])
        )
    return joints.flatten(1)
