"""What ties the frames of a video, looked at around the weights that ship, on validation subjects.

    python benchmarks/tune_temporal.py --mocap DATA [--count 40] [--json]

Clips of 16 frames, COCO-17 keypoints, exact, and with 2 % noise and a tenth of them missing. Trials: the standard
deviations of accelerations, and the say of prior with anchor and of the shape's charge (`bodyloop.annotate.over_time`),
each larger and smaller. This noise differs from frame to frame; a detector's does so less, and calls for more prior.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch

from bodyloop.annotate.over_time import (
    ACCELERATION,
    ACCELERATIONS,
    PLACE_ACCELERATION,
    TemporalConfig,
    fit_over_time,
)
from bodyloop.body import builtin_body, get_skeleton
from bodyloop.data.mocap import load_split
from bodyloop.evaluate.moving import MovingPeople, draw_clips, errors_over_time
from bodyloop.fit import MATCHED

FRAMES, NOISE, MISSING = 16, 0.02, 0.1
FACTORS = (0.5, 2.0)
SHARES = (0.3, 3.0)


def trials() -> dict[str, TemporalConfig]:
    """Name of each choice."""
    ship = TemporalConfig()
    found = {"as they ship": ship}
    for factor in FACTORS:
        joints = replace(ACCELERATIONS, joints=ACCELERATIONS.joints / factor)
        place = replace(ACCELERATIONS, place=ACCELERATIONS.place / factor)
        found[f"joints {factor * ACCELERATION:g} m/s^2"] = replace(ship, smoothness=joints)
        found[f"place {factor * PLACE_ACCELERATION:g} m/s^2"] = replace(ship, smoothness=place)
    for share in SHARES:
        by = share**0.5
        weights = replace(MATCHED, pose=by * MATCHED.pose, bend=by * MATCHED.bend, anchor=by * MATCHED.anchor)
        found[f"prior and anchor {share:g}"] = replace(ship, weights=weights)
        found[f"shape {share:g}"] = replace(ship, weights=replace(MATCHED, shape=by * MATCHED.shape))
    return found


def measured(people: MovingPeople, config: TemporalConfig) -> dict[str, float]:
    """Errors of one choice."""
    found = fit_over_time(people.evidence, people.camera, people.times, config=config)
    errors = errors_over_time(found.bodies, people, builtin_body())
    return {name: round(value, 2) for name, value in errors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder for the converted clips")
    parser.add_argument("--count", type=int, default=40, help="clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    body = builtin_body()
    cache = arguments.cache / "validation.npz" if arguments.cache else None
    motions = load_split(arguments.mocap, "validation", body, cache).motions
    exact = draw_clips(motions, body, get_skeleton("coco17"), arguments.count, FRAMES, arguments.seed)
    noisy = exact.disturbed(NOISE, MISSING, arguments.seed)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    with torch.no_grad():
        for name, config in trials().items():
            rows[name] = {"noisy": measured(noisy, config), "exact": measured(exact, config)}
            print(f"{name:20s} {rows[name]}", flush=True)
    if arguments.json:
        print(json.dumps({"clips": arguments.count, "frames": FRAMES, "rows": rows}))


if __name__ == "__main__":
    main()
