"""Sizes of the regression networks, and how fast their small twins learn on one core.

Run by hand: ``python benchmarks/network_sizes.py [--json]``. Operations are multiply-adds for one person, counted by
torch; the size is that of the weights' file. Rates are images a second, forward and backward, the best of several
batches of 16. The ratio compares a small twin with its full-size network, which sees one batch only.
"""

import argparse
import json
import time

import torch
from torch import Tensor

from bodyloop.nets.build import Config, build
from bodyloop.nets.estimator import Estimator
from bodyloop.nets.hmr import HmrConfig
from bodyloop.nets.multistage import MultistageConfig
from bodyloop.nets.size import blank_crops, measure_size
from bodyloop.nets.two_branch import TwoBranchConfig

NETWORKS: dict[str, Config] = {
    "hmr": HmrConfig(),
    "two_branch: 101": TwoBranchConfig(),
    "two_branch: 50": TwoBranchConfig(main="resnet50"),
    "two_branch: 50 and 18": TwoBranchConfig.two(),
    "two_branch: 18 and 18": TwoBranchConfig(("image", "iuv"), main="resnet18"),
    "multistage": MultistageConfig(),
}
SMALL: dict[str, tuple[Config, str]] = {
    "hmr small": (HmrConfig.small(), "hmr"),
    "two_branch small": (TwoBranchConfig.small(), "two_branch: 101"),
    "two_branch small, image and iuv": (TwoBranchConfig.small(("image", "iuv")), "two_branch: 50 and 18"),
    "multistage small": (MultistageConfig.small(), "multistage"),
}
"""Small twins, each with the network that it stands for."""


def learn(network: Estimator, count: int) -> None:
    """One step's work: forward and backward for `count` people."""
    stages = network(blank_crops(network, count)).all_stages
    loss: Tensor = torch.stack([s.rotations.square().sum() + s.betas.square().sum() for s in stages]).sum()
    loss.backward()


def rate(network: Estimator, count: int, repeats: int) -> float:
    """Images a second, the best of several batches after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        learn(network, count)
        times.append(time.perf_counter() - start)
    return count / min(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, dict[str, float]] = {}
    full_rates: dict[str, float] = {}
    for name, config in (NETWORKS | {name: config for name, (config, _) in SMALL.items()}).items():
        network = build(config)
        size = measure_size(network)
        report[name] = {
            "resolution": network.resolution,
            "giga_multiply_adds": round(size.multiply_adds, 3),
            "million_parameters": round(size.parameters, 2),
            "megabytes": round(size.megabytes, 2),
        }
        if name in SMALL:
            here, full = rate(network, 16, 5), SMALL[name][1]
            full_rates[full] = full_rates.get(full) or rate(build(NETWORKS[full]), 2, 1)
            report[name] |= {
                "images_per_s": round(here, 1),
                "ratio_to_full": round(here / full_rates[full], 1),
            }
    print(f"{'':32} {'side':>5} {'GMAC':>7} {'M par.':>7} {'MB':>7} {'img/s':>6} {'ratio':>6}")
    for name, row in report.items():
        values = [row.get(key, "") for key in ("giga_multiply_adds", "million_parameters", "megabytes")]
        speed = [row.get(key, "") for key in ("images_per_s", "ratio_to_full")]
        print(
            f"{name:32} {row['resolution']:5} {values[0]:7} {values[1]:7} {values[2]:7} {speed[0]:>6} {speed[1]:>6}"
        )
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
