"""The question that Moon et al. 2023 leave open: which labels of people in the wild train the better network, ours or
those of an annotation network, and what each costs a person.

The labels are those of `bodyloop.studies.moon.TABLE_2`, which judges the question, made once more of some of the same
people, whose true bodies are known; the networks are that table's.
"""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bodyloop.data.batch import Batch
from bodyloop.data.crop_batches import CropSource, Wanted
from bodyloop.data.labels import Labels
from bodyloop.data.mixture import Draw
from bodyloop.data.synthetic.streams import stream
from bodyloop.evaluate.claims import Claim
from bodyloop.evaluate.metrics import mpjpe, pa_mpjpe, pve
from bodyloop.evaluate.tables import Figures, Row, Table
from bodyloop.nets.build import load_estimator
from bodyloop.nets.cen import default_cen
from bodyloop.studies.moon import CANDIDATES, F_LABELS, FIT, FLOW_FIT, TABLE_2
from bodyloop.studies.networks import Tell, Workshop, from_classifier, measure_cells
from bodyloop.studies.study import Asked
from bodyloop.train.config import CandidateLabels, FitLabels, NetworkLabels, Recipe, Scale, SyntheticData
from bodyloop.train.fits import FitsDictionary, initial_fits
from bodyloop.train.larder import Pantry, Tools, plain
from bodyloop.train.run_files import LAST
from bodyloop.train.teachers import Question, choose_candidates, label_people
from bodyloop.train_jobs import TrainingJob, make_tools

TITLE = "Labels of people in the wild: what they cost, and what they are worth"
LABELS = (FIT, FLOW_FIT, CANDIDATES, F_LABELS)
"""Rows of table 2 whose labels cost something for each person alone."""
PEOPLE: dict[Scale, int] = {"smoke": 6, "cpu": 500, "gpu": 1000}


def network_of(labels: str) -> str:
    """Name of the row of the network that was trained on labels."""
    return f"network trained on: {labels}"


def measure_labels(asked: Asked, shop: Workshop, tell: Tell) -> tuple[Table, list[Claim]]:
    """Train what is missing, label some people anew; of several seeds the first counts.

    Raises:
        InputError: see `measure_cells`.
    """
    seed, count = asked.seeds[0], PEOPLE[asked.scale]
    cells = {row.name: row.cell(asked, seed) for row in TABLE_2.rows if row.name in LABELS}
    if asked.classifier:
        cells = {name: replace(cell, recipe=from_classifier(cell.recipe)) for name, cell in cells.items()}
    worth = measure_cells(cells.values(), shop, tell)
    pantry = shop.pantry(tell)
    job = TrainingJob("moon-labels", shop.folder, mocap=shop.mocap, cache=shop.cache)
    bench = LabelBench(pantry, make_tools(job, pantry.body, tell, lambda what, done, wanted: None), shop)
    rows: list[Row] = []
    for name, cell in cells.items():
        tell(f"labels once more, {count:,} people: {name}")
        network = worth[cell]
        rows += [
            Row(name, None, bench.figures(cell.recipe, count)),
            Row(
                network_of(name),
                None,
                Figures(network.mpjpe_mm, network.mpvpe_mm, network.pa_mpjpe_mm),
            ),
        ]
    poses = "motion capture" if asked.mocap else "the flow prior that ships"
    steps = next(iter(cells.values())).recipe.phases[-1].steps
    scale = (
        f"synthetic people, wild, {count:,} of those who train, poses of {poses}; networks of scale {asked.scale}, "
        f"{steps:,} steps, judged on people of the test split"
    )
    notes = (
        f"Ours: {scale}.",
        "Failures: people who get no label, or one that meets the keypoints too badly to teach. Errors: the others.",
        "Keypoints are exact where people annotate them by hand: what is fitted to is better than a detector's. Labels "
        "of f cost a look at the picture; its training, which they all share, is not counted.",
    )
    return Table(TITLE, tuple(rows), notes), []


@dataclass(frozen=True, eq=False)
class LabelBench:
    """Labels people as a teacher would, without what is kept from before.

    Attributes:
        pantry: has the people.
        tools: fit.
        shop: has the annotation networks.
    """

    pantry: Pantry
    tools: Tools
    shop: Workshop

    @torch.no_grad()
    def figures(self, recipe: Recipe, count: int) -> Figures:
        """Errors of the labels of the first people whom a recipe has a teacher for, and milliseconds a person."""
        data = next(d for d in recipe.phases[0].data if d.teacher is not None)
        assert isinstance(data, SyntheticData), "tables take synthetic people"
        data = replace(data, count=count)
        source = CropSource(self.pantry.crops(data, recipe), data.labels, data.skeleton)
        question = Question(data, source, recipe, self.pantry, self.tools)
        few = replace(data, count=2)
        warm = replace(question, data=few, source=replace(source, crops=self.pantry.crops(few, recipe)))
        self._labelled(warm)
        began = time.perf_counter()
        found, threshold = self._labelled(question)
        spent = time.perf_counter() - began
        truth = self._people(replace(source, labels=Labels()), recipe, range(count))
        rows = torch.arange(count)
        bodies, error = found.get(rows, truth.crop_angle, truth.flipped)
        good = torch.isfinite(error) & (error < threshold)
        body, bodies, true = self.pantry.body, bodies[good], truth.bodies[good]
        joints, right = body.joints(bodies), body.joints(true)
        mesh = pve(body.vertices(bodies), body.vertices(true), joints[:, 0], right[:, 0])
        return Figures(
            mpjpe_mm=float(mpjpe(joints, right).mean()),
            mpvpe_mm=float(mesh.mean()),
            pa_mpjpe_mm=float(pa_mpjpe(joints, right).mean()),
            ms_per_frame=1000 * spent / count,
            failures=1 - float(good.double().mean()),
        )

    def _people(self, source: CropSource, recipe: Recipe, span: range) -> Batch:
        crops = plain(source, recipe, self.pantry, Wanted())
        return crops.lesson([Draw(0, row, row) for row in span], stream(0)).batch

    def _labelled(self, asked: Question) -> tuple[FitsDictionary, float]:
        """Labels, and the largest error of one that teaches."""
        data, body = asked.data, self.pantry.body
        if isinstance(teacher := data.teacher, FitLabels):

            def batch_of(span: range) -> Batch:
                return self._people(asked.source, asked.recipe, span)

            def fit(evidence, camera):  # type: ignore[no-untyped-def]
                return self.tools.fit(evidence, camera, teacher.start)

            with tempfile.TemporaryDirectory() as folder:
                found = initial_fits(len(asked.source.crops), batch_of, body, fit, Path(folder))
            return found, teacher.threshold
        if isinstance(teacher, CandidateLabels):
            return choose_candidates(default_cen(), teacher.count, asked), teacher.threshold
        assert isinstance(teacher, NetworkLabels), "one of those of LABELS"
        network = load_estimator(self.shop.run_folder(teacher.recipe) / LAST)
        return label_people(network, teacher.recipe, asked.source, self.pantry), float("inf")
