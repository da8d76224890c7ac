"""People per second of the fitter, next to the usual way on the same energy.

    python benchmarks/fit_speed.py [--json] [--quick]

The usual way (SMPLify, SPIN): Adam, 100 steps on global orientation and translation, 100 on everything,
gradients by autograd through the whole mesh. All start from the same mean pose, facing the camera, with
exact keypoints of poses drawn from the mixture prior, so that no data is needed. Times are per start; the
median of several runs.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from bodyloop.annotate import fit_people
from bodyloop.body import Bodies, BodyModel, builtin_body
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.fit import EnergyWeights, FitConfig, FitProblem, mean_pose_starts, solve
from bodyloop.fit.energy import bending, energy_terms, geman_mcclure, total_energy
from bodyloop.fit.solve import torso_weight
from bodyloop.fit.spaces import AmbientSpace
from bodyloop.geometry import Camera, axis_angle_to_rotmat, rotmat_to_axis_angle
from bodyloop.priors.gmm import GaussianMixture, default_mixture


def made_up_people(body: BodyModel, prior: GaussianMixture, count: int, seed: int) -> tuple[Camera, Evidence]:
    """Poses from the prior, any yaw within 60 degrees of frontal, COCO-17 keypoints."""
    g = torch.Generator().manual_seed(seed)
    mode = torch.multinomial(prior.log_weights.exp(), count, True, generator=g)
    noise = torch.randn(count, 69, 1, generator=g)
    pose = (
        prior.means[mode] + torch.linalg.solve_triangular(prior.factors[mode].mT, noise, upper=True)[..., 0]
    )
    yaw = (torch.rand(count, generator=g) * 2 - 1) * torch.pi / 3
    turn = axis_angle_to_rotmat(torch.stack([torch.zeros(count), yaw, torch.zeros(count)], -1))
    root = torch.diag(torch.tensor([1.0, -1, -1])) @ turn
    local = axis_angle_to_rotmat(pose.unflatten(1, (23, 3)))
    trans = torch.randn(count, 3, generator=g) * 0.2 + torch.tensor([0, 0, 4.0])
    bodies = Bodies(torch.cat([root[:, None], local], 1), torch.randn(count, 10, generator=g), trans)
    camera = Camera.from_focal(1200, 1000, 1000)
    keypoints = camera.project(body.points(bodies, body.keypoints(COCO17)[0]))
    return camera, Evidence.from_keypoints(COCO17, keypoints, torch.ones(count, 17))


def adam(
    body: BodyModel, problem: FitProblem, prior: GaussianMixture, start: Bodies, w: EnergyWeights
) -> Tensor:
    """The plain reference; returns the final energies (B,)."""
    theta = rotmat_to_axis_angle(start.rotations).flatten(1).clone().requires_grad_()
    betas, trans = start.betas.clone().requires_grad_(), start.translation.clone().requires_grad_()
    regressor = torch.zeros(len(COCO17), len(body.v_template))
    joints = torch.zeros(len(COCO17), 24)
    for row, name in enumerate(COCO17.keypoints):
        if name in body.landmarks:
            index, weight = body.landmarks[name]
            regressor[row, index] = weight
        else:
            joints[row] = (
                body.joint_points((name,), [{name: 1.0}]).shares
                @ torch.nn.functional.one_hot(body.joint_points((name,), [{name: 1.0}]).joints, 24).float()
            )
    used = regressor.abs().sum(0).nonzero()[:, 0]
    depth0, torso = start.translation[:, 2].clone(), torso_weight(problem)

    def energy(whole: bool) -> Tensor:
        bodies = Bodies(axis_angle_to_rotmat(theta.unflatten(1, (24, 3))), betas, trans)
        points = regressor[:, used] @ body.vertices(bodies)[:, used] + joints @ body.joints(bodies)
        residual = points[..., :2] / points[..., 2:] * problem.focal[:, None] - problem.target
        weight = problem.weight if whole else torso
        e = (geman_mcclure(residual, w.sigma).sum(-1) * weight).sum(-1)
        if not whole:
            return e + 100.0**2 * (trans[:, 2] / depth0 - 1).square()
        e = e + w.pose**2 * prior.nearest_mode_energy(theta[:, 3:])
        return e + w.bend**2 * bending(theta[:, 3:]) + w.shape**2 * betas.square().sum(-1)

    for whole, free in ((False, [theta, trans]), (True, [theta, betas, trans])):
        optimiser = torch.optim.Adam(free, lr=1e-2)
        for _ in range(100):
            optimiser.zero_grad()
            energy(whole).sum().backward()
            if not whole and theta.grad is not None:
                theta.grad[:, 3:] = 0
            optimiser.step()
    with torch.no_grad():
        return energy(True)


def median_ms(run: Callable[[], object], people: int, repeats: int) -> float:
    """Milliseconds a person, after one run to warm up."""
    run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times) / people


def fit_ten_thousand() -> None:
    """One call with all default starts; prints the process's peak memory in MB."""
    body = builtin_body()
    camera, evidence = made_up_people(body, default_mixture(), 10_000, 0)
    fit_people(evidence, camera, body)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def peak_megabytes_of_ten_thousand() -> int:
    """Peak memory of a fresh process that fits 10,000 people in one call."""
    command = [sys.executable, __file__, "--ten-thousand"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--quick", action="store_true", help="the reference at batch 8 instead of 64")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ten-thousand", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ten_thousand:
        return fit_ten_thousand()
    body, prior = builtin_body(), default_mixture()
    weights = EnergyWeights()  # SPIN's, as the reference
    stages = FitConfig(weights=weights).stages(oriented=False)
    camera, evidence = made_up_people(body, prior, 1024, arguments.seed)
    problem = FitProblem.build(body, evidence, camera)
    start = mean_pose_starts(body, prior, evidence, camera)[0]
    rows: dict[str, dict[str, float]] = {}
    for batch, repeats in ((1, 40), (64, 9), (1024, 3)):
        # one person after the other, since people differ in how many iterations they take
        singles = range(40) if batch == 1 else (0,)
        for backend in ("compiled", "batched"):
            if backend == "batched" and batch == 1:
                singles = range(5)
            times = [
                median_ms(
                    partial(
                        solve, body, problem[i : i + batch], prior, start[i : i + batch], stages, backend
                    ),
                    batch,
                    3 if batch == 1 else repeats,
                )
                for i in singles
            ]
            rows[f"{backend}, batch {batch}"] = {"ms": statistics.mean(times)}
    reference_batch = 8 if arguments.quick else 64
    for batch in (1, reference_batch):
        began = time.perf_counter()
        energy = adam(body, problem[:batch], prior, start[:batch], weights)
        rows[f"Adam 100 + 100 through the mesh, batch {batch}"] = {
            "ms": 1000 * (time.perf_counter() - began) / batch
        }
    ours = solve(body, problem[:reference_batch], prior, start[:reference_batch], stages)
    check = total_energy(
        energy_terms(body, problem[:reference_batch], AmbientSpace(prior), weights, ours.bodies)
    )
    peak = peak_megabytes_of_ten_thousand()
    result = {
        "peak_mb_for_10000_people": peak,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "seed": arguments.seed,
        "ms_per_person_and_start": {name: round(row["ms"], 3) for name, row in rows.items()},
        "people_per_second": {name: round(1000 / row["ms"], 1) for name, row in rows.items()},
        "ratio_batch_64": round(
            rows[f"Adam 100 + 100 through the mesh, batch {reference_batch}"]["ms"]
            / rows["compiled, batch 64"]["ms"]
        ),
        "ratio_batch_1": round(
            rows["Adam 100 + 100 through the mesh, batch 1"]["ms"] / rows["compiled, batch 1"]["ms"]
        ),
        "mean_energy_ours": round(float(check.mean()), 1),
        "mean_energy_adam": round(float(energy.mean()), 1),
        "ours_at_or_below_adam": round(float((check <= energy * 1.001).float().mean()), 3),
    }
    for name, ms in result["ms_per_person_and_start"].items():  # type: ignore[attr-defined]
        print(f"{name:45s} {ms:10.3f} ms a person and start")
    for key in (
        "ratio_batch_64",
        "ratio_batch_1",
        "mean_energy_ours",
        "mean_energy_adam",
        "ours_at_or_below_adam",
    ):
        print(f"{key:45s} {result[key]:>10}")
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
