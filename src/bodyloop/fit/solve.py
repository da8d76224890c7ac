"""One call for both solvers: choose the back end, lay out the arrays, chunk large batches."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.fit.problem import BEND_INDEX, BEND_SIGN, FitProblem
from bodyloop.fit.schedule import Stage
from bodyloop.fit.spaces import SpaceKind, pose_space
from bodyloop.geometry import rotmat_to_axis_angle
from bodyloop.priors.gmm import GaussianMixture
from bodyloop.priors.prior import PosePrior

if TYPE_CHECKING:
    from bodyloop.fit.compiled import Body, Points, Prior

Backend = Literal["auto", "compiled", "batched", "lbfgs"]

_ONE_AT_A_TIME = Lock()
"""Held by the compiled solver, which takes all cores anyway.

Numba's plainest threads, its choice where OpenMP and TBB are missing, end the process if two threads of ours
enter a parallel loop at once."""

TORSO = frozenset(f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "hip", "hip_extra"))


@dataclass(frozen=True)
class Solution:
    """Minimised people.

    Attributes:
        bodies: B people in the camera frame.
        energy: (B,) final energy of the last stage; infinite where a start had a keypoint behind the camera.
        iterations: (B,) iterations over all stages.
        pose: (B, Q) the unknowns of the body pose: axis-angle, or what the space has.
    """

    bodies: Bodies
    energy: Tensor
    iterations: Tensor
    pose: Tensor


def torso_weight(problem: FitProblem, fewest: int = 3) -> Tensor:
    """Weights (B, K) of the first stage: the torso's keypoints, or all where fewer than `fewest` are seen."""
    inside = torch.tensor([name in TORSO for name in problem.points.names], device=problem.weight.device)
    enough = ((problem.weight > 0) & inside).sum(-1, keepdim=True) >= fewest
    return torch.where(enough, problem.weight * inside, problem.weight)


def solve(
    body: BodyModel,
    problem: FitProblem,
    prior: PosePrior,
    start: Bodies,
    stages: tuple[Stage, ...],
    backend: Backend = "auto",
    space: SpaceKind = "ambient",
    chunk: int | None = None,
) -> Solution:
    """Minimise the energy of every person from its start.

    Args:
        body, problem, prior: what defines the energy.
        start: B people in the camera frame, in front of the camera.
        stages: minimised one after the other.
        backend: "compiled" (numba, one loop a person; the mixture's nearest mode alone), "batched" (tensors; any
            prior with a residual), "lbfgs" (tensors; any differentiable prior), or "auto": the first that can,
            and batched where the body lives on a GPU.
        space: whether the prior's numbers or its latents are the unknowns (Zanfir et al. 2020, eq. 5 and 6).
        chunk: people solved at a time by the tensor back ends, which bounds their memory; 1024, and 256 where the
            prior is a network, if None.

    Raises:
        ValueError: if the start's batch is not the problem's, or the back end does not know the prior.
        InputError: if the prior has no latent space and the fit should be in it.
    """
    if start.batch_shape != (len(problem),):
        raise ValueError(f"{len(problem)} people need as many starts, got {tuple(start.batch_shape)}")
    unknowns = pose_space(prior, space)
    plain = isinstance(prior, GaussianMixture) and prior.form == "nearest"
    if backend == "auto":
        backend = "compiled" if plain and body.device.type != "cuda" else "batched"
    if backend == "compiled":
        if not (isinstance(prior, GaussianMixture) and plain):
            raise ValueError(
                f"the compiled solver knows the mixture's nearest mode, not {type(prior).__name__}; "
                "use backend='batched'"
            )
        return _solve_compiled(body, problem, prior, start, stages)
    from bodyloop.fit.batched import solve_batched
    from bodyloop.fit.lbfgs import solve_lbfgs

    run = solve_batched if backend == "batched" else solve_lbfgs
    chunk = chunk or (1024 if isinstance(prior, GaussianMixture) else 256)
    parts = [
        run(body, problem[i : i + chunk], unknowns, start[i : i + chunk], stages)
        for i in range(0, max(len(problem), 1), chunk)  # nobody is one empty chunk
    ]
    return Solution(
        Bodies.cat([p.bodies for p in parts]),
        torch.cat([p.energy for p in parts]),
        torch.cat([p.iterations for p in parts]),
        torch.cat([p.pose for p in parts]),
    )


def array(tensor: Tensor) -> np.ndarray:
    """A fresh, writable, contiguous float64 array."""
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float64, order="C")


def points_of(problem: FitProblem) -> "Points":
    """The problem's points in the compiled solver's layout."""
    from bodyloop.fit.compiled import Points

    points = problem.points
    first = np.searchsorted(points.rows.cpu().numpy(), np.arange(len(points) + 1))
    pose = np.zeros((len(points.rows), 3, 0)) if points.pose_dirs is None else array(points.pose_dirs)
    joints = points.joints.cpu().numpy()
    return Points(first, joints, array(points.shares), array(points.offsets), array(points.offset_dirs), pose)


def stage_row(stage: Stage, anchored: bool) -> list[float]:
    """`bodyloop.fit.compiled.Weights` as numbers."""
    w = stage.weights
    anchor = w.anchor**2 if anchored else 0.0
    return [w.pose**2, w.bend**2, w.shape**2, w.sigma, anchor, stage.depth**2, float(stage.whole)]


@lru_cache(maxsize=4)
def chain_of(body: BodyModel) -> "Body":
    """The body's chain in the compiled solver's layout."""
    from bodyloop.fit.compiled import Body

    joints, dirs = body.rest_joints
    return Body(array(joints), array(dirs), np.array(body.parents, np.int64))


@lru_cache(maxsize=4)
def prior_of(prior: GaussianMixture) -> "Prior":
    """The mixture in the compiled solver's layout."""
    from bodyloop.fit.compiled import Prior

    return Prior(
        array(prior.means),
        array(prior.factors),
        array(prior.precisions),
        array(prior.offsets),
        np.array(BEND_INDEX, np.int64),
        np.array(BEND_SIGN),
    )


@contextmanager
def alone() -> Iterator[None]:
    """For compiled loops over people, one at a time.

    They leave torch as many threads as it had: numba sets the number of OpenMP's, which is torch's, to all cores.
    """
    with _ONE_AT_A_TIME:
        threads = torch.get_num_threads()
        yield
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _solve_compiled(
    body: BodyModel, problem: FitProblem, prior: GaussianMixture, start: Bodies, stages: tuple[Stage, ...]
) -> Solution:
    from bodyloop.fit.compiled import State, fit_people

    n = len(problem)
    theta = rotmat_to_axis_angle(start.rotations[:, 1:]).flatten(1)
    unknowns = (start.rotations[:, 0], theta, start.betas, start.translation)
    states = State(*(array(x) for x in unknowns))
    rotations, energies, iterations = np.empty((n, 24, 3, 3)), np.empty(n), np.empty(n, np.int64)
    # numba compiles anew for a read-only or non-contiguous array, so all of these are plain
    anchor, anchor_scale = np.zeros((n, 69)), np.ones((n, 69))
    anchored = problem.anchor is not None and problem.anchor_scale is not None
    if problem.anchor is not None and problem.anchor_scale is not None:
        anchor, anchor_scale = array(problem.anchor), array(problem.anchor_scale.expand(n, 69))
    with alone():
        fit_people(
            states,
            chain_of(body),
            points_of(problem),
            prior_of(prior),
            array(problem.target),
            array(problem.weight),
            array(torso_weight(problem)),
            array(problem.focal),
            anchor,
            anchor_scale,
            np.array([stage_row(stage, anchored) for stage in stages]),
            np.array([stage.steps for stage in stages], np.int64),
            rotations,
            energies,
            iterations,
        )
    like = start.betas
    bodies = Bodies(*(torch.from_numpy(x) for x in (rotations, states.betas, states.trans)))
    return Solution(
        bodies.to(like.device, like.dtype),
        torch.from_numpy(energies).to(like),
        torch.from_numpy(iterations).to(like.device),
        torch.from_numpy(states.theta).to(like),
    )
