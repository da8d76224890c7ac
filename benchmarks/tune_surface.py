"""The weights of dense keypoints and part alignment, looked at on synthetic people with validation subjects' poses.

    python benchmarks/tune_surface.py --mocap DATA [--count 40] [--json]

Dense keypoints exact, disturbed, few, and from maps with swapped limbs; maps of parts with exact and noisy keypoints.
The score is the geometric mean of PVE over the conditions of each.
"""

import argparse
import json
import math
from pathlib import Path

from bodyloop.evaluate.dense_fits import CONDITIONS, Condition, scored, wild_people
from bodyloop.fit import FitConfig

DENSE = (0.25, 0.5, 1.0, 2.0)
PARTS = (0.03, 0.1, 0.3, 1.0)
CHOSEN = {
    "dense": ("KA + dense", "KA + dense, 3% noise", "KA + dense, sigma 10", "KA + dense, sigma 40",
              "KA + dense, 12 points", "KA + dense, limbs swapped, refined by limb"),
    "parts": ("KA + BA", "KA + BA, 3% noise"),
}  # fmt: skip
"""Names of the conditions that each weight is judged by."""


def conditions(of: str) -> tuple[Condition, ...]:
    """Those of a weight."""
    return tuple(condition for condition in CONDITIONS if condition.name in CHOSEN[of])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder for the converted clips")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    samples = wild_people(
        arguments.mocap, arguments.cache, "validation", arguments.count, arguments.seed, lambda line: None
    )
    result: dict[str, object] = {"people": arguments.count, "seed": arguments.seed}
    trials = [("dense", w, FitConfig(dense=w)) for w in DENSE] + [
        ("parts", w, FitConfig(parts=w)) for w in PARTS
    ]
    for of, weight, config in trials:
        found = scored(samples, conditions(of), arguments.seed, lambda line: None, config)
        row = {name: round(float(scores.values["pve_mm"].nanmean()), 1) for name, scores in found.items()}
        row["score"] = round(math.exp(sum(map(math.log, row.values())) / len(row)), 2)
        print(f"{of} {weight:g}:", *(f"{name} {value:g}  " for name, value in row.items()), flush=True)
        result[f"{of} {weight:g}"] = row
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
