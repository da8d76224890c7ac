"""The second-order solver on tensors: a whole batch in every step, on the CPU or a GPU.

Levenberg-Marquardt with Marquardt's scaling on 16 + Q unknowns: global orientation (3, updated as R <- R exp(d)),
body pose (Q numbers of a `PoseSpace`, updated by addition: 69 axis-angle numbers, or a prior's latents), betas (10)
and translation (3). Robust terms enter as iteratively reweighted squares, the prior by its own Gauss-Newton
Hessian, and a step is kept only if the true energy falls.

Jacobians are geometric. Let point p be the sum over joints j of s_j = c_j P_j + R_j o_j (see
`bodyloop.body.points`), and let joint i turn by exp(d). All s_j below i turn with it about P_i, so

    dp / dd_i = - [ sum_{j below i} s_j - (sum_{j below i} c_j) P_i ]_x R_i

which the space turns into derivatives by its unknowns: for axis-angle by the right Jacobian of the exponential
map, for latents by the decoder's Jacobian, applied backwards to the rows of the projected points.
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
from bodyloop.fit.spaces import PoseSpace
from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.priors.representation import SIZES, skew

TURNS = SIZES["axis_angle"]
"""Numbers by which the joints of the body pose turn in their own frames."""
_MAX_EXP = 20.0


class State:
    """B people: root (B, 3, 3), pose (B, Q) unknowns of the space, betas (B, 10), trans (B, 3)."""

    def __init__(self, root: Tensor, pose: Tensor, betas: Tensor, trans: Tensor) -> None:
        self.root, self.pose, self.betas, self.trans = root, pose, betas, trans

    @classmethod
    def of(cls, bodies: Bodies, space: PoseSpace) -> "State":
        """Of B people, or as near as the space has them."""
        pose = space.start(bodies.rotations[:, 1:])
        return cls(bodies.rotations[:, 0].clone(), pose, bodies.betas.clone(), bodies.translation.clone())

    def bodies(self, space: PoseSpace) -> Bodies:
        """The people."""
        local = space.rotations(self.pose)
        return Bodies(torch.cat([self.root[:, None], local], 1), self.betas, self.trans)

    def moved(self, step: Tensor) -> "State":
        """After a step (B, 16 + Q)."""
        root, pose, betas, trans = step.split([3, self.pose.shape[1], 10, 3], 1)
        return State(
            self.root @ axis_angle_to_rotmat(root), self.pose + pose, self.betas + betas, self.trans + trans
        )

    def select(self, index: Tensor) -> "State":
        """Some of the people."""
        return State(self.root[index], self.pose[index], self.betas[index], self.trans[index])

    def write(self, index: Tensor, other: "State") -> None:
        """Put other people in the place of some, in place."""
        self.root[index], self.pose[index] = other.root, other.pose
        self.betas[index], self.trans[index] = other.betas, other.trans


class System:
    """The energy, its half gradient and half Gauss-Newton Hessian for one stage."""

    def __init__(self, body: BodyModel, problem: FitProblem, space: PoseSpace, stage: Stage) -> None:
        self.body, self.points, self.space, self.stage = body, problem.points, space, stage
        self.pose = slice(3, 3 + space.size)
        self.betas = slice(3 + space.size, 13 + space.size)
        like = problem.target
        self.joints, self.joint_dirs = body.rest_joints
        self.below = torch.eye(24, dtype=like.dtype, device=like.device)  # [i, j]: j is i or hangs on it
        for j in range(1, 24):
            self.below[:, j] += self.below[:, body.parents[j]]
        self.slots = self.points.rows * 24 + self.points.joints  # where each piece stands in a (K, 24) table
        self.shares = self._table(self.points.shares[:, None])[..., 0] @ self.below.T
        self.sign = like.new_tensor(BEND_SIGN)

    def frames(self, state: State) -> tuple[JointFrames, Tensor]:
        """The chain, and all points' pieces s (B, A, 3)."""
        bodies = state.bodies(self.space)
        frames = self.body.frames(bodies)
        return frames, self.body.pieces(bodies, frames, self.points)

    def _speaks_of_angles(self, problem: FitProblem) -> bool:
        """Whether the energy has terms in the axis-angle numbers, which a latent space has to work out."""
        return self.stage.weights.bend > 0 or self._anchored(problem) is not None

    def _anchored(self, problem: FitProblem) -> tuple[Tensor, Tensor] | None:
        """The pose to stay near (B, 69) and its scale (69,), if there is one."""
        if self.stage.weights.anchor <= 0 or problem.anchor is None or problem.anchor_scale is None:
            return None
        return problem.anchor, problem.anchor_scale

    def _bend_squares(self, theta: Tensor) -> Tensor:
        """exp(s theta)^2 (B, 4)."""
        return (2 * self.sign * theta[:, BEND_INDEX]).clamp_max(2 * _MAX_EXP).exp()

    def energy(
        self, state: State, pieces: Tensor, problem: FitProblem, weight: Tensor, depth0: Tensor
    ) -> Tensor:
        """E (B,)."""
        w = self.stage.weights
        p = self.points.collect(pieces)
        residual = p[..., :2] / p[..., 2:] * problem.focal[:, None] - problem.target
        behind = ((p[..., 2] < MIN_DEPTH) & (weight > 0)).any(1)
        robust = geman_mcclure(residual, w.sigma).sum(-1)
        e = torch.where(weight > 0, robust * weight, 0.0).sum(1)
        if not self.stage.whole:
            e = e + self.stage.depth**2 * (state.trans[:, 2] / depth0 - 1).square()
            return torch.where(behind, torch.inf, e)
        e = e + w.pose**2 * self.space.energy(state.pose) + w.shape**2 * state.betas.square().sum(1)
        if self._speaks_of_angles(problem):
            theta = self.space.axis_angle(state.pose)
            e = e + w.bend**2 * self._bend_squares(theta).sum(1)
            if (anchor := self._anchored(problem)) is not None:
                e = e + w.anchor**2 * ((theta - anchor[0]) / anchor[1]).square().sum(1)
        return torch.where(behind, torch.inf, e)

    def _table(self, pieces: Tensor) -> Tensor:
        """Pieces (..., A, C) spread over points and joints, (..., K, 24, C)."""
        table = pieces.new_zeros(*pieces.shape[:-2], len(self.points) * 24, pieces.shape[-1])
        return table.index_add(-2, self.slots, pieces).unflatten(-2, (len(self.points), 24))

    def point_jacobian(self, frames: JointFrames, pieces: Tensor) -> tuple[Tensor, Tensor]:
        """d p by the turns of all joints in their own frames (B, K, 3, 72), and by the betas (B, K, 3, 10)."""
        hanging = torch.einsum("ij,bkjc->bkic", self.below, self._table(pieces))
        lever = hanging - self.shares[..., None] * frames.positions[:, None]
        turns = -skew(lever) @ frames.rotations[:, None]
        places = [self.joint_dirs[0].expand(len(lever), 3, 10)]
        for j in range(1, 24):
            parent = self.body.parents[j]
            bone = self.joint_dirs[j] - self.joint_dirs[parent]
            places.append(places[parent] + frames.rotations[:, parent] @ bone)
        joints, points = self.points.joints, self.points
        pieces_dirs = points.shares[:, None, None] * torch.stack(places, 1)[:, joints]
        pieces_dirs = pieces_dirs + frames.rotations[:, joints] @ points.offset_dirs
        shape = pieces.new_zeros(len(pieces), len(points), 3, 10).index_add(1, points.rows, pieces_dirs)
        return turns.movedim(2, 3).flatten(3), shape

    def turn_rows(self, state: State, frames: JointFrames, pieces: Tensor) -> Tensor:
        """d places of the points / d orientation and pose (B, 3 K, 3 + Q)."""
        turns = self.point_jacobian(frames, pieces)[0].flatten(1, 2)
        return torch.cat([turns[..., :3], self.space.pull(state.pose, turns[..., 3:])], -1)

    def jacobian(self, state: State, frames: JointFrames, pieces: Tensor, problem: FitProblem) -> Tensor:
        """d residual / d unknowns (B, 2 K, 16 + Q); first stage: of orientation and translation alone (B, 2 K, 6)."""
        rows = self.turn_jacobian(frames, pieces, problem)
        if not self.stage.whole:
            return rows
        root, turns, rest = rows.split([3, TURNS, 13], -1)
        return torch.cat([root, self.space.pull(state.pose, turns), rest], -1)

    def turn_jacobian(self, frames: JointFrames, pieces: Tensor, problem: FitProblem) -> Tensor:
        """The same by the joints' turns in their own frames instead of the pose's unknowns, (B, 2 K, 16 + 69)."""
        p = self.points.collect(pieces)
        z = p[..., 2:].clamp_min(MIN_DEPTH)
        slope = (p[..., :2] / z)[..., None]
        scale = (problem.focal[:, None] / z)[..., None]

        def project(by: Tensor) -> Tensor:
            return (scale * (by[:, :, :2] - slope * by[:, :, 2:])).flatten(1, 2)

        turns, shape = self.point_jacobian(frames, pieces)
        eye = torch.eye(3, dtype=p.dtype, device=p.device).expand(*p.shape[:2], 3, 3)
        if not self.stage.whole:
            return torch.cat([project(turns[..., :3]), project(eye)], -1)
        return torch.cat([project(turns), project(shape), project(eye)], -1)

    def _lifted(self, state: State, hessian: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Hessian and gradient by the joints' turns to those by the unknowns."""
        eye = torch.eye(TURNS, dtype=hessian.dtype, device=hessian.device).expand(len(hessian), -1, -1)
        lift = hessian.new_zeros(len(hessian), 16 + TURNS, 16 + self.space.size)
        lift.diagonal(dim1=1, dim2=2)[:, :3] = 1
        lift[:, -13:, -13:] = torch.eye(13).to(lift)
        lift[:, 3:-13, 3:-13] = self.space.pull(state.pose, eye)
        return lift.mT @ hessian @ lift, (lift.mT @ gradient[..., None])[..., 0]

    def normal_equations(
        self, state: State, frames: JointFrames, pieces: Tensor, problem: FitProblem, weight: Tensor,
        depth0: Tensor, curve: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Half Gauss-Newton Hessian (B, U, U) and half gradient (B, U); U is 16 + Q, 6 in the first stage.

        ``curve`` (B, Q, Q) is the prior's Hessian, worked out if not given.
        """
        w = self.stage.weights
        p = self.points.collect(pieces)
        residual = p[..., :2] / p[..., 2:].clamp_min(MIN_DEPTH) * problem.focal[:, None] - problem.target
        # Many residuals are summed up by the joints' turns, which are fewer than many a prior's numbers.
        by_turns = self.stage.whole and residual[0].numel() > 16 + TURNS
        rows = (
            self.turn_jacobian(frames, pieces, problem)
            if by_turns
            else self.jacobian(state, frames, pieces, problem)
        )
        irls = weight[..., None] * (w.sigma**2 / (w.sigma**2 + residual.square())).square()
        scale = irls.flatten(1)
        hessian = rows.mT @ (rows * scale[..., None])
        gradient = (rows.mT @ (scale * residual.flatten(1))[..., None])[..., 0]
        if by_turns:
            hessian, gradient = self._lifted(state, hessian, gradient)
        if not self.stage.whole:
            d2 = self.stage.depth**2
            hessian[:, 5, 5] += d2 / depth0.square()
            gradient[:, 5] += d2 * (state.trans[:, 2] / depth0 - 1) / depth0
            return hessian, gradient
        if curve is None:
            prior_hessian, prior_gradient = self.space.quadratic(state.pose)
        else:
            prior_hessian, prior_gradient = curve, self.space.gradient(state.pose)
        hessian[:, self.pose, self.pose] += 0.5 * w.pose**2 * prior_hessian
        gradient[:, self.pose] += 0.5 * w.pose**2 * prior_gradient
        hessian.diagonal(dim1=1, dim2=2)[:, self.betas] += w.shape**2
        gradient[:, self.betas] += w.shape**2 * state.betas
        if self._speaks_of_angles(problem):
            weights, off = self._angle_terms(self.space.axis_angle(state.pose), problem)
            rows = self.space.axis_angle_rows(state.pose)
            hessian[:, self.pose, self.pose] += rows.mT @ (rows * weights[..., None])
            gradient[:, self.pose] += (rows.mT @ off[..., None])[..., 0]
        return hessian, gradient

    def _angle_terms(self, theta: Tensor, problem: FitProblem) -> tuple[Tensor, Tensor]:
        """Half second and half first derivatives (B, 69) by the axis-angle numbers of bending and anchor."""
        w = self.stage.weights
        curve, slope = torch.zeros_like(theta), torch.zeros_like(theta)
        square = w.bend**2 * self._bend_squares(theta)
        curve[:, BEND_INDEX] += square
        slope[:, BEND_INDEX] += square * self.sign
        if (anchor := self._anchored(problem)) is not None:
            inverse = w.anchor**2 / anchor[1].square()
            curve += inverse
            slope += inverse * (theta - anchor[0])
        return curve, slope


def _damped_step(hessian: Tensor, gradient: Tensor, damping: Tensor) -> Tensor:
    """-(H + damping diag H)^-1 g (B, U)."""
    h = hessian.clone()
    diagonal = h.diagonal(dim1=1, dim2=2)
    diagonal += damping[:, None] * diagonal + 1e-9
    factor, info = torch.linalg.cholesky_ex(h)
    step = torch.cholesky_solve(-gradient[..., None], factor)[..., 0]
    # NaN makes the energy of a failed factorisation NaN, and the step refused
    return torch.where((info == 0)[:, None], step, torch.nan)


def solve_batched(
    body: BodyModel, problem: FitProblem, space: PoseSpace, start: Bodies, stages: tuple[Stage, ...]
) -> Solution:
    """Minimise all people at once; those that have converged leave the batch. See `solve`."""
    like = problem.target
    body, space = body.to(like), space.to(like)
    state = State.of(start.to(like), space)
    iterations = torch.zeros(len(problem), dtype=torch.long, device=like.device)
    energy = like.new_full((len(problem),), torch.inf)
    for stage in stages:
        energy = _solve_stage(body, problem, space, stage, state, iterations)
    return Solution(state.bodies(space), energy, iterations, state.pose)


def _solve_stage(
    body: BodyModel, problem: FitProblem, space: PoseSpace, stage: Stage, state: State, count: Tensor
) -> Tensor:
    """One stage, in place on `state` and `count`; returns the energies (B,)."""
    device = problem.target.device
    system = System(body, problem, space, stage)
    chosen = problem.weight if stage.whole else torso_weight(problem)
    depth_all = state.trans[:, 2].clone()
    result = torch.empty_like(depth_all)

    alive = torch.arange(len(problem), device=device)
    part, weight, depth0, now = problem, chosen, depth_all, state.select(alive)
    frames, pieces = system.frames(now)
    energy = system.energy(now, pieces, part, weight, depth0)
    result[:] = energy
    damping = torch.full_like(energy, DAMPING_START)
    keep = torch.isfinite(energy)
    curve: Tensor | None = None
    for number in range(stage.steps):
        if not keep.all():
            alive, part, weight, depth0 = alive[keep], part[keep], weight[keep], depth0[keep]
            now, energy, damping = now.select(keep), energy[keep], damping[keep]
            frames = JointFrames(frames.rotations[keep], frames.positions[keep], frames.rest[keep])
            pieces, curve = pieces[keep], None if curve is None else curve[keep]
        if len(alive) == 0:
            break
        count[alive] += 1
        if stage.whole and space.refresh > 1 and number % space.refresh == 0:
            curve = space.quadratic(now.pose)[0]
        hessian, gradient = system.normal_equations(now, frames, pieces, part, weight, depth0, curve)
        step = _damped_step(hessian, gradient, damping)
        if not stage.whole:
            step = torch.cat([step[:, :3], step.new_zeros(len(step), space.size + 10), step[:, 3:]], 1)
        trial = now.moved(step)
        trial_frames, trial_pieces = system.frames(trial)
        trial_energy = system.energy(trial, trial_pieces, part, weight, depth0)
        good = trial_energy < energy
        # a log-density's energy may be negative, or zero
        small = good & (energy - trial_energy < TOLERANCE * energy.abs().clamp_min(1.0))
        g1, g2 = good[:, None], good[:, None, None]
        now = State(
            torch.where(g2, trial.root, now.root),
            torch.where(g1, trial.pose, now.pose),
            torch.where(g1, trial.betas, now.betas),
            torch.where(g1, trial.trans, now.trans),
        )
        frames = JointFrames(
            torch.where(good[:, None, None, None], trial_frames.rotations, frames.rotations),
            torch.where(g2, trial_frames.positions, frames.positions),
            torch.where(g2, trial_frames.rest, frames.rest),
        )
        pieces = torch.where(g2, trial_pieces, pieces)
        energy = torch.where(good, trial_energy, energy)
        lowered = (damping * ACCEPT_FACTOR).clamp_min(DAMPING_MIN)
        damping = torch.where(good, lowered, damping * REJECT_FACTOR)
        result[alive] = energy
        state.write(alive, now)
        keep = ~small & (damping <= DAMPING_MAX)
    return result
