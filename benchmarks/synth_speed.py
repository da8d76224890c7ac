"""Speed of the synthetic people: images a second on this machine's cores, and processor time an image.

Run by hand: ``python benchmarks/synth_speed.py [--count N] [--workers N] [--json]``. "samples" are pictures with
parameters, camera, fragments and depth; "all labels" adds the keypoints of COCO's skeleton and the maps of parts, IUV,
PNCC and depth. The alternative beside it draws the same people at the same resolution by tensor operations alone
(the `bodyloop.raster.tensors`, interpolated vertex colours, lamp, four samples a pixel), on a plain ground: no
patterns, no shadows, no surroundings, no sensor. Rates fall when other work runs; processor time does so less.
"""

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from bodyloop.body import get_skeleton
from bodyloop.data.synthetic import DOMAINS, SurfaceLabeller, SyntheticPeople, SyntheticSample
from bodyloop.data.synthetic.render import SUPERSAMPLING, in_camera
from bodyloop.raster import NEAR, Fragments, downsample, interpolate, lit_colors, supersampled, vertex_normals
from bodyloop.raster.tensors import draw_meshes

AIM = 60.0
"""Labelled images a second on two cores."""


class Labelled(IterableDataset[Tensor]):
    """All labels of samples, of which a sum is handed on: every map is made, none is sent between processes."""

    def __init__(self, people: SyntheticPeople) -> None:
        self.people, self.labeller = people, SurfaceLabeller(people.body)

    def __iter__(self) -> Iterator[Tensor]:
        return (self.label(sample) for sample in self.people)

    def label(self, sample: SyntheticSample) -> Tensor:
        """Make every label; their sum."""
        found = sample.keypoints(self.people.body, get_skeleton("coco17"))
        maps = self.labeller.maps(sample)
        return found.image.sum() + sum(m.sum() for m in (maps.parts, maps.iuv, maps.pncc, maps.depth))


def labelled_sample(labelled: Labelled, index: int) -> Tensor:
    """One sample with its labels."""
    return labelled.label(labelled.people.sample(index))


def tensors_alone(people: SyntheticPeople, index: int) -> Tensor:
    """A picture (H, W, 3) of the same person by tensor operations."""
    shot, _ = people.stage.shot(index)
    body, camera = people.body, supersampled(shot.camera, SUPERSAMPLING)
    vertices = body.vertices(in_camera(shot.people[0].bodies, body, shot.pose))
    lens = torch.cat([camera.focal, camera.center]).double()[None]
    fragments = Fragments(
        *(m[0] for m in draw_meshes(vertices[None], body.faces, lens, camera.size, NEAR, False))
    )
    colors = lit_colors(vertices, vertex_normals(vertices, body.faces), torch.tensor([0.7, 0.5, 0.4]))
    return downsample(interpolate(fragments, body.faces, colors.double(), 0.5), SUPERSAMPLING)


def cost(call: Callable[[int], object], count: int) -> float:
    """Processor milliseconds a call on one core, as a loader's worker has it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for each other would count
    call(0)
    began = time.process_time()
    for index in range(count):
        call(index)
    spent = time.process_time() - began
    torch.set_num_threads(threads)
    return round(spent / count * 1e3, 1)


def rate(source: IterableDataset[Tensor] | SyntheticPeople, count: int, workers: int) -> float:
    """Wall-clock samples a second of a loader, after its workers have begun."""
    loader = iter(DataLoader(source, batch_size=None, num_workers=workers))
    for _ in range(max(2 * workers, 2)):
        next(loader)
    began = time.perf_counter()
    for _ in range(count):
        next(loader)
    return round(count / (time.perf_counter() - began), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="images for each figure")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, float | bool] = {"size": 224, "workers": options.workers}
    for name in DOMAINS:
        people = SyntheticPeople(name, size=224)
        labelled = Labelled(people)
        report[f"{name}_samples_cpu_ms"] = cost(people.sample, options.count)
        report[f"{name}_all_labels_cpu_ms"] = cost(partial(labelled_sample, labelled), options.count)
        report[f"{name}_samples_per_s"] = rate(people, options.count, options.workers)
        report[f"{name}_all_labels_per_s"] = rate(labelled, options.count, options.workers)
    slow = cost(partial(tensors_alone, people), max(options.count // 10, 3))
    report["tensors_alone_cpu_ms"] = slow
    report["ratio_tensors_alone_to_ours"] = round(slow / report["wild_all_labels_cpu_ms"], 2)
    report["wild_within_aim"] = report["wild_all_labels_per_s"] >= AIM
    report["load_average"] = round(os.getloadavg()[0], 1)
    for key, value in report.items():
        print(f"{key:32} {value}")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
