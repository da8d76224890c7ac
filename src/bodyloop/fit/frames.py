"""The frames of tracks, each by itself: energy, joints, and their derivatives, compiled or on tensors.

What `bodyloop.fit.temporal` ties together. Energies are those of `bodyloop.fit.problem` without the charge for the
shape. Unknowns are ordered as in the solvers: global orientation (3), pose (Q), betas (10), translation (3).
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import SMPL_JOINTS, BodyModel
from bodyloop.fit.batched import State, System
from bodyloop.fit.problem import FitProblem
from bodyloop.fit.schedule import Stage
from bodyloop.fit.solve import alone, array, chain_of, points_of, prior_of, stage_row
from bodyloop.fit.spaces import AmbientSpace, PoseSpace
from bodyloop.priors.gmm import GaussianMixture

CHUNK = 256
"""Frames whose tensors are worked on at a time, which bounds the memory of priors that are networks."""


@dataclass(frozen=True)
class Linear:
    """Derivatives of N frames at a state.

    Attributes:
        hessian: (N, U, U) half Gauss-Newton Hessian.
        gradient: (N, U) half gradient.
        figures: (N, 24, 3), metres, the joints of the mean shape in the same pose and orientation, at the origin.
        rows: (N, 72, 3 + Q) their derivatives by orientation and pose; None where nobody asked.
    """

    hessian: Tensor
    gradient: Tensor
    figures: Tensor
    rows: Tensor | None


class Frames(Protocol):
    """N frames with one energy each."""

    @property
    def space(self) -> PoseSpace:
        """The unknowns of the body pose."""

    @property
    def like(self) -> Tensor:
        """In the precision of the unknowns and on their device."""

    def measure(self, state: State) -> tuple[Tensor, Tensor]:
        """Energies (N,), infinite where a keypoint is behind the camera, and figures (N, 24, 3) as in `Linear`."""

    def linearise(self, state: State, with_joints: bool) -> Linear:
        """Derivatives at a state whose energies are finite."""

    def select(self, index: Tensor) -> "Frames":
        """Some of the frames."""


class CompiledFrames:
    """Frames under the mixture's nearest mode, by the compiled solver's loops, in double precision."""

    def __init__(
        self, body: BodyModel, problem: FitProblem, prior: GaussianMixture, space: AmbientSpace, stage: Stage
    ) -> None:
        self.space: PoseSpace = space
        self.like = torch.zeros(0, dtype=torch.float64)
        self._body, self._points, self._prior = chain_of(body), points_of(problem), prior_of(prior)
        count = len(problem)
        anchored = problem.anchor is not None and problem.anchor_scale is not None
        anchor = np.zeros((count, 2, 69))
        anchor[:, 1] = 1.0
        if problem.anchor is not None and problem.anchor_scale is not None:
            anchor[:, 0], anchor[:, 1] = array(problem.anchor), array(problem.anchor_scale.expand(count, 69))
        self._row = np.array(stage_row(stage, anchored))
        self._arrays = (*(array(x) for x in (problem.target, problem.weight, problem.focal)), anchor)

    def _of(self, state: State) -> tuple[object, ...]:
        from bodyloop.fit import compiled

        numbers = compiled.State(*(array(x) for x in (state.root, state.pose, state.betas, state.trans)))
        return numbers, self._body, self._points, self._prior, *self._arrays, self._row

    def _worked_out(self, state: State, systems: int, rows: int) -> list[Tensor]:
        """Energies, figures, and room for so many systems and derivatives, filled in."""
        from bodyloop.fit.compiled import N_POSE, SIZE, work_out_frames

        count = len(state.trans)
        room = [
            np.empty(shape)
            for shape in (
                (count,),
                (count, 24, 3),
                (systems, SIZE, SIZE),
                (systems, SIZE),
                (rows, 72, N_POSE),
            )
        ]
        with alone():
            work_out_frames(*self._of(state), *room)
        return [torch.from_numpy(x) for x in room]

    def measure(self, state: State) -> tuple[Tensor, Tensor]:
        """See `Frames`."""
        energies, figures, *_ = self._worked_out(state, 0, 0)
        return energies, figures

    def linearise(self, state: State, with_joints: bool) -> Linear:
        """See `Frames`."""
        count = len(state.trans)
        _, figures, hessian, gradient, rows = self._worked_out(state, count, count if with_joints else 0)
        return Linear(hessian, gradient, figures, rows if with_joints else None)

    def select(self, index: Tensor) -> "CompiledFrames":
        """See `Frames`."""
        some = object.__new__(CompiledFrames)
        some.__dict__.update(self.__dict__)
        chosen = index.numpy()
        some._arrays = tuple(np.ascontiguousarray(x[chosen]) for x in self._arrays)
        return some


class TensorFrames:
    """Frames under any prior with a residual, on tensors, in the body's precision and on its device."""

    def __init__(self, body: BodyModel, problem: FitProblem, space: PoseSpace, stage: Stage) -> None:
        like = problem.target
        self.space, self.like = space.to(like), like[:0]
        self._body, self._problem, self._stage = body.to(like), problem, stage
        joints = self._body.joint_points(SMPL_JOINTS, [{name: 1.0} for name in SMPL_JOINTS])
        self._system = System(self._body, problem, self.space, stage)
        self._joints = System(self._body, replace(problem, points=joints), self.space, stage)

    def _parts(self, state: State) -> list[tuple[State, FitProblem]]:
        count = len(state.trans)
        parts = [
            torch.arange(i, min(i + CHUNK, count), device=state.trans.device) for i in range(0, count, CHUNK)
        ]
        return [(state.select(part), self._problem[part]) for part in parts]

    def measure(self, state: State) -> tuple[Tensor, Tensor]:
        """See `Frames`."""
        energies, figures = [], []
        for own, problem in self._parts(state):
            pieces = self._system.frames(own)[1]
            energies.append(self._system.energy(own, pieces, problem, problem.weight, own.trans[:, 2]))
            figures.append(self._joints.frames(_plain(own))[0].positions)
        return torch.cat(energies), torch.cat(figures)

    def linearise(self, state: State, with_joints: bool) -> Linear:
        """See `Frames`."""
        hessians, gradients, figures, rows = [], [], [], []
        for own, problem in self._parts(state):
            frames, pieces = self._system.frames(own)
            hessian, gradient = self._system.normal_equations(
                own, frames, pieces, problem, problem.weight, own.trans[:, 2]
            )
            hessians.append(hessian)
            gradients.append(gradient)
            plain = _plain(own)
            frames, pieces = self._joints.frames(plain)
            figures.append(frames.positions)
            if with_joints:
                rows.append(self._joints.turn_rows(plain, frames, pieces))
        joined = [torch.cat(parts) for parts in (hessians, gradients, figures)]
        return Linear(joined[0], joined[1], joined[2], torch.cat(rows) if with_joints else None)

    def select(self, index: Tensor) -> "TensorFrames":
        """See `Frames`."""
        return TensorFrames(self._body, self._problem[index], self.space, self._stage)


def _plain(state: State) -> State:
    """The mean shape in the same pose, at the origin."""
    return State(state.root, state.pose, torch.zeros_like(state.betas), torch.zeros_like(state.trans))


def frames_of(body: BodyModel, problem: FitProblem, space: PoseSpace, stage: Stage) -> Frames:
    """The compiled loops where they know the prior and the body lives on the CPU, tensors elsewhere."""
    prior = space.prior
    plain = isinstance(prior, GaussianMixture) and prior.form == "nearest"
    if (
        plain
        and isinstance(prior, GaussianMixture)
        and isinstance(space, AmbientSpace)
        and body.device.type != "cuda"
    ):
        return CompiledFrames(body, problem, prior, space, stage)
    return TensorFrames(body, problem, space, stage)
