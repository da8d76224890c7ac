"""A run that trains a consistency network (MION, Liu et al. 2021, section 3.3): its recipe, its data, its folder."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.labels import Labels
from bodyloop.data.mixture import Draw
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.nets.backbones import LANDMARKS
from bodyloop.nets.build import build, load_estimator
from bodyloop.nets.cen import Cen, CenConfig, load_cen
from bodyloop.nets.hmr import HmrConfig
from bodyloop.train.candidates import CandidateStock, candidates_in
from bodyloop.train.cen import CenTraining, Judged, train_cen
from bodyloop.train.config import CandidateStart, Recipe, Scale
from bodyloop.train.feed import Feed
from bodyloop.train.larder import Pantry, Tools, candidates_of, seen, shipped_backbones
from bodyloop.train.recipes import mrt
from bodyloop.train.regressor import Regressor
from bodyloop.train.run import Machine
from bodyloop.train.run_files import LAST, STATE, settle

ERROR = "distance_mm"
"""How far off the mean distance of a body is, on the mean over all candidates of the validation people."""
AT_ONCE = 50
"""People whose candidates are judged together."""


@dataclass(frozen=True)
class CenRecipe:
    """Everything that the training of a consistency network depends on.

    Attributes:
        name: of the recipe.
        source: where its numbers come from.
        people: of a refining transformer: its first phase's data, validation people, candidates and augmentation are
            those of this network; for `CenTraining.refined` it is trained first, and makes candidates better.
        training: network and optimiser.
    """

    name: str
    source: str
    people: Recipe
    training: CenTraining

    def __post_init__(self) -> None:
        if self.people.candidates is None:
            raise InputError(
                "people: expected the recipe of a network that starts from candidates, as mrt; got one without"
            )

    @property
    def steps(self) -> int:
        """Of the optimiser."""
        return self.training.steps

    @property
    def start(self) -> str:
        """Of the backbone."""
        return self.training.start


@dataclass(frozen=True)
class TrainedCen:
    """What came of a run.

    Attributes:
        weights: of the last step.
        error: `ERROR`.
    """

    weights: Path
    error: float


def cen(scale: Scale = "cpu") -> CenRecipe:
    """The consistency network on the people of `mrt`: the paper's at scale gpu (section 3.4), else a small one."""
    training = {
        "gpu": CenTraining(),
        "cpu": CenTraining.small(),
        "smoke": replace(
            CenTraining.small(2), network=CenConfig("resnet18", 8, 64, 20), batch=4, start="random"
        ),
    }[scale]
    return CenRecipe("cen", "Liu et al. 2021 (MION), sections 3.3 and 3.4", mrt(scale), training)


def cen_lessons(
    recipe: Recipe, training: CenTraining, pantry: Pantry, tools: Tools
) -> tuple[Feed, dict[int, CandidateStock]]:
    """What the consistency network learns from: the people of the transformer's recipe, with all 3D labels there are.

    Args:
        recipe: the transformer's.
        training: the consistency network's.
        pantry, tools: have or make the people's crops and candidates.
    """
    sources, stocks, weights = [], {}, []
    for number, data in enumerate(recipe.phases[0].data):
        source = CropSource(pantry.crops(data, recipe), Labels(), data.skeleton)
        stocks[number] = candidates_of(source, recipe, recipe.candidates or CandidateStart(), pantry, tools)
        sources.append(source)
        weights.append(data.weight)
    augment = replace(recipe.augment, resolution=training.network.resolution)
    batches = CropBatches(sources, augment, pantry.body)
    own = training.network
    if recipe.versions and own.backbone in LANDMARKS and not training.refined:
        # As of regression networks that see by it.
        looking = replace(recipe, network=HmrConfig(own.backbone, own.width, own.resolution), candidates=None)
        network = build(looking.network, looking.seed, shipped_backbones(looking))
        batches = seen(batches, looking, network, pantry, tools)
    return Feed(batches, weights, training.batch, seed=training.seed), stocks


def train_cen_network(
    recipe: CenRecipe,
    out: Path,
    pantry: Pantry,
    tools: Tools,
    machine: Machine | None = None,
    *,
    resume: bool = False,
) -> TrainedCen:
    """Train a consistency network, on one device and in single precision.

    The folder gets recipe.json, the weights (`LAST`), and while it lasts a state to go on from.

    Args:
        recipe: what to do.
        out: folder of this run alone.
        pantry: has the crops.
        tools: what is told, and progress.
        machine: its accelerator and workers count.
        resume: go on with the run in the folder, if there is one.

    Raises:
        InputError: a folder that holds another run, several devices, or data that are not there.
    """
    machine = machine or Machine()
    device = machine.device
    settle(recipe, out, resume)
    training = recipe.training
    if not (out / LAST).exists():
        refiner = None
        if training.refined:
            network = load_estimator(tools.trained(recipe.people) / LAST)
            refiner = Regressor(network.to(device), pantry.body.to(device))
        feed, stocks = cen_lessons(recipe.people, training, pantry, tools)
        weights, workers = out / LAST, machine.workers
        train_cen(
            feed, stocks, pantry.body, weights, training, tools.tell, refiner, workers, device, out / STATE
        )
    return TrainedCen(out / LAST, cen_error(load_cen(out / LAST), recipe.people, pantry, tools))


@torch.no_grad()
def cen_error(network: Cen, recipe: Recipe, pantry: Pantry, tools: Tools) -> float:
    """`ERROR` of a network on the validation people of a transformer's recipe.

    Raises:
        InputError: if none of them has 3D labels.
    """
    body, start = pantry.body, recipe.candidates or CandidateStart()
    data = recipe.validation
    skeleton = recipe.phases[0].data[0].skeleton  # candidates are found by what is labelled in training
    source = CropSource(pantry.crops(data, recipe), Labels(), skeleton)
    stock = candidates_of(source, recipe, start, pantry, tools)
    augment = AugmentConfig.none(network.config.resolution, recipe.augment.margin)
    batches, judged = CropBatches([source], augment, body), Judged(body, network.config)
    off: list[torch.Tensor] = []
    for first in range(0, batches.sizes[0], AT_ONCE):
        draws = [Draw(0, row, row) for row in range(first, min(first + AT_ONCE, batches.sizes[0]))]
        batch = batches.lesson(draws, stream(0)).batch
        known = batch.has_pose & batch.has_orientation & batch.has_betas
        for which in range(stock.count):
            share = torch.full((len(draws),), (which + 0.5) / stock.count)
            bodies = candidates_in(batch, {0: stock}, body, share)
            found = network(batch.image, network.view(body, bodies, batch.camera)).mean(1)
            off.append((found - judged.distances(bodies, batch.bodies).mean(1)).abs()[known])
    errors = torch.cat(off)
    if not len(errors):
        raise InputError(
            f"nobody of {data} has SMPL parameters to be judged by; choose other validation people"
        )
    return 1000 * float(errors.mean())
