"""How long it takes to annotate a data set of made-up COCO people, and what the time goes into.

    python benchmarks/annotate_speed.py [--count 5000] [--workers 2] [--json]

Keypoints of poses drawn from the mixture prior, off by 1 % of the box, a fifth of them missing; the file is written
as COCO's are, with polygons, and annotated by the code of ``bodyloop annotate``. Processor time of reading, fitting
and writing is measured apart. The aim: 1.5 ms of fitting a person on two cores, which is 3 ms of one.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fit_speed import made_up_people

from bodyloop.annotate.campaign import Campaign, LabelFolder, annotate
from bodyloop.annotate.methods import Settings
from bodyloop.annotate.workers import choose_runner
from bodyloop.body import builtin_body
from bodyloop.data.writers import WRITERS
from bodyloop.priors.gmm import default_mixture

AIM_MS = 1.5
"""Wall-clock milliseconds of fitting a person, on two cores."""
CORES = 2
NOISE, MISSING, POLYGON, PER_IMAGE = 0.01, 0.2, 60, 2


def write_coco(path: Path, count: int, seed: int) -> None:
    """Made-up annotations."""
    camera, evidence = made_up_people(builtin_body(), default_mixture(), count, seed)
    draw = np.random.default_rng(seed)
    boxes = evidence.boxes.double().numpy()
    side = (boxes[:, 2:] - boxes[:, :2]).max(1)
    places = evidence.keypoints.double().numpy()
    places = places + draw.standard_normal(places.shape) * NOISE * side[:, None, None]
    seen = draw.random(places.shape[:2]) >= MISSING
    width, height = camera.size
    annotations = []
    for i in range(count):
        rows = np.concatenate([places[i].round(1), 2 * seen[i, :, None]], 1)
        rows[~seen[i]] = 0
        x, y = boxes[i, :2]
        annotations.append(
            {
                "id": i,
                "image_id": i // PER_IMAGE,
                "category_id": 1,
                "iscrowd": 0,
                "area": 1.0,
                "bbox": [x, y, *(boxes[i, 2:] - boxes[i, :2]).tolist()],
                "num_keypoints": int(seen[i].sum()),
                "keypoints": rows.ravel().tolist(),
                "segmentation": [(draw.random(POLYGON) * side[i]).round(2).tolist()],
            }
        )
    images = [
        {"id": i, "file_name": f"{i:012d}.jpg", "width": width, "height": height}
        for i in range(-(-count // PER_IMAGE))
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))


def cpu_seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of this process, and what the call returned."""
    began = time.process_time()
    found = call()
    return time.process_time() - began, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=CORES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = options.count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_coco(folder / "coco.json", count, options.seed)
        settings = Settings(starts=("lifter",), focal=1200.0)
        campaign = Campaign(folder / "coco.json", folder / "out", settings)
        spent: dict[str, float] = {}

        def note(what: str, done: int, wanted: int) -> None:
            spent.setdefault(what, time.process_time())

        began, start = time.perf_counter(), time.process_time()
        finished = annotate(campaign, choose_runner(settings, options.workers, None), progress=note)
        wall = time.perf_counter() - began
        reading = spent["labelling"] - start
        handling = time.process_time() - spent["labelling"]
        labels, body = LabelFolder.open(folder / "out"), builtin_body()
        exports = {
            form: cpu_seconds(lambda form=form: WRITERS[form](labels.parts(), folder, body))[0]  # type: ignore[misc]
            for form in ("neuralannot", "eft", "spin")
        }
        size = sum(file.stat().st_size for file in labels.files)
        megabytes = (folder / "coco.json").stat().st_size / 1e6
    fitting = finished.seconds
    total = reading + fitting + handling
    on_two_cores = 1000 * fitting / CORES / finished.people
    result = {
        "people": finished.people,
        "workers": options.workers,
        "wall_seconds": round(wall, 2),
        "people_a_second": round(finished.people / wall, 1),
        "fitting_ms_a_person_and_core": round(1000 * fitting / finished.people, 3),
        "fitting_ms_a_person_on_two_cores": round(on_two_cores, 3),
        "within_aim": on_two_cores <= AIM_MS,
        "minutes_of_fitting_for_100000": round(on_two_cores * 100_000 / 60_000, 2),
        "reading_ms_a_person": round(1000 * reading / finished.people, 3),
        "reading_mb_a_second": round(megabytes / reading, 1),
        "writing_ms_a_person": round(1000 * handling / finished.people, 3),
        "share_reading": round(reading / total, 3),
        "share_fitting": round(fitting / total, 3),
        "share_writing": round(handling / total, 3),
        "bytes_of_labels_a_person": round(size / finished.people),
        "export_ms_a_person": {form: round(1000 * s / finished.people, 3) for form, s in exports.items()},
        "load_average": round(os.getloadavg()[0], 1),
    }
    for key, value in result.items():
        print(f"{key:36} {value}")
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
