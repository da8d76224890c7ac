"""What MION's tables are measured by: the networks, the paths of all test people, and what was found on each.

One measurement serves all tables: each person's candidates, each made better by the transformer, and judged by the
consistency network and by the energy of a fit.
"""

import hashlib
import io
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodyloop.annotate.people import judge_people
from bodyloop.body import Bodies, BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.mixture import Draw
from bodyloop.data.synthetic.streams import stream
from bodyloop.evaluate.metrics import mpjpe, pa_mpjpe, pve
from bodyloop.evaluate.tables import Figures
from bodyloop.fit.pool import default_pool
from bodyloop.nets.build import load_estimator
from bodyloop.nets.cen import Cen, CenConfig, load_cen
from bodyloop.nets.mrt import Encoding
from bodyloop.studies.networks import Tell, Workshop, for_table, from_classifier, test_people, train_all
from bodyloop.studies.study import Asked
from bodyloop.train.candidates import CandidateStock, find_candidates, observed
from bodyloop.train.cen import CenTraining, train_cen
from bodyloop.train.cen_run import cen_lessons
from bodyloop.train.config import CandidateStart, Recipe, Scale, SyntheticData
from bodyloop.train.larder import Pantry
from bodyloop.train.recipes import SIZES, mrt, spin
from bodyloop.train.regressor import Regressor
from bodyloop.train.run import LAST
from bodyloop.train.settings import to_text
from bodyloop.train_jobs import TrainingJob, make_tools
from bodyloop.writing import make_folder, write_atomic

PATHS = 6
"""Candidates of each person; the paper ends up with 5 (table 1)."""
CHOSEN = 5
BATCH = 50
"""People at a time."""
TIMES = 2
"""Steps of the networks, as a multiple of a table's usual number: the paper's start from ImageNet."""
CEN_STEPS: dict[Scale, int] = {"smoke": 2, "cpu": 4000, "gpu": 20_000}


@dataclass(frozen=True, eq=False)
class Measured:
    """What was found of N test people on K paths; errors in mm.

    Attributes:
        mpjpe, pa, pve: (N, K) of the transformer's answers.
        betas: (N, K) L2 distance of the shape coefficients.
        cen: (N, K) the consistency network's mean distance, metres.
        energy: (N, K) of a fit, at the answers.
        start_mpjpe, start_pa: (N, K) of the candidates as they are.
    """

    mpjpe: np.ndarray
    pa: np.ndarray
    pve: np.ndarray
    betas: np.ndarray
    cen: np.ndarray
    energy: np.ndarray
    start_mpjpe: np.ndarray
    start_pa: np.ndarray

    def figures(self, path: np.ndarray) -> Figures:
        """Means over the people, each on one path (N,)."""
        rows = np.arange(len(path))
        mean = {
            name: float(getattr(self, name)[rows, path].mean()) for name in ("mpjpe", "pa", "pve", "betas")
        }
        return Figures(
            mpjpe_mm=mean["mpjpe"], pa_mpjpe_mm=mean["pa"], mpvpe_mm=mean["pve"], betas_l2=mean["betas"]
        )

    def random(self, paths: int) -> Figures:
        """Means over the people and the first so many paths."""
        return Figures(
            mpjpe_mm=float(self.mpjpe[:, :paths].mean()),
            pa_mpjpe_mm=float(self.pa[:, :paths].mean()),
            mpvpe_mm=float(self.pve[:, :paths].mean()),
            betas_l2=float(self.betas[:, :paths].mean()),
        )

    def by(self, what: str, paths: int) -> Figures:
        """On the path of the least ``cen``, ``energy`` or ``mpjpe`` of the first so many."""
        return self.figures(getattr(self, what)[:, :paths].argmin(1))


def mion_recipe(asked: Asked, seed: int, encoding: Encoding = "pncc") -> Recipe:
    """The transformer's."""
    return _begun(for_table(mrt(asked.scale, encoding), asked.scale, asked.mocap, seed, TIMES), asked)


def spin_recipe(asked: Asked, seed: int) -> Recipe:
    """The network of table 6 and of the speeds beside ours."""
    return _begun(for_table(spin(asked.scale), asked.scale, asked.mocap, seed, TIMES), asked)


def _begun(recipe: Recipe, asked: Asked) -> Recipe:
    return from_classifier(recipe) if asked.classifier else recipe


def cen_training(asked: Asked, seed: int) -> CenTraining:
    """The consistency network's."""
    if asked.scale == "gpu":
        return CenTraining(steps=CEN_STEPS["gpu"], seed=seed)
    training = CenTraining.small(CEN_STEPS[asked.scale])
    if asked.scale == "smoke":
        return replace(training, network=CenConfig("resnet18", 8, 64, 20), batch=4, start="random", seed=seed)
    return replace(training, seed=seed)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Bench:
    """Where everything of the tables is made, once; the small networks of seed 0 are those that ship.

    Attributes:
        asked: scale and poses.
        seed: of the networks.
        shop: where they are trained.
        tell: called with a line now and then.
    """

    asked: Asked
    seed: int
    shop: Workshop
    tell: Tell

    def people(self) -> SyntheticData:
        """On whom all is measured."""
        return test_people("wild", self.asked.scale, self.asked.mocap, SIZES[self.asked.scale].picture)

    def measured(self, encoding: Encoding = "pncc") -> Measured:
        """Of the test people; networks that are missing are trained."""
        recipe, cen = mion_recipe(self.asked, self.seed, encoding), cen_training(self.asked, self.seed)
        key = _digest(to_text(recipe), repr(asdict(cen)), to_text(self.people()), str(PATHS))
        file = self.shop.folder / f"mion-{key}.npz"
        if not file.exists():
            train_all([recipe], self.shop, self.tell)
            judge = load_cen(self.cen()).to(self.shop.device)
            pantry = self.shop.pantry(self.tell)
            found = measure_paths(self.refiner(recipe, pantry.body), judge, recipe, self.people(), pantry)
            _save(file, found)
        with np.load(file) as stored:
            return Measured(**{name: stored[name] for name in stored.files})

    def network_figures(self, recipe: Recipe) -> Figures:
        """Of a network that starts from no candidate."""
        key = _digest(to_text(recipe), to_text(self.people()), "alone")
        file = self.shop.folder / f"mion-{key}.json"
        if not file.exists():
            train_all([recipe], self.shop, self.tell)
            pantry = self.shop.pantry(self.tell)
            regressor = self.refiner(recipe, pantry.body)
            write_atomic(file, json.dumps(asdict(_alone(regressor, recipe, self.people(), pantry))).encode())
        return Figures(**json.loads(file.read_text()))

    def refiner(self, recipe: Recipe, body: BodyModel) -> Regressor:
        """A trained network with its losses, where networks are judged."""
        network = load_estimator(self.shop.run_folder(recipe) / LAST)
        return Regressor(network.to(self.shop.device), body.to(self.shop.device))

    def cen(self) -> Path:
        """The consistency network's weights; large ones see what the transformer makes of some candidates."""
        training, recipe = cen_training(self.asked, self.seed), mion_recipe(self.asked, self.seed)
        file = (
            self.shop.folder / f"cen-{_digest(repr(asdict(training)), to_text(recipe))}" / "cen.safetensors"
        )
        if file.exists():
            return file
        make_folder(file.parent)
        pantry, refiner = self.shop.pantry(self.tell), None
        if training.refined:
            train_all([recipe], self.shop, self.tell)
            refiner = self.refiner(recipe, pantry.body)
        job = TrainingJob(recipe.name, file.parent, mocap=self.shop.mocap, cache=self.shop.cache)
        tools = make_tools(job, pantry.body, self.tell, lambda what, done, wanted: None)
        feed, stocks = cen_lessons(recipe, training, pantry, tools)
        train_cen(feed, stocks, pantry.body, file, training, self.tell, refiner, device=self.shop.device)
        return file


def _save(file: Path, found: Measured) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **vars(found))
    write_atomic(file, buffer.getvalue())


def plain_crops(people: SyntheticData, recipe: Recipe, side: int, pantry: Pantry) -> CropBatches:
    """People as they are, in crops of so many pixels."""
    source = CropSource(pantry.crops(people, recipe), people.labels, people.skeleton)
    return CropBatches([source], AugmentConfig.none(side, recipe.augment.margin), pantry.body)


@torch.no_grad()
def measure_paths(
    refiner: Regressor, judge: Cen, recipe: Recipe, people: SyntheticData, pantry: Pantry
) -> Measured:
    """All paths of all people.

    Args:
        refiner: the transformer's, on any device.
        judge: the consistency network, there too.
        recipe: the transformer's.
        people: on whom both are measured.
        pantry: has their crops, or draws them.
    """
    body = pantry.body
    batches = plain_crops(people, recipe, recipe.network.resolution, pantry)
    pictures = plain_crops(people, recipe, judge.config.resolution, pantry)
    refiner.network.eval()
    device = refiner.body.v_template.device
    start = recipe.candidates or CandidateStart()
    parts: dict[str, list[Tensor]] = {}
    for first in range(0, batches.sizes[0], BATCH):
        draws = [Draw(0, row, row) for row in range(first, min(first + BATCH, batches.sizes[0]))]
        batch, picture = (b.lesson(draws, stream(0)).batch for b in (batches, pictures))
        seen, shown = batch.to(device), picture.to(device)
        evidence = observed(batch.evidence(), start.noise, 1, first)
        stock = find_candidates(pantry.pool or default_pool(), body, evidence, batch.camera, PATHS)
        columns: dict[str, list[Tensor]] = {}
        for path in range(PATHS):
            candidate = path_of(stock, body, batch.crop_angle, batch.flipped, path)
            answers = refiner.refined(seen, candidate.to(device))
            distance = judge(shown.image, judge.view(refiner.body, answers, shown.camera)).mean(1)
            found = answers.to("cpu")
            joints, truth = body.joints(found), body.joints(batch.bodies)
            fits = judge_people("path", found, evidence, batch.camera, body)
            values = {
                "mpjpe": mpjpe(joints, truth),
                "pa": pa_mpjpe(joints, truth),
                "pve": pve(body.vertices(found), body.vertices(batch.bodies), joints[:, 0], truth[:, 0]),
                "betas": (found.betas - batch.bodies.betas).norm(dim=1),
                "cen": distance.cpu(),
                "energy": fits.energy,
                "start_mpjpe": mpjpe(body.joints(candidate), truth),
                "start_pa": pa_mpjpe(body.joints(candidate), truth),
            }
            for name, value in values.items():
                columns.setdefault(name, []).append(value.double())
        for name, several in columns.items():
            parts.setdefault(name, []).append(torch.stack(several, 1))
    return Measured(**{name: torch.cat(values).numpy() for name, values in parts.items()})


def path_of(stock: CandidateStock, body: BodyModel, angle: Tensor, flipped: Tensor, path: int) -> Bodies:
    """The candidates of one path, as the crops of all people show them."""
    rows = torch.arange(len(stock.pose))
    return stock.get(body, rows, torch.full_like(rows, path), angle, flipped)


@torch.no_grad()
def _alone(regressor: Regressor, recipe: Recipe, people: SyntheticData, pantry: Pantry) -> Figures:
    body, batches = pantry.body, plain_crops(people, recipe, recipe.network.resolution, pantry)
    regressor.network.eval()
    errors: dict[str, list[Tensor]] = {}
    for first in range(0, batches.sizes[0], BATCH):
        draws = [Draw(0, row, row) for row in range(first, min(first + BATCH, batches.sizes[0]))]
        batch = batches.lesson(draws, stream(0)).batch
        seen = batch.to(regressor.body.v_template.device)
        found = regressor.placed(regressor.network(regressor.crops(seen)), seen).to("cpu")
        joints, truth = body.joints(found), body.joints(batch.bodies)
        values = {
            "mpjpe_mm": mpjpe(joints, truth),
            "pa_mpjpe_mm": pa_mpjpe(joints, truth),
            "mpvpe_mm": pve(body.vertices(found), body.vertices(batch.bodies), joints[:, 0], truth[:, 0]),
            "betas_l2": (found.betas - batch.bodies.betas).norm(dim=1),
        }
        for name, value in values.items():
            errors.setdefault(name, []).append(value.double())
    return Figures(**{name: float(torch.cat(values).mean()) for name, values in errors.items()})
