"""The balance of the energy's terms, looked at around the weights that ship, on validation subjects.

    python benchmarks/tune_weights.py --mocap DATA [--prior gmm flow] [--count 120] [--json]

COCO-17 keypoints, exact, with 1, 2 and 5 % noise, and with 30 % of them missing; the usual starts. Every prior gets
the same trials: the weights of the last rounds (`bodyloop.fit.MATCHED`), and each of them larger and smaller. The
score is the geometric mean of MPJPE and PA-MPJPE over the conditions.
"""

import argparse
import json
import math
import time
from dataclasses import replace
from pathlib import Path

import torch

from bodyloop.annotate import fit_people
from bodyloop.body import BodyModel, builtin_body, get_skeleton
from bodyloop.data.mocap import load_split
from bodyloop.evaluate.heldout import HeldOut, draw_people, errors
from bodyloop.fit import MATCHED, EnergyWeights, FitConfig

FACTORS = {"pose": (0.7, 1.4), "shape": (0.7, 1.4), "anchor": (0.7, 1.4)}


def trials() -> dict[str, EnergyWeights]:
    """Name of each choice of weights."""
    found = {"as they ship": MATCHED}
    for name, factors in FACTORS.items():
        for factor in factors:
            found[f"{name} x {factor:g}"] = replace(MATCHED, **{name: factor * getattr(MATCHED, name)})
    return found


def measured(
    conditions: dict[str, HeldOut], body: BodyModel, weights: EnergyWeights, prior: str
) -> dict[str, float]:
    """MPJPE of each condition, the score, and milliseconds a person."""
    row, logs, began = {}, [], time.perf_counter()
    for name, seen in conditions.items():
        config = FitConfig(matched=weights)
        with torch.no_grad():
            fits = fit_people(seen.evidence, seen.camera, body, config, prior=prior)  # type: ignore[arg-type]
        found = errors(fits.bodies, seen, body)
        row[name] = found["mpjpe_mm"]
        logs += [math.log(found["mpjpe_mm"]), math.log(found["pa_mpjpe_mm"])]
    people = sum(len(seen.truth.betas) for seen in conditions.values())
    row["score"] = math.exp(sum(logs) / len(logs))
    row["ms"] = 1000 * (time.perf_counter() - began) / people
    return {name: round(value, 2) for name, value in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder for the converted clips")
    parser.add_argument("--prior", nargs="+", choices=("gmm", "flow"), default=["gmm", "flow"])
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    body, seed = builtin_body(), arguments.seed
    cache = None if arguments.cache is None else arguments.cache / "validation.npz"
    motions = load_split(arguments.mocap, "validation", body, cache).motions
    people = draw_people(motions, body, get_skeleton("coco17"), arguments.count, seed)
    conditions = {
        "exact": people,
        **{f"{percent} % noise": people.disturbed(percent / 100, seed + percent) for percent in (1, 2, 5)},
        "30 % missing": people.thinned(0.3, seed),
    }
    result: dict[str, object] = {"people": arguments.count, "seed": seed}
    for prior in arguments.prior:
        rows = result[prior] = {}
        for name, weights in trials().items():
            row = rows[name] = measured(conditions, body, weights, prior)
            print(f"{prior:5s}{name:16s}", *(f"{key} {value:g}  " for key, value in row.items()), flush=True)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
