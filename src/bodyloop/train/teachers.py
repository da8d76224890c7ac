"""Bodies of people whom nobody labelled in 3D, said by somebody else: fits, networks, files. They act like labels.

Moon et al., "Three Recipes for Better 3D Pseudo-GTs of 3D Human Mesh Estimation in the Wild", 2023, section 2.1: what
an annotation network f says of its own training pictures is what the estimation network g is fully supervised with.
Whatever the teacher, its answers are kept as a fits dictionary, upright and not mirrored.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource, Lesson, Wanted
from bodyloop.data.mixture import Draw
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.nets.build import load_estimator
from bodyloop.nets.cen import Cen, default_cen
from bodyloop.nets.estimator import Estimator
from bodyloop.train.config import (
    CandidateLabels,
    Data,
    FileLabels,
    FitLabels,
    LoopLabels,
    NetworkLabels,
    Recipe,
    SyntheticData,
    Teacher,
)
from bodyloop.train.fits import FitsDictionary, chosen, reprojection_error
from bodyloop.train.larder import Larder, Pantry, Tools, fitted, fitted_data, plain, source_of
from bodyloop.train.regressor import Regressor
from bodyloop.train.run_files import LAST, STATE
from bodyloop.train.settings import digest
from bodyloop.writing import make_folder

AT_ONCE = 64
"""People whom a network labels together."""


class Taught:
    """Puts a teacher's bodies where labels would stand."""

    def __init__(self, body: BodyModel, dictionaries: Mapping[int, tuple[FitsDictionary, float]]) -> None:
        """Prepare.

        Args:
            body: on the network's device.
            dictionaries: of the sources of a batch, by number (`Batch.source`), with the largest error
                (`reprojection_error`) of a body that supervises.
        """
        self.body, self.dictionaries = body, dictionaries
        self.points, self.known = body.keypoints(UNION45)

    @torch.no_grad()
    def __call__(self, lesson: Lesson) -> Lesson:
        """The lesson with SMPL parameters and 3D joints for those who have neither pose nor orientation labelled.

        People of whom the teacher says nothing, or nothing good enough, stay as they are.
        """
        batch = lesson.batch
        unknown = ~(batch.has_pose | batch.has_orientation | batch.has_betas)
        bodies, taught = batch.bodies, torch.zeros_like(unknown)
        for number, (dictionary, threshold) in self.dictionaries.items():
            here = (batch.source == number) & unknown
            if not here.any():
                continue
            said, error = dictionary.get(torch.where(here, batch.row, 0), batch.crop_angle, batch.flipped)
            good = here & torch.isfinite(error) & (error < threshold)
            bodies, taught = chosen(good, said, bodies), taught | good
        if not taught.any():
            return lesson
        joints = self.body.points(bodies, self.points)
        mask = taught[:, None] & self.known.to(taught)
        batch = replace(
            batch,
            bodies=bodies,
            joints=torch.where(mask[..., None], joints, batch.joints),
            joints_known=mask | batch.joints_known,
            joints_absolute=taught | batch.joints_absolute,
            **{f"has_{name}": taught | getattr(batch, f"has_{name}") for name in _TAUGHT},
        )
        return replace(lesson, batch=batch)


_TAUGHT = ("pose", "orientation", "betas", "translation")


@torch.no_grad()
def label_people(
    network: Estimator,
    recipe: Recipe,
    source: CropSource,
    pantry: Pantry,
    device: torch.device | str = "cpu",
    progress: Callable[[int, int], None] = lambda done, wanted: None,
) -> FitsDictionary:
    """What a network says of everybody in a data set, with `reprojection_error`; nothing where too little is seen.

    Args:
        network: any regression network.
        recipe: whose crops it looks at.
        source: the people, with the 2D keypoints by which bodies are judged (and networks without a camera are placed).
        pantry: has the body.
        device: to run on.
        progress: called with the numbers of people who are done and wanted.
    """
    body = pantry.body.to(device)
    network = network.to(device).eval()
    regressor = Regressor(network, body)
    partition = getattr(network.config, "partition", "densepose") if "parts" in network.inputs else None
    upright = plain(source, recipe, pantry, Wanted(partition, "iuv" in network.inputs))
    count = len(source.crops)
    found = FitsDictionary(count, pantry.body)
    for first in range(0, count, AT_ONCE):
        draws = [Draw(0, row, row) for row in range(first, min(first + AT_ONCE, count))]
        batch = upright.lesson(draws, stream(0)).batch.to(device)
        bodies = regressor.placed(network(regressor.crops(batch)), batch)
        error = reprojection_error(body, bodies, batch)
        found.offer(batch.row, bodies, error, batch.crop_angle, batch.flipped)
        progress(first + len(draws), count)
    return found


@dataclass(frozen=True, eq=False)
class Question:
    """Who is to be labelled, and what there is to do it with.

    Attributes:
        data: the people.
        source: the same, on disk.
        recipe: of the network that will be taught.
        pantry, tools: as of the run.
        device: that networks run on.
    """

    data: Data
    source: CropSource
    recipe: Recipe
    pantry: Pantry
    tools: Tools
    device: torch.device | str = "cpu"


def _of_file(teacher: FileLabels, asked: Question) -> tuple[FitsDictionary, float]:
    path = Path(teacher.path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; expected labels as bodyloop.train.fits.FitsDictionary saves them"
        )
    found, count = FitsDictionary.load(path, asked.pantry.body), len(asked.source.crops)
    if len(found) < count:
        raise InputError(
            f"{path}: expected labels of {count:,} people, got {len(found):,}; label all of them"
        )
    return found, float("inf")


def _of_fits(teacher: FitLabels, asked: Question) -> tuple[FitsDictionary, float]:
    found = fitted(asked.source, asked.recipe, asked.pantry, asked.tools, teacher.start)
    return found, teacher.threshold


def _of_candidates(teacher: CandidateLabels, asked: Question) -> tuple[FitsDictionary, float]:
    source, body = asked.source, asked.pantry.body
    kept = f"{source.skeleton or 'all'}-{source.labels.keypoints:g}-{source.labels.seed}-{len(source.crops)}"
    file = source.crops.folder / f"labels-candidates-{teacher.count}-{kept}.safetensors"
    if not file.exists():
        asked.tools.tell(
            f"fits of {source.crops.spec.name} from {teacher.count} candidates, {len(source.crops):,} people"
        )
        choose_candidates(default_cen(), teacher.count, asked).save(file)
    return FitsDictionary.load(file, body), teacher.threshold


@torch.no_grad()
def choose_candidates(judge: Cen, count: int, asked: Question) -> FitsDictionary:
    """Fits from candidates of everybody in a data set, the one of each person that a network finds nearest to the
    picture (Liu et al. 2021, section 3.3), with `reprojection_error`.

    Args:
        judge: the consistency network.
        count: candidates of each person.
        asked: about whom.
    """
    body, source, wanted = asked.pantry.body, asked.source, len(asked.source.crops)
    upright = plain(source, asked.recipe, asked.pantry, Wanted())
    shown = AugmentConfig.none(judge.config.resolution, asked.recipe.augment.margin)
    pictures = CropBatches([replace(source, known=None)], shown, body)
    found = FitsDictionary(wanted, body)
    for first in range(0, wanted, AT_ONCE):
        draws = [Draw(0, row, row) for row in range(first, min(first + AT_ONCE, wanted))]
        batch, picture = (batches.lesson(draws, stream(0)).batch for batches in (upright, pictures))
        fits = asked.tools.alternatives(batch.evidence(), batch.camera, count)
        distance = torch.stack(
            [judge(picture.image, judge.view(body, bodies, picture.camera)).mean(1) for bodies in fits]
        )
        best = Bodies.cat(fits)[distance.argmin(0) * len(draws) + torch.arange(len(draws))]
        error = reprojection_error(body, best, batch)
        found.offer(batch.row, best, error, batch.crop_angle, batch.flipped)
        asked.tools.progress("labelling", first + len(draws), wanted)
    return found


def _of_network(teacher: NetworkLabels, asked: Question) -> tuple[FitsDictionary, float]:
    source = source_of(replace(asked.data, teacher=None), teacher.recipe, asked.pantry)
    labels, count = source.labels, len(source.crops)
    kept = f"{source.skeleton or 'all'}-{labels.keypoints:g}-{labels.seed}-{count}"
    file = source.crops.folder / f"labels-{digest(teacher.recipe)}-{kept}.safetensors"
    if not file.exists():
        network = load_estimator(asked.tools.trained(teacher.recipe) / LAST)
        asked.tools.tell(f"labels of {source.crops.spec.name} by {teacher.recipe.name}, {count:,} people")
        make_folder(file.parent)
        label_people(
            network,
            teacher.recipe,
            source,
            asked.pantry,
            asked.device,
            lambda done, wanted: asked.tools.progress("labelling", done, wanted),
        ).save(file)
    return FitsDictionary.load(file, asked.pantry.body), float("inf")


def _of_loop(teacher: LoopLabels, asked: Question) -> tuple[FitsDictionary, float]:
    there = fitted_data(teacher.recipe)
    if teacher.recipe.loop is None:
        raise InputError(
            f"the recipe {teacher.recipe.name!r} has no fits in its loop to be taught by; name another"
        )
    numbers = [i for i, data in enumerate(there) if _has_all(data, asked.data)]
    if not numbers:
        raise InputError(
            f"the recipe {teacher.recipe.name!r} fits other people than {asked.source.crops.spec.name}; give both the "
            "same data set"
        )
    file = asked.tools.trained(teacher.recipe) / STATE
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)["fits"][numbers[0]]
        found = FitsDictionary(len(state["error"]), asked.pantry.body)
        found.load_state_dict(state)
    except (OSError, LookupError, TypeError, RuntimeError) as error:
        raise InputError(
            f"{file}: not the state of a run with fits in its loop ({type(error).__name__}); delete its folder to have "
            "it trained anew"
        ) from None
    return found, teacher.threshold


def _has_all(fitted: Data, wanted: Data) -> bool:
    """Whether the people of a data set are the first of another."""
    if isinstance(fitted, SyntheticData) and isinstance(wanted, SyntheticData):
        same = ("domain", "seed", "split", "size", "poses", "subjects")
        return fitted.count >= wanted.count and all(getattr(fitted, n) == getattr(wanted, n) for n in same)
    return replace(fitted, weight=1.0, teacher=None) == replace(wanted, weight=1.0, teacher=None)


TEACHERS: dict[type, Callable[[Any, Question], tuple[FitsDictionary, float]]] = {
    FileLabels: _of_file,
    FitLabels: _of_fits,
    CandidateLabels: _of_candidates,
    NetworkLabels: _of_network,
    LoopLabels: _of_loop,
}
"""For each kind of `Teacher`, how its dictionary is had, and the largest error of a body that supervises."""


def teach(
    recipe: Recipe, larder: Larder, pantry: Pantry, tools: Tools, device: torch.device | str = "cpu"
) -> list[dict[int, tuple[FitsDictionary, float]]]:
    """Of each phase, what its teachers say, by the number of the data set within it.

    Raises:
        InputError: labels that are not there, are of other people, or cannot be made.
    """
    made: dict[Data, tuple[FitsDictionary, float]] = {}
    found = []
    for phase, batches in zip(recipe.phases, larder.phases, strict=True):
        own = {}
        for number, (data, source) in enumerate(zip(phase.data, batches.sources, strict=True)):
            if data.teacher is None:
                continue
            key = replace(data, weight=1.0)
            if key not in made:
                asked = Question(data, source, recipe, pantry, tools, device)
                made[key] = _ask(data.teacher, asked)
            own[number] = made[key]
        found.append(own)
    return found


def _ask(teacher: Teacher, asked: Question) -> tuple[FitsDictionary, float]:
    return TEACHERS[type(teacher)](teacher, asked)
