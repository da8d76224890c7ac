"""Training of the consistency network (MION, Liu et al. 2021, section 3.3, eq. 10).

The paper draws one candidate of a person, and asks how far another one is from it. Synthetic people are drawn already:
their true body takes the place of the first.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.batch import Batch
from bodyloop.data.synthetic.streams import stream
from bodyloop.nets.backbones import SHIPPED, load_backbone
from bodyloop.nets.cen import Cen, CenConfig, save_cen
from bodyloop.nets.landmarks import LandmarkNet
from bodyloop.train.candidates import CandidateStock, candidates_in
from bodyloop.train.checkpoint import Checkpoint
from bodyloop.train.feed import Feed
from bodyloop.train.regressor import Regressor

REPORT_EVERY = 200  # steps between reports and checkpoints
_CHOICE = 51  # which random stream


@dataclass(frozen=True)
class CenTraining:
    """Everything that a training run depends on, but for the data; as it stands, the paper's (section 3.4).

    Attributes:
        network: the sizes.
        steps: of the optimiser.
        batch: people a step.
        optimiser: "sgd", whose rate falls to a tenth half-way; "adamw", ours, whose rate rises over the first hundredth
            and falls to 0. Of momentum the paper says nothing: 0.9.
        rate: of learning.
        refined: share of the people whose candidate the refining network has made better, as those are that are judged
            in the end; the paper's are candidates as they are.
        several: candidates of each person a step; the paper's are one.
        within: weight of how far a person's candidates' mean distances from their mean over these candidates are off:
            what choosing one of them depends on, in which people do not differ. Ours.
        nearer: share of the candidates that are brought nearer to the truth, as fits of candidates are: each joint's
            rotation becomes the true one by a chance that is drawn for the candidate. Ours.
        start: of the backbone: random weights, or those of the one that ships.
        seed: of all random draws.
    """

    network: CenConfig = field(default_factory=CenConfig)
    steps: int = 100_000
    batch: int = 64
    optimiser: Literal["sgd", "adamw"] = "sgd"
    rate: float = 0.01
    refined: float = 0.0
    several: int = 1
    within: float = 0.0
    nearer: float = 0.0
    start: Literal["random", "shipped"] = "random"
    seed: int = 0

    @classmethod
    def small(cls, steps: int = 2000) -> "CenTraining":
        """For two cores."""
        return cls(
            CenConfig.small(), steps, 64, "adamw", 1e-3, several=4, within=4.0, nearer=0.5, start="shipped"
        )

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, from 1 on."""
        if self.optimiser == "sgd":
            return self.rate if 2 * step <= self.steps else self.rate / 10
        warm = min(1.0, step / max(1.0, 0.01 * self.steps))
        return self.rate * min(warm, 0.5 + 0.5 * math.cos(math.pi * step / self.steps))


class Judged:
    """Bodies beside the truth: what the network learns to say of them."""

    def __init__(self, body: BodyModel, config: CenConfig) -> None:
        """For networks of one size."""
        self.body, self.config = body, config
        everything = torch.arange(len(body.v_template), device=body.device)
        self.vertices = (
            everything if config.points == len(everything) else body.spread_vertices(config.points)
        )

    def distances(self, bodies: Bodies, truth: Bodies) -> Tensor:
        """Metres (B, points) between the vertices of two bodies whose pelvises are in one place."""
        mine, theirs = (
            self.body.chosen_vertices(
                Bodies(b.rotations, b.betas, torch.zeros_like(b.translation)), self.vertices
            )
            - self.body.rest_pelvis(b.betas)[:, None]
            for b in (bodies.to(self.body.v_template), truth.to(self.body.v_template))
        )
        return (mine - theirs).norm(dim=-1)


def train_cen(
    feed: Feed,
    stocks: Mapping[int, CandidateStock],
    body: BodyModel,
    path: Path,
    training: CenTraining,
    tell: Callable[[str], None],
    refiner: Regressor | None = None,
    workers: int = 0,
    device: torch.device | str = "cpu",
    state: Path | None = None,
) -> Cen:
    """Train and write the network (safetensors, half precision); a killed run goes on from its checkpoint.

    Args:
        feed: lessons of people, of whom those with SMPL parameters count; those that hold what a backbone of landmarks
            saw are for networks that see by it, and for candidates that are not refined.
        stocks: candidates of its sources, by number.
        body: the model.
        path: of the weights.
        training: settings.
        tell: called with a line now and then.
        refiner: the network that makes candidates better, for `CenTraining.refined`.
        workers: processes that make batches; they do not matter to the result.
        device: to train on; the refiner is there already.
        state: of the checkpoint; beside the weights if None.

    Raises:
        InputError: if the checkpoint is of another run.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        network = Cen(training.network)
    if training.start == "shipped":
        load_backbone(network.backbone, training.network.backbone, SHIPPED)
    network, body = network.to(device), body.to(device)
    judged = Judged(body, training.network)
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimiser = (
        torch.optim.SGD(parameters, training.rate, momentum=0.9)
        if training.optimiser == "sgd"
        else torch.optim.AdamW(parameters, training.rate, weight_decay=0.01)
    )
    parts = {"network": network, "optimiser": optimiser}
    checkpoint = Checkpoint(state or path.with_suffix(".ckpt"), training)
    generator, total = torch.Generator(), 0.0
    first = checkpoint.restore(parts, generator)
    network.train()
    for step, lesson in enumerate(feed.lessons(first, training.steps, workers), first + 1):
        for group in optimiser.param_groups:
            group["lr"] = training.rate_at(step)
        lesson = lesson.to(device)
        batch, features = lesson.batch, lesson.features
        seen = None if features is None else features["image"]
        if seen is None and isinstance(network.backbone, LandmarkNet):
            seen = network.look(batch.image)
        drawn = [_drawn(batch, stocks, body, refiner, training, step, k) for k in range(training.several)]
        known = batch.has_pose & batch.has_orientation & batch.has_betas
        wanted = torch.stack([judged.distances(bodies, batch.bodies) for bodies in drawn])
        views = [network.view(body, bodies, batch.camera) for bodies in drawn]
        found = torch.stack([network(batch.image, view.to(wanted), seen) for view in views])
        if bool(known.any()):  # otherwise there is nothing to learn from
            found, wanted = found[:, known], wanted[:, known]
            loss = (found - wanted).abs().mean()
            if training.within:
                means, right = found.mean(-1), wanted.mean(-1)
                off = (means - means.mean(0)) - (right - right.mean(0))
                loss = loss + training.within * off.abs().mean()
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            total += float((found.detach() - wanted).abs().mean())
        if step % REPORT_EVERY == 0 or step == training.steps:
            since = (step - 1) % REPORT_EVERY + 1
            tell(f"step {step:,} of {training.steps:,}: distances off by {1000 * total / since:.1f} mm")
            total = 0.0
            checkpoint.keep(parts, generator, step)
    network = network.cpu().eval()
    save_cen(network, path)
    checkpoint.done()
    return network


@torch.no_grad()
def _drawn(
    batch: Batch,
    stocks: Mapping[int, CandidateStock],
    body: BodyModel,
    refiner: Regressor | None,
    training: CenTraining,
    step: int,
    which: int,
) -> Bodies:
    """One candidate a person, some of them refined or nearer to the truth."""
    rng = stream(_CHOICE, training.seed, step, which)
    share, better, nearer, chance = (torch.from_numpy(rng.random(len(batch))) for _ in range(4))
    candidates = candidates_in(batch, stocks, body, share)
    rows = (better < training.refined).nonzero()[:, 0].to(batch.flipped.device)
    if refiner is not None and len(rows):
        refiner.network.eval()
        found = refiner.refined(batch[rows], candidates[rows])
        candidates = Bodies(
            candidates.rotations.index_copy(0, rows, found.rotations),
            candidates.betas.index_copy(0, rows, found.betas),
            candidates.translation.index_copy(0, rows, found.translation),
        )
    if training.nearer:
        turned = (
            torch.from_numpy(rng.random((len(batch), 24))) < (chance * (nearer < training.nearer))[:, None]
        )
        true = turned.to(batch.flipped.device)[..., None, None]
        candidates = replace(
            candidates, rotations=torch.where(true, batch.bodies.rotations, candidates.rotations)
        )
    return candidates
