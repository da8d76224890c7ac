"""Accuracy on held-out motion capture: keypoints in, bodies out, compared with the truth.

    python benchmarks/heldout_accuracy.py --mocap DATA [--split test] [--json]

500 frames drawn with a fixed seed from the split's good frames, random cameras and shapes, COCO-17 and
OpenPose-25 keypoints; exact, with 1 to 5 % noise (of the box's longer side), and with 30 % of them missing.
Methods: the mean pose in four orientations, fitted with SPIN's weights and ours; the lifter alone, and fitted with
SPIN's weights; the lifter and the mean pose as starts with one balance of the terms for all people, with the noise
of each person's keypoints estimated, which is what `bodyloop fit` does, and with the flow as prior (`--prior flow`).
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bodyloop.annotate import fit_people
from bodyloop.body import Bodies, BodyModel, builtin_body, get_skeleton
from bodyloop.data.mocap import load_split
from bodyloop.evaluate.heldout import HeldOut, draw_people, errors
from bodyloop.evidence import Evidence
from bodyloop.fit import EnergyWeights, FitConfig
from bodyloop.geometry import Camera
from bodyloop.nets.lifter import default_lifter

Method = Callable[[Evidence, Camera], Bodies]


def methods(body: BodyModel) -> dict[str, Method]:
    """Name to method."""

    def fit(starts: tuple[str, ...], config: FitConfig, prior: str = "gmm") -> Method:
        return lambda evidence, camera: fit_people(evidence, camera, body, config, starts, prior).bodies  # type: ignore[arg-type]

    spin, one_balance, ours = FitConfig(weights=EnergyWeights(), rounds=0), FitConfig(rounds=0), FitConfig()
    both = ("lifter", "mean")
    return {
        "mean pose, SPIN's weights": fit(("mean",), spin),
        "mean pose": fit(("mean",), ours),
        "lifter alone": lambda evidence, camera: default_lifter().lift(evidence, camera, body),
        "lifter + fit, SPIN's weights": fit(("lifter",), spin),
        "both, one balance": fit(both, one_balance),
        "both (bodyloop fit)": fit(both, ours),
        "both, flow": fit(both, ours, "flow"),
    }


def conditions(people: HeldOut, seed: int) -> dict[str, HeldOut]:
    """Exact, noisy and incomplete evidence of the same people."""
    noisy = {f"noise {percent} %": people.disturbed(percent / 100, seed + percent) for percent in range(1, 6)}
    return {"exact": people, **noisy, "30 % missing": people.thinned(0.3, seed)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mocap", type=Path, required=True)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    parser.add_argument("--cache", type=Path, help="folder for the converted clips")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    body = builtin_body()
    cache = None if arguments.cache is None else arguments.cache / f"{arguments.split}.npz"
    motions = load_split(arguments.mocap, arguments.split, body, cache).motions
    result: dict[str, object] = {"split": arguments.split, "people": arguments.count, "seed": arguments.seed}
    for skeleton in ("coco17", "openpose25"):
        people = draw_people(motions, body, get_skeleton(skeleton), arguments.count, arguments.seed)
        table: dict[str, dict[str, dict[str, float]]] = {}
        for condition, seen in conditions(people, arguments.seed).items():
            if skeleton != "coco17" and condition != "exact":
                continue
            print(f"\n{skeleton}, {condition}")
            print(f"{'':30s}{'MPJPE':>8s}{'PA':>8s}{'PVE':>8s}{'of box':>8s}{'failed':>8s}{'ms':>8s}")
            rows = table[condition] = {}
            for name, method in methods(body).items():
                began = time.perf_counter()
                with torch.no_grad():
                    found = method(seen.evidence, seen.camera)
                taken = 1000 * (time.perf_counter() - began) / arguments.count
                row = rows[name] = {k: round(v, 4) for k, v in errors(found, seen, body).items()}
                print(
                    f"{name:30s}{row['mpjpe_mm']:8.1f}{row['pa_mpjpe_mm']:8.1f}{row['pve_mm']:8.1f}"
                    f"{row['reprojection_share_of_box']:8.2%}{row['failures']:8.1%}{taken:8.2f}",
                    flush=True,
                )
        result[skeleton] = table
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
