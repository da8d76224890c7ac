"""Seconds of fits over time, and that they grow linearly with the frames.

    python benchmarks/temporal_speed.py [--json] [--frames 250 500 1000]

Somebody walks, swings arms and legs and turns; COCO-17 keypoints with 2 % noise, so that no data is needed. Whole: the
fits of single frames, the best path, and the fit of all frames. Times are of a second run, and do not hold detection.
"""

import argparse
import json
import math
import time

import torch

from bodyloop.annotate.over_time import fit_over_time
from bodyloop.body import Bodies, BodyModel, builtin_body
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera, axis_angle_to_rotmat

NOISE = 0.02


def walking(body: BodyModel, frames: int) -> tuple[Camera, Evidence, torch.Tensor]:
    """Keypoints of somebody who walks in a circle, and times."""
    time_of = torch.arange(frames) / 30
    swing = 0.45 * torch.sin(2 * math.pi * time_of)
    pose = torch.zeros(frames, 72)
    pose[:, 3], pose[:, 6] = swing, -swing
    pose[:, 12], pose[:, 15] = 0.5 - swing, 0.5 + swing
    pose[:, 50], pose[:, 53] = -1.2, 1.2
    pose[:, 55] = -0.4 + 0.3 * swing
    bodies = Bodies.from_smpl(pose, torch.zeros(frames, 10), torch.zeros(frames, 3))
    yaw = 0.3 * time_of
    turn = axis_angle_to_rotmat(torch.stack([torch.zeros(frames), yaw, torch.zeros(frames)], -1))
    root = torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ turn
    rotations = torch.cat([root[:, None], bodies.rotations[:, 1:]], 1)
    place = torch.stack([torch.sin(yaw), torch.full((frames,), 0.2), 5 + torch.cos(yaw)], -1)
    bodies = Bodies(rotations, bodies.betas, place)
    camera = Camera.from_focal(1200, 1000, 1000)
    keypoints = camera.project(body.points(bodies, body.keypoints(COCO17)[0]))
    g = torch.Generator().manual_seed(0)
    size = (keypoints.amax(1) - keypoints.amin(1)).amax(-1)
    keypoints = keypoints + NOISE * size[:, None, None] * torch.randn(keypoints.shape, generator=g)
    return camera, Evidence.from_keypoints(COCO17, keypoints, torch.ones(frames, 17)), time_of.double()[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--frames", type=int, nargs="+", default=[250, 500, 1000])
    arguments = parser.parse_args()
    body = builtin_body()
    camera, evidence, times = walking(body, 60)
    fit_over_time(evidence, camera, times, body)
    rows = {}
    for frames in arguments.frames:
        camera, evidence, times = walking(body, frames)
        began, used = time.perf_counter(), time.process_time()
        found = fit_over_time(evidence, camera, times, body)
        rows[f"{frames:,} frames"] = {
            "seconds": round(time.perf_counter() - began, 2),
            "processor_seconds": round(time.process_time() - used, 2),
            "iterations": int(found.iterations[0]),
        }
        print(f"{frames:,} frames", rows[f"{frames:,} frames"], flush=True)
    first, last = arguments.frames[0], arguments.frames[-1]
    seconds = [rows[f"{frames:,} frames"]["seconds"] for frames in (first, last)]
    name, grew = f"time a frame at {last:,} over that at {first:,}", seconds[1] / seconds[0] / (last / first)
    print(f"{name}: {grew:.2f}")
    if arguments.json:
        print(json.dumps({**rows, name: round(grew, 3)}))


if __name__ == "__main__":
    main()
