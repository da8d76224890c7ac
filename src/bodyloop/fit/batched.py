"""The second-order solver on tensors: a whole batch in every step, on the CPU or a GPU.

Levenberg-Marquardt with Marquardt's scaling on 85 unknowns: global orientation (3, updated as R <- R exp(d)),
body pose (69 axis-angle numbers, updated by addition), betas (10) and translation (3). Robust terms enter as
iteratively reweighted squares, the mixture prior as the quadratic of its nearest mode, and a step is kept only
if the true energy falls.

Jacobians are geometric. Let point p be the sum over joints j of s_j = c_j P_j + R_j o_j (see
`bodyloop.body.points`), and let joint i turn by exp(d). All s_j below i turn with it about P_i, so

    dp / dd_i = - [ sum_{j below i} s_j - (sum_{j below i} c_j) P_i ]_x R_i

and by the right Jacobian of the exponential map dp / dtheta_i = (dp / dd_i) J_r(theta_i).
"""

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, JointFrames
from bodyloop.fit.energy import geman_mcclure
from bodyloop.fit.problem import BEND_INDEX, BEND_SIGN, FitProblem
from bodyloop.fit.schedule import (
    ACCEPT_FACTOR,
    DAMPING_MAX,
    DAMPING_MIN,
    DAMPING_START,
    MIN_DEPTH,
    REJECT_FACTOR,
    TOLERANCE,
    Stage,
)
from bodyloop.fit.solve import Solution, torso_weight
from bodyloop.geometry import axis_angle_to_rotmat, rotmat_to_axis_angle
from bodyloop.priors.gmm import GaussianMixture

_MAX_EXP = 20.0


class _State:
    """B people: root (B, 3, 3), theta (B, 69), betas (B, 10), trans (B, 3)."""

    def __init__(self, root: Tensor, theta: Tensor, betas: Tensor, trans: Tensor) -> None:
        self.root, self.theta, self.betas, self.trans = root, theta, betas, trans

    @classmethod
    def of(cls, bodies: Bodies) -> "_State":
        theta = rotmat_to_axis_angle(bodies.rotations[:, 1:]).flatten(1)
        return cls(bodies.rotations[:, 0].clone(), theta, bodies.betas.clone(), bodies.translation.clone())

    def bodies(self) -> Bodies:
        local = axis_angle_to_rotmat(self.theta.unflatten(1, (23, 3)))
        return Bodies(torch.cat([self.root[:, None], local], 1), self.betas, self.trans)

    def moved(self, step: Tensor) -> "_State":
        return _State(
            self.root @ axis_angle_to_rotmat(step[:, :3]),
            self.theta + step[:, 3:72],
            self.betas + step[:, 72:82],
            self.trans + step[:, 82:],
        )

    def select(self, index: Tensor) -> "_State":
        return _State(self.root[index], self.theta[index], self.betas[index], self.trans[index])

    def write(self, index: Tensor, other: "_State") -> None:
        self.root[index], self.theta[index] = other.root, other.theta
        self.betas[index], self.trans[index] = other.betas, other.trans


def right_jacobian(theta: Tensor) -> Tensor:
    """J_r (..., 3, 3) with exp(theta + d) = exp(theta) exp(J_r d) to first order; theta (..., 3)."""
    square = theta.square().sum(-1)[..., None, None]
    angle = square.clamp_min(1e-16).sqrt()
    small = angle < 1e-4
    a = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / angle.square())
    b = torch.where(small, 1 / 6 - square / 120, (angle - angle.sin()) / angle**3)
    skew = _skew(theta)
    return torch.eye(3, dtype=theta.dtype, device=theta.device) - a * skew + b * (skew @ skew)


def _skew(v: Tensor) -> Tensor:
    """Cross product matrices (..., 3, 3) of vectors (..., 3)."""
    zero = torch.zeros_like(v[..., 0])
    x, y, z = v.unbind(-1)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


class _System:
    """The energy, its half gradient and half Gauss-Newton Hessian for one stage."""

    def __init__(self, body: BodyModel, problem: FitProblem, prior: GaussianMixture, stage: Stage) -> None:
        self.body, self.points, self.prior, self.stage = body, problem.points, prior, stage
        like = problem.target
        self.joints, self.joint_dirs = body.rest_joints
        self.below = torch.eye(24, dtype=like.dtype, device=like.device)  # [i, j]: j is i or hangs on it
        for j in range(1, 24):
            self.below[:, j] += self.below[:, body.parents[j]]
        self.slots = self.points.rows * 24 + self.points.joints  # where each piece stands in a (K, 24) table
        self.shares = self._table(self.points.shares[:, None])[..., 0] @ self.below.T
        self.precisions, self.offsets = prior.precisions, prior.offsets
        self.sign = like.new_tensor(BEND_SIGN)

    def frames(self, state: _State) -> tuple[JointFrames, Tensor]:
        """The chain, and all points' pieces s (B, A, 3)."""
        bodies = state.bodies()
        frames = self.body.frames(bodies)
        return frames, self.body.pieces(bodies, frames, self.points)

    def energy(
        self, state: _State, pieces: Tensor, problem: FitProblem, weight: Tensor, depth0: Tensor
    ) -> tuple[Tensor, Tensor]:
        """E (B,) and the nearest mode (B,)."""
        w = self.stage.weights
        p = self.points.collect(pieces)
        residual = p[..., :2] / p[..., 2:] * problem.focal[:, None] - problem.target
        behind = ((p[..., 2] < MIN_DEPTH) & (weight > 0)).any(1)
        robust = geman_mcclure(residual, w.sigma).sum(-1)
        e = torch.where(weight > 0, robust * weight, 0.0).sum(1)
        if not self.stage.whole:
            e = e + self.stage.depth**2 * (state.trans[:, 2] / depth0 - 1).square()
            return torch.where(behind, torch.inf, e), torch.zeros_like(behind, dtype=torch.long)
        pose, mode = self.prior.component_energies(state.theta).min(-1)
        bend = (2 * self.sign * state.theta[:, BEND_INDEX]).clamp_max(2 * _MAX_EXP).exp().sum(1)
        e = e + w.pose**2 * pose + w.bend**2 * bend + w.shape**2 * state.betas.square().sum(1)
        if w.anchor > 0 and problem.anchor is not None and problem.anchor_scale is not None:
            e = e + w.anchor**2 * ((state.theta - problem.anchor) / problem.anchor_scale).square().sum(1)
        return torch.where(behind, torch.inf, e), mode

    def _table(self, pieces: Tensor) -> Tensor:
        """Pieces (..., A, C) spread over points and joints, (..., K, 24, C)."""
        table = pieces.new_zeros(*pieces.shape[:-2], len(self.points) * 24, pieces.shape[-1])
        return table.index_add(-2, self.slots, pieces).unflatten(-2, (len(self.points), 24))

    def jacobian(self, state: _State, frames: JointFrames, pieces: Tensor) -> Tensor:
        """d p / d unknowns (B, K, 3, 85)."""
        hanging = torch.einsum("ij,bkjc->bkic", self.below, self._table(pieces))
        lever = hanging - self.shares[..., None] * frames.positions[:, None]
        turns = -_skew(lever) @ frames.rotations[:, None]
        right = right_jacobian(state.theta.unflatten(1, (23, 3)))
        pose = torch.cat([turns[:, :, :1], turns[:, :, 1:] @ right[:, None]], 2)
        pose = pose.movedim(2, 3).flatten(3)  # (B, K, 3, 24 * 3)
        places = [self.joint_dirs[0].expand(len(lever), 3, 10)]
        for j in range(1, 24):
            parent = self.body.parents[j]
            bone = self.joint_dirs[j] - self.joint_dirs[parent]
            places.append(places[parent] + frames.rotations[:, parent] @ bone)
        joints, points = self.points.joints, self.points
        pieces_dirs = points.shares[:, None, None] * torch.stack(places, 1)[:, joints]
        pieces_dirs = pieces_dirs + frames.rotations[:, joints] @ points.offset_dirs
        shape = pieces.new_zeros(len(pieces), len(points), 3, 10).index_add(1, points.rows, pieces_dirs)
        eye = torch.eye(3, dtype=shape.dtype, device=shape.device).expand(*shape.shape[:2], 3, 3)
        return torch.cat([pose, shape, eye], -1)

    def normal_equations(
        self, state: _State, frames: JointFrames, pieces: Tensor, mode: Tensor, problem: FitProblem,
        weight: Tensor, depth0: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Half Gauss-Newton Hessian (B, 85, 85) and half gradient (B, 85)."""
        w = self.stage.weights
        p = self.points.collect(pieces)
        z = p[..., 2:].clamp_min(MIN_DEPTH)
        slope = p[..., :2] / z
        residual = slope * problem.focal[:, None] - problem.target
        jac = self.jacobian(state, frames, pieces)
        rows = (problem.focal[:, None] / z)[..., None] * (jac[:, :, :2] - slope[..., None] * jac[:, :, 2:])
        irls = weight[..., None] * (w.sigma**2 / (w.sigma**2 + residual.square())).square()
        flat, scale = rows.flatten(1, 2), irls.flatten(1)
        hessian = flat.transpose(1, 2) @ (flat * scale[..., None])
        gradient = (flat.transpose(1, 2) @ (scale * residual.flatten(1))[..., None])[..., 0]
        if not self.stage.whole:
            d2 = self.stage.depth**2
            hessian[:, 84, 84] += d2 / depth0.square()
            gradient[:, 84] += d2 * (state.trans[:, 2] / depth0 - 1) / depth0
            return hessian, gradient
        half = 0.5 * w.pose**2 * self.precisions[mode]
        hessian[:, 3:72, 3:72] += half
        gradient[:, 3:72] += (half @ (state.theta - self.prior.means[mode])[..., None])[..., 0]
        bend = [3 + i for i in BEND_INDEX]
        square = w.bend**2 * (2 * self.sign * state.theta[:, BEND_INDEX]).clamp_max(2 * _MAX_EXP).exp()
        hessian[:, bend, bend] += square
        gradient[:, bend] += square * self.sign
        diagonal = hessian.diagonal(dim1=1, dim2=2)
        diagonal[:, 72:82] += w.shape**2
        gradient[:, 72:82] += w.shape**2 * state.betas
        if w.anchor > 0 and problem.anchor is not None and problem.anchor_scale is not None:
            inverse = w.anchor**2 / problem.anchor_scale.square()
            diagonal[:, 3:72] += inverse
            gradient[:, 3:72] += inverse * (state.theta - problem.anchor)
        return hessian, gradient


def _damped_step(hessian: Tensor, gradient: Tensor, damping: Tensor, free: Tensor) -> Tensor:
    """-(H + damping diag H)^-1 g over the free unknowns, zero elsewhere, (B, 85)."""
    h = hessian[:, free][:, :, free].clone()
    diagonal = h.diagonal(dim1=1, dim2=2)
    diagonal += damping[:, None] * diagonal + 1e-9
    factor, info = torch.linalg.cholesky_ex(h)
    solved = torch.cholesky_solve(-gradient[:, free, None], factor)[..., 0]
    step = torch.zeros_like(gradient)
    # NaN makes the energy of a failed factorisation NaN, and the step refused
    step[:, free] = torch.where((info == 0)[:, None], solved, torch.nan)
    return step


def solve_batched(
    body: BodyModel, problem: FitProblem, prior: GaussianMixture, start: Bodies, stages: tuple[Stage, ...]
) -> Solution:
    """Minimise all people at once; those that have converged leave the batch. See `solve`."""
    like = problem.target
    body, prior = body.to(like), prior.to(like)
    state = _State.of(start.to(like))
    iterations = torch.zeros(len(problem), dtype=torch.long, device=like.device)
    energy = like.new_full((len(problem),), torch.inf)
    for stage in stages:
        energy = _solve_stage(body, problem, prior, stage, state, iterations)
    return Solution(state.bodies(), energy, iterations)


def _solve_stage(
    body: BodyModel, problem: FitProblem, prior: GaussianMixture, stage: Stage, state: _State, count: Tensor
) -> Tensor:
    """One stage, in place on `state` and `count`; returns the energies (B,)."""
    device = problem.target.device
    system = _System(body, problem, prior, stage)
    chosen = problem.weight if stage.whole else torso_weight(problem)
    depth_all = state.trans[:, 2].clone()
    unknowns = torch.arange(85, device=device)
    free = unknowns if stage.whole else unknowns[(unknowns < 3) | (unknowns > 81)]
    result = torch.empty_like(depth_all)

    alive = torch.arange(len(problem), device=device)
    part, weight, depth0, now = problem, chosen, depth_all, state.select(alive)
    frames, pieces = system.frames(now)
    energy, mode = system.energy(now, pieces, part, weight, depth0)
    result[:] = energy
    damping = torch.full_like(energy, DAMPING_START)
    keep = torch.isfinite(energy)
    for _ in range(stage.steps):
        if not keep.all():
            alive, part, weight, depth0 = alive[keep], part[keep], weight[keep], depth0[keep]
            now, energy, mode, damping = now.select(keep), energy[keep], mode[keep], damping[keep]
            frames = JointFrames(frames.rotations[keep], frames.positions[keep], frames.rest[keep])
            pieces = pieces[keep]
        if len(alive) == 0:
            break
        count[alive] += 1
        hessian, gradient = system.normal_equations(now, frames, pieces, mode, part, weight, depth0)
        trial = now.moved(_damped_step(hessian, gradient, damping, free))
        trial_frames, trial_pieces = system.frames(trial)
        trial_energy, trial_mode = system.energy(trial, trial_pieces, part, weight, depth0)
        good = trial_energy < energy
        small = good & (energy - trial_energy < TOLERANCE * energy)
        g1, g2 = good[:, None], good[:, None, None]
        now = _State(
            torch.where(g2, trial.root, now.root),
            torch.where(g1, trial.theta, now.theta),
            torch.where(g1, trial.betas, now.betas),
            torch.where(g1, trial.trans, now.trans),
        )
        frames = JointFrames(
            torch.where(good[:, None, None, None], trial_frames.rotations, frames.rotations),
            torch.where(g2, trial_frames.positions, frames.positions),
            torch.where(g2, trial_frames.rest, frames.rest),
        )
        pieces = torch.where(g2, trial_pieces, pieces)
        energy, mode = torch.where(good, trial_energy, energy), torch.where(good, trial_mode, mode)
        lowered = (damping * ACCEPT_FACTOR).clamp_min(DAMPING_MIN)
        damping = torch.where(good, lowered, damping * REJECT_FACTOR)
        result[alive] = energy
        state.write(alive, now)
        keep = ~small & (damping <= DAMPING_MAX)
    return result
