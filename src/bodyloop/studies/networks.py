"""Trains the networks of a table, each once for all tables that ask for it, and measures them.

A network belongs to its recipe: the folder is named by a digest of everything the recipe says. Recipes that begin with
the same phases share them: the state after those is where the longer ones begin, which changes nothing, since each step
is a function of the recipe's part up to there. A killed table goes on where it was.
"""

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bodyloop.body import builtin_body
from bodyloop.data.crops import Surface
from bodyloop.evaluate.tables import Figures
from bodyloop.nets.build import build, load_estimator
from bodyloop.processes import end_with_parent
from bodyloop.studies.measure import measured
from bodyloop.train.config import AnyRecipe, Data, Pose2dRecipe, Recipe, Scale, SyntheticData, recipes_before
from bodyloop.train.larder import Pantry, see_before
from bodyloop.train.run import Machine
from bodyloop.train.run_files import LAST, STATE, folder_of
from bodyloop.train.settings import digest
from bodyloop.train_jobs import Trainer, TrainingJob, make_tools, train_recipe, with_mocap
from bodyloop.writing import make_folder, write_atomic

Tell = Callable[[str], None]

STEPS: dict[Scale, int] = {"smoke": 2, "cpu": 1000, "gpu": 5000}
"""Steps of each phase. The papers' numbers of epochs would take days for a table."""
SIGHTED_STEPS = 2000
"""At scale cpu, of networks whose features are kept: they cost a small part."""
TEST_PEOPLE: dict[Scale, int] = {"smoke": 6, "cpu": 500, "gpu": 1000}
TEST_SEED = 1
"""Of the test people: those of seed 0 were looked at while the small networks were chosen."""


@dataclass(frozen=True)
class Cell:
    """A network, and people on whom it is judged.

    Attributes:
        recipe: that trains it.
        people: with all labels.
        trained: otherwise the network is judged as it is before any training.
    """

    recipe: Recipe
    people: SyntheticData
    trained: bool = True


@dataclass(frozen=True)
class Workshop:
    """Where networks are trained, and on what.

    Attributes:
        folder: of all networks.
        crops: of all pictures.
        mocap: folder with motion capture, from which people take their poses; the flow's if None.
        cache: folder for the converted clips.
        accelerator, precision: as of `Machine`.
        workers: networks trained at once; on a GPU processes that make batches.
        backbones: classifiers for recipes that begin with one, as for `find_backbone`.
    """

    folder: Path
    crops: Path
    mocap: Path | None = None
    cache: Path | None = None
    accelerator: str = "cpu"
    precision: str = "32-true"
    workers: int = 1
    backbones: str | Path | None = None

    def pantry(self, tell: Tell = lambda text: None) -> Pantry:
        """For crops; drawing tells how far it is."""
        last = [time.monotonic()]

        def progress(done: int, wanted: int) -> None:
            if time.monotonic() - last[0] > 30:
                last[0] = time.monotonic()
                tell(f"crops: {done:,} of {wanted:,}")

        cores = len(os.sched_getaffinity(0))
        return Pantry(
            self.crops, builtin_body(), Surface.builtin(), self.mocap, self.cache, cores, tell, progress
        )

    @property
    def device(self) -> torch.device:
        """Where networks are judged."""
        on_gpu = self.accelerator != "cpu" and torch.cuda.is_available()
        return torch.device("cuda" if on_gpu else "cpu")

    def run_folder(self, recipe: AnyRecipe) -> Path:
        """Of a recipe's run."""
        return folder_of(recipe, self.folder)


def for_table(recipe: Recipe, scale: Scale, mocap: bool, seed: int, times: int = 1) -> Recipe:
    """A recipe with a table's seed and so many times its steps, which looks at validation people at its end alone."""
    each = SIGHTED_STEPS if recipe.versions else STEPS[scale]
    phases = tuple(replace(phase, steps=times * each) for phase in recipe.phases)
    steps = sum(phase.steps for phase in phases)
    recipe = replace(recipe, phases=phases, seed=seed, validate_every=steps, save_every=min(100, steps))
    return with_mocap(recipe) if mocap else recipe


def from_classifier(what: Any) -> Any:
    """A recipe in which all that begin with random weights, it and those that it needs, begin with a classifier's."""
    if isinstance(what, tuple):
        return tuple(from_classifier(part) for part in what)
    if not is_dataclass(what) or isinstance(what, type):
        return what
    changed = {f.name: from_classifier(getattr(what, f.name)) for f in fields(what)}
    if isinstance(what, Recipe | Pose2dRecipe) and what.start == "random":
        changed["start"] = "classifier"
    return type(what)(**changed)


def test_people(domain: str, scale: Scale, mocap: bool, size: int) -> SyntheticData:
    """People of the test split of a domain, with COCO's keypoints.

    Those of "wild2" take their poses from other subjects: the ones by whom nothing is chosen in tables, since these
    measure weights of the last step.
    """
    return SyntheticData(
        domain,  # type: ignore[arg-type]
        TEST_PEOPLE[scale],
        seed=TEST_SEED,
        split="test",
        size=size,
        poses="mocap" if mocap else "flow",
        skeleton="coco17",
        subjects="validation" if domain == "wild2" and mocap else None,
    )


def measure_cells(cells: Iterable[Cell], shop: Workshop, tell: Tell) -> dict[Cell, Figures]:
    """Train and measure what is not there yet.

    Raises:
        InputError: no motion capture where there should be, or folders that cannot be written.
    """
    wanted = list(dict.fromkeys(cells))
    missing = [cell for cell in wanted if not _file(cell, shop).exists()]
    if missing:
        train_all([cell.recipe for cell in missing if cell.trained], shop, tell)
        pantry = shop.pantry(tell)
        for cell in missing:
            _measure(cell, shop, pantry)
    return {cell: Figures(**json.loads(_file(cell, shop).read_text())) for cell in wanted}


def _data(recipes: Iterable[AnyRecipe]) -> list[tuple[AnyRecipe, SyntheticData]]:
    """What has to be drawn, each once, with a recipe that says how large."""
    found = []
    for recipe in recipes:
        data = recipe.data if isinstance(recipe, Pose2dRecipe) else _drawn_by(recipe)
        for d in (recipe.validation, *data):
            if isinstance(d, SyntheticData):
                plain = SyntheticData(
                    d.domain, d.count, d.seed, d.split, d.size, d.poses, subjects=d.subjects
                )
                found.append((_sizes_of(recipe), plain))
    return list(dict.fromkeys(found))


def _drawn_by(recipe: Recipe) -> list[Data]:
    return [data for phase in recipe.phases for data in phase.data]


def _sizes_of(recipe: AnyRecipe) -> AnyRecipe:
    """The part of a recipe that says how large crops are, for those that want the same to be told as the same."""
    if isinstance(recipe, Pose2dRecipe):
        return replace(recipe, seed=0, steps=1)
    first = replace(recipe.phases[0], data=(SyntheticData(),))
    return replace(recipe, phases=(first,), seed=0, begin=None)


def _looks(recipes: Iterable[AnyRecipe]) -> list[Recipe]:
    """Recipes that keep features, one for all that look at the same."""
    found: dict[object, Recipe] = {}
    for recipe in recipes:
        if isinstance(recipe, Recipe) and recipe.versions:
            drawn = tuple((d.domain, d.count) for d in _drawn_by(recipe) if isinstance(d, SyntheticData))
            found.setdefault((recipe.network, recipe.versions, recipe.augment, recipe.begin, drawn), recipe)
    return list(found.values())


def _silent(what: str, done: int, wanted: int) -> None:
    """Progress of what a table's lines tell anyway."""


def _prefix(recipe: AnyRecipe) -> Recipe | None:
    """The recipe without its last phase; fits in the loop are kept with all phases, so those share nothing."""
    if isinstance(recipe, Pose2dRecipe) or len(recipe.phases) < 2 or recipe.loop is not None:
        return None
    phases = recipe.phases[:-1]
    return replace(recipe, phases=phases, validate_every=sum(phase.steps for phase in phases))


def train_all(recipes: Sequence[Recipe], shop: Workshop, tell: Tell) -> None:
    """Train those that are not there yet, in as many processes as told.

    Beginnings, teachers and what others start from come first.
    """
    needs: dict[AnyRecipe, tuple[AnyRecipe, ...]] = {}
    asked: list[AnyRecipe] = list(recipes)
    while asked:
        recipe = asked.pop(0)
        if recipe in needs or (shop.run_folder(recipe) / LAST).exists():
            continue
        before = _prefix(recipe)
        needs[recipe] = (*recipes_before(recipe), *([] if before is None else [before]))
        asked += needs[recipe]
    waiting = list(needs)
    done = {before for others in needs.values() for before in others if before not in needs}
    total, began, finished = len(waiting), time.monotonic(), 0
    if not total:
        return
    pantry = shop.pantry(tell)
    for recipe, data in _data(waiting):  # once, by all cores, and not by each of the processes that train
        pantry.crops(data, recipe)
    for recipe in _looks(waiting):
        see_before(
            recipe, pantry, make_tools(TrainingJob(recipe.name, shop.folder), pantry.body, tell, _silent)
        )
    tell(f"{total} networks to train")
    alone = shop.workers == 1 or shop.accelerator != "cpu"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1 if alone else shop.workers, context, _begin_worker) as pool:
        running: dict[Future[str], AnyRecipe] = {}
        while waiting or running:
            for recipe in [r for r in waiting if done.issuperset(needs[r])]:
                if len(running) == (1 if alone else shop.workers):
                    break
                waiting.remove(recipe)
                running[pool.submit(_train, recipe, _prefix(recipe), shop)] = recipe
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                recipe = running.pop(future)
                done.add(recipe)
                finished += 1
                left = (time.monotonic() - began) / finished * (total - finished) / 60
                tell(f"network {finished} of {total}: {future.result()}; about {left:.0f} min left")


def _begin_worker() -> None:
    """Networks this small train fastest with a core each."""
    end_with_parent()
    torch.set_num_threads(1)


def _train(recipe: AnyRecipe, before: Recipe | None, shop: Workshop) -> str:
    """Train one; says how it ended."""
    out = shop.run_folder(recipe)
    make_folder(out)
    if before is not None and not (out / STATE).exists():
        partial = out / "begun.tmp"
        shutil.copyfile(shop.run_folder(before) / STATE, partial)
        os.replace(partial, out / STATE)
    body = builtin_body()
    job = TrainingJob(recipe.name, out, mocap=shop.mocap, cache=shop.cache)
    tools = make_tools(job, body, lambda text: None, _silent)
    on_gpu = shop.accelerator != "cpu"
    machine = Machine(
        shop.accelerator,
        precision=shop.precision,  # type: ignore[arg-type]
        channels_last=True,
        workers=shop.workers if on_gpu else 0,
    )
    began, pantry = time.monotonic(), shop.pantry()
    tools = replace(tools, trained=Trainer(shop.folder, pantry, tools, machine, shop.backbones))
    found = train_recipe(recipe, out, pantry, tools, machine, shop.backbones)
    errors = ", ".join(f"{name[:-3]} {value:.1f} {name[-2:]}" for name, value in found.items())
    return f"{out.name}, {errors} on validation people, {(time.monotonic() - began) / 60:.1f} min"


def _measure(cell: Cell, shop: Workshop, pantry: Pantry) -> None:
    if cell.trained:
        network = load_estimator(shop.run_folder(cell.recipe) / LAST)
    else:
        network = build(cell.recipe.network, cell.recipe.seed)
    figures = measured(network.to(shop.device), cell.recipe, cell.people, pantry)
    file = _file(cell, shop)
    make_folder(file.parent)
    write_atomic(file, (json.dumps(asdict(figures), indent=1) + "\n").encode())


def _file(cell: Cell, shop: Workshop) -> Path:
    """Of a cell's figures."""
    kind = "last" if cell.trained else "untrained"
    return shop.run_folder(cell.recipe) / f"{kind}-{digest(cell.people)}.json"
