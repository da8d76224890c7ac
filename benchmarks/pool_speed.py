"""Speed of the search through the pool of candidates, next to the same sums by plain tensors.

    python benchmarks/pool_speed.py [--json]

Made-up people, poses drawn from the mixture prior, exact COCO-17 keypoints; five candidates each of the pool that
ships. The aim: 8 ms a person on two cores (the paper: 18 ms on a Titan X). Plain tensors: the pool's keypoints under
all orientations, turned once and kept; for each person the closed-form places, then the errors, for all at once.
Where torch sees a GPU, the search on it is timed, too; the aim is 2 ms.
"""

import argparse
import json
from collections.abc import Callable

import torch
from fit_speed import made_up_people
from timing import seconds
from torch import Tensor

from bodyloop.body import BodyModel, builtin_body
from bodyloop.evidence import Evidence
from bodyloop.fit import FitProblem
from bodyloop.fit.pool import CandidatePool, default_pool
from bodyloop.fit.pool_tensors import candidate_errors, turned_points
from bodyloop.priors.gmm import default_mixture

CHOSEN, PEOPLE, PLAIN_PEOPLE, REPEATS = 5, 64, 4, 5
NOISE = 0.01
"""Of the keypoints, as a share of the box's longer side: people are not of the pool."""


def disturbed(evidence: Evidence, seed: int) -> Evidence:
    """With keypoints that are a little off."""
    side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(1)
    noise = torch.randn(evidence.keypoints.shape, generator=torch.Generator().manual_seed(seed))
    return Evidence.from_keypoints(
        evidence.skeleton, evidence.keypoints + NOISE * side[:, None, None] * noise, evidence.confidence
    )


def plain_search(pool: CandidatePool, body: BodyModel, problem: FitProblem) -> Callable[[], Tensor]:
    """The lowest error (B,) of the people by plain tensors."""
    turned = turned_points(torch.from_numpy(pool._joints(body, problem)), pool.turns)

    def search() -> Tensor:
        found = []
        for i in range(len(problem)):
            focal, weight = problem.focal[i].float(), problem.weight[i].float()
            rays = problem.target[i].float() / focal
            spread = rays - (weight[:, None] * rays).sum(0) / weight.sum()
            found.append(candidate_errors(turned, rays, spread, weight, focal).min())
        return torch.stack(found)

    return search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    body, pool = builtin_body(), default_pool()
    camera, evidence = made_up_people(body, default_mixture(), PEOPLE, arguments.seed)
    problem = FitProblem.build(body, disturbed(evidence, arguments.seed), camera)
    few = problem[:PLAIN_PEOPLE]
    plain = plain_search(pool, body, few)
    best = pool.search(body, few, 1).error[:, 0]
    torch.testing.assert_close(best, plain(), rtol=1e-3, atol=1e-1)
    pool.search(body, problem, CHOSEN)
    ours = seconds(lambda: pool.search(body, problem, CHOSEN), REPEATS) / PEOPLE
    alone = seconds(lambda: pool.search(body, problem[:1], CHOSEN), 10 * REPEATS)
    usual = seconds(plain, REPEATS) / PLAIN_PEOPLE
    result = {
        "candidates": len(pool),
        "threads": torch.get_num_threads(),
        "ms_a_person_of_64": round(1000 * ours, 2),
        "ms_one_person": round(1000 * alone, 2),
        "ms_a_person_plain_tensors": round(1000 * usual, 1),
        "ratio_to_plain_tensors": round(usual / ours, 1),
        "within_aim_of_8_ms": bool(1000 * ours <= 8),
    }
    if torch.cuda.is_available():
        there, many = body.to("cuda"), problem.to("cuda")
        pool.search(there, many, CHOSEN)
        gpu = (
            seconds(lambda: pool.search(there, many, CHOSEN), REPEATS) / PEOPLE
        )  # answers come back, so it has ended
        result |= {"ms_a_person_gpu": round(1000 * gpu, 2), "within_aim_of_2_ms_gpu": bool(1000 * gpu <= 2)}
    for name, value in result.items():
        print(f"{name.replace('_', ' '):32s} {value}")
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
