"""Speed and memory of scoring recovered people: pose, shape, dense keypoints and parts of synthetic samples.

Run by hand: ``python benchmarks/score_speed.py [--count N] [--json]``. People of a few synthetic pictures are repeated,
so that little time goes into making them; found ones are the true ones, disturbed. The alternative beside it does the
same, but for the dense keypoints, the plain way: one person after the other, a map drawn for each partition, a mask for
each part.
"""

import argparse
import json
import os
import resource
import time

import torch

from bodyloop.body import Bodies, BodyModel, builtin_body, face_parts
from bodyloop.body.parts import PARTITIONS
from bodyloop.data.synthetic import SyntheticPeople, SyntheticSample
from bodyloop.evaluate.metrics import mpjpe, pa_mpjpe, pve, pve_t
from bodyloop.evaluate.synthetic import synthetic_scores
from bodyloop.geometry import Camera, axis_angle_to_rotmat
from bodyloop.raster import part_map, rasterize

AIM_300 = 10.0
"""Seconds for 300 people on one core."""
PICTURES = 6


def repeated(count: int) -> tuple[Bodies, SyntheticSample]:
    """Found people and their samples."""
    few = list(SyntheticPeople("wild", split="test", count=PICTURES))
    samples = SyntheticSample.stack([few[i % PICTURES] for i in range(count)])
    g = torch.Generator().manual_seed(0)
    truth = samples.bodies
    turn = axis_angle_to_rotmat(torch.randn(count, 24, 3, generator=g) * 0.1)
    betas = truth.betas + 0.3 * torch.randn(count, 10, generator=g)
    return Bodies(truth.rotations @ turn, betas, truth.translation), samples


def plainly(found: Bodies, samples: SyntheticSample, body: BodyModel) -> None:
    """The same figures, without the dense keypoints, one person after the other."""
    for i in range(len(found)):
        one, truth = found[i : i + 1], samples.bodies[i : i + 1]
        lens = Camera(samples.camera.focal[i], samples.camera.center[i], samples.camera.size)
        joints, true_joints = body.joints(one), body.joints(truth)
        vertices, true_vertices = body.vertices(one), body.vertices(truth)
        mpjpe(joints, true_joints)
        pa_mpjpe(joints, true_joints)
        pve(vertices, true_vertices, joints[:, 0], true_joints[:, 0])
        pve_t(one.betas, truth.betas, body)
        for name, partition in PARTITIONS.items():
            labels = face_parts(body, name)
            ours, theirs = (
                part_map(rasterize(v, body.faces, lens), labels) for v in (vertices, true_vertices)
            )
            for part in range(-1, len(partition.parts)):
                a, b = ours == part, theirs == part
                (a & b).sum() / (a | b).sum()
                2 * (a & b).sum() / (a.sum() + b.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    body = builtin_body()
    found, samples = repeated(options.count)
    synthetic_scores(found[:2], SyntheticSample.stack([*SyntheticPeople("wild", count=2)]), body)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    synthetic_scores(found, samples, body)
    ours = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    some = min(options.count, 20)
    began = time.perf_counter()
    plainly(found[:some], samples, body)
    plain = (time.perf_counter() - began) / some * options.count
    report = {
        "people": options.count,
        "size": samples.camera.size[0],
        "seconds": round(ours, 2),
        "ms_a_person": round(1000 * ours / options.count, 2),
        "peak_mb_above_the_samples": round(memory / 1024),
        "plain_seconds": round(plain, 2),
        "ratio_plain_to_ours": round(plain / ours, 2),
        "within_aim": ours * 300 / options.count <= AIM_300,
        "load_average": round(os.getloadavg()[0], 1),
    }
    for key, value in report.items():
        print(f"{key:28} {value}")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
