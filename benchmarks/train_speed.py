"""Speed of training: people a second through the whole step, and what the time goes into.

Run by hand: ``python benchmarks/train_speed.py [--recipe spin] [--scale cpu] [--steps N] [--json]``. Crops of a few
people are drawn first, into ``--crops`` or a temporary folder. "loader" is the making of batches alone, on one core:
pictures with points ("plain"), and with maps of parts as labels ("parts"). Beside SPIN's loop stands the time that fits
of the same people take from scratch, five starts each. Rates fall when other work runs; shares do so less.
"""

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from bodyloop.body import builtin_body
from bodyloop.data.crop_batches import CropBatches, CropSource, Wanted
from bodyloop.data.crops import Surface
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.train.config import Recipe, SyntheticData
from bodyloop.train.feed import Feed
from bodyloop.train.larder import Pantry, Tools
from bodyloop.train.recipes import get_recipe
from bodyloop.train.run import Machine, train
from bodyloop.train_jobs import TrainingJob, make_tools

LOADER_AIM, FIT_AIM = 2000.0, 0.25
WARM = 3
"""Steps before the clock runs: compiled loops are loaded in them."""


def small(recipe: Recipe, people: int) -> Recipe:
    """The recipe with few people."""
    phases = tuple(
        replace(
            phase,
            data=tuple(replace(d, count=people) if isinstance(d, SyntheticData) else d for d in phase.data),
        )
        for phase in recipe.phases
    )
    validation = recipe.validation
    assert isinstance(validation, SyntheticData), "recipes by name are validated on synthetic people"
    return replace(
        recipe,
        phases=phases,
        validation=replace(validation, count=8),
        validate_every=10**6,
        save_every=10**6,
    )


def loader_rate(recipe: Recipe, pantry: Pantry, wanted: Wanted, seconds: float = 3.0) -> float:
    """Crops a second of one core."""
    sources = [CropSource(pantry.crops(data, recipe)) for data in recipe.phases[0].data]
    batches = CropBatches(sources, recipe.augment, pantry.body, wanted)
    feed = Feed(batches, [data.weight for data in recipe.phases[0].data], recipe.optimiser.batch)
    feed[0]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    began, made = time.process_time(), 0
    while time.process_time() - began < seconds:
        made += len(feed[made].batch)
    rate = round(made / (time.process_time() - began), 1)
    torch.set_num_threads(threads)
    return rate


def fits_from_scratch(recipe: Recipe, pantry: Pantry, tools: Tools) -> float:
    """Milliseconds a person of fits from five starts."""
    source = CropSource(pantry.crops(recipe.phases[0].data[-1], recipe), skeleton="coco17")
    batch = Feed(CropBatches([source], recipe.augment, pantry.body), [1.0], 32)[0].batch
    evidence: Evidence = batch.evidence()
    camera: Camera = batch.camera
    tools.fit(evidence, camera, "lifter")
    began = time.perf_counter()
    tools.fit(evidence, camera, "lifter")
    return round((time.perf_counter() - began) / len(batch) * 1e3, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="spin")
    parser.add_argument("--scale", default="cpu")
    parser.add_argument("--steps", type=int, default=10, help="that are timed")
    parser.add_argument("--people", type=int, default=128, help="of each data set")
    parser.add_argument("--workers", type=int, default=0, help="processes that make batches")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--crops", type=Path, help="folder for crops that other runs share")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    recipe = small(get_recipe(options.recipe, options.scale), options.people)
    with tempfile.TemporaryDirectory() as folder:
        out, body = Path(folder), builtin_body()
        pantry = Pantry(options.crops or out / "crops", body, Surface.builtin(), workers=os.cpu_count() or 1)
        job = TrainingJob(options.recipe, out)
        tools = make_tools(job, body, lambda text: None, lambda what, done, wanted: None)
        machine = Machine(
            options.accelerator, precision=options.precision, channels_last=True, workers=options.workers
        )
        kept = replace(recipe, save_every=WARM)  # so that the second part begins there
        train(kept, out / "timed", pantry, tools, machine, until=WARM)
        began = time.perf_counter()
        done = train(kept, out / "timed", pantry, tools, machine, resume=True, until=WARM + options.steps)
        spent, whole = done.seconds, sum(done.seconds.values())
        people = options.steps * recipe.optimiser.batch
        report: dict[str, object] = {
            "recipe": options.recipe,
            "scale": options.scale,
            "batch": recipe.optimiser.batch,
            "threads": torch.get_num_threads(),
            "people_per_s": round(people / whole, 1),
            "seconds_with_start": round(time.perf_counter() - began, 2),
            **{f"{name}_share": round(seconds / whole, 3) for name, seconds in spent.items()},
            "loader_plain_per_s": loader_rate(recipe, pantry, Wanted()),
            "loader_parts_per_s": loader_rate(recipe, pantry, Wanted(targets="densepose")),
        }
        if "fit" in spent:
            in_loop = spent["fit"] / people * 1e3
            scratch = fits_from_scratch(recipe, pantry, tools)
            report |= {"fit_ms_a_person": round(in_loop, 3), "fit_from_scratch_ms_a_person": scratch}
            report["ratio_scratch_to_loop"] = round(scratch / in_loop, 1)
            report["fit_within_aim"] = spent["fit"] / whole < FIT_AIM
        report["loader_within_aim"] = float(str(report["loader_plain_per_s"])) >= LOADER_AIM
        report["load_average"] = round(os.getloadavg()[0], 1)
    for key, value in report.items():
        print(f"{key:32} {value}")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
