"""The first-order solver on tensors: limited-memory BFGS, a whole batch in every step.

For priors whose energy has no sensible residual, and as the reference: Zanfir et al. 2020 fit with BFGS. The
derivatives come from automatic differentiation of `bodyloop.fit.energy`. Every person has a curvature memory
and a line search of their own; those that have converged leave the batch.

The first stage (orientation and translation alone) is the batched second-order solver's.
"""

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.fit.batched import solve_batched
from bodyloop.fit.energy import energy_terms, total_energy
from bodyloop.fit.problem import FitProblem
from bodyloop.fit.schedule import MIN_DEPTH, Stage
from bodyloop.fit.solve import Solution
from bodyloop.fit.spaces import PoseSpace
from bodyloop.geometry import axis_angle_to_rotmat

MEMORY = 10
STEPS_EACH = 8
"""L-BFGS iterations allowed for each iteration that a stage allows the second-order solver."""
SHRINK, TRIALS = 0.3, 12
SUFFICIENT = 1e-4  # Armijo's constant
SMALL = 1e-5  # a step that lowers the energy by a smaller share
PATIENCE = 3  # so many small steps in a row end the fit: single ones are common on curved valleys
SCALE = (0.3, 1.0, 1.0, 0.1)
"""Units of orientation (radians), pose, betas and translation (metres), which brings their curvatures nearer."""


def solve_lbfgs(
    body: BodyModel, problem: FitProblem, space: PoseSpace, start: Bodies, stages: tuple[Stage, ...]
) -> Solution:
    """Minimise all people at once. See `solve`."""
    like = problem.target
    body, space, start = body.to(like), space.to(like), start.to(like)
    first = tuple(stage for stage in stages if not stage.whole)
    count = torch.zeros(len(problem), dtype=torch.long, device=like.device)
    if first:
        turned = solve_batched(body, problem, space, start, first)
        start, count = turned.bodies, turned.iterations
    pose = space.start(start.rotations[:, 1:])
    energy = like.new_full((len(problem),), torch.inf)
    for stage in stages:
        if not stage.whole:
            continue
        person = _People(body, problem, space, stage, start)
        x, energy, used = _minimise(person, person.pack(pose), STEPS_EACH * stage.steps)
        with torch.no_grad():
            start, pose = person.unpack(x)
        count = count + used
    return Solution(start, energy, count, pose)


class _People:
    """The energy as a function of one vector a person, (B, 16 + Q)."""

    def __init__(
        self, body: BodyModel, problem: FitProblem, space: PoseSpace, stage: Stage, start: Bodies
    ) -> None:
        self.body, self.problem, self.space, self.stage, self.start = body, problem, space, stage, start

    def select(self, index: Tensor) -> "_People":
        return _People(self.body, self.problem[index], self.space, self.stage, self.start[index])

    def pack(self, pose: Tensor) -> Tensor:
        turn = torch.zeros_like(self.start.translation)
        return torch.cat(
            [turn, pose / SCALE[1], self.start.betas / SCALE[2], self.start.translation / SCALE[3]], 1
        )

    def unpack(self, x: Tensor) -> tuple[Bodies, Tensor]:
        """Bodies, and the unknowns of their pose."""
        turn, pose, betas, trans = (
            part * scale for part, scale in zip(x.split([3, self.space.size, 10, 3], 1), SCALE, strict=True)
        )
        root = self.start.rotations[:, :1] @ axis_angle_to_rotmat(turn)[:, None]
        return Bodies(torch.cat([root, self.space.rotations(pose)], 1), betas, trans), pose

    def energy(self, x: Tensor) -> Tensor:
        """E (B,), infinite where a keypoint comes too near to the camera."""
        bodies, pose = self.unpack(x)
        terms = energy_terms(self.body, self.problem, self.space, self.stage.weights, bodies, pose)
        depth = self.body.points(bodies, self.problem.points)[..., 2]
        behind = ((depth < MIN_DEPTH) & (self.problem.weight > 0)).any(1)
        return torch.where(behind, torch.inf, total_energy(terms))

    def slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """E (B,) and its gradient (B, 16 + Q)."""
        with torch.enable_grad():
            x = x.detach().requires_grad_(True)
            energy = self.energy(x)
            (gradient,) = torch.autograd.grad(energy.where(energy.isfinite(), 0.0).sum(), x)
        return energy.detach(), gradient


class _Memory:
    """The last steps s and changes of gradient y of each person, (M, B, U), newest first; unused ones are zero."""

    def __init__(self, like: Tensor) -> None:
        self.s = like.new_zeros(MEMORY, *like.shape)
        self.y = like.new_zeros(MEMORY, *like.shape)

    def select(self, keep: Tensor) -> None:
        self.s, self.y = self.s[:, keep], self.y[:, keep]

    def forget(self, who: Tensor) -> None:
        """Start anew, for some people (B,)."""
        self.s, self.y = (torch.where(who[None, :, None], 0.0, x) for x in (self.s, self.y))

    def empty(self) -> Tensor:
        """(B,) who remembers nothing."""
        return (self.s[0] == 0).all(1)

    def add(self, s: Tensor, y: Tensor, good: Tensor) -> None:
        """Remember, for those people whose curvature is positive."""
        good = good & ((s * y).sum(1) > 1e-10 * y.square().sum(1).clamp_min(1e-30))
        keep = good[None, :, None]
        self.s = torch.where(keep, torch.cat([s[None], self.s[:-1]]), self.s)
        self.y = torch.where(keep, torch.cat([y[None], self.y[:-1]]), self.y)

    def direction(self, gradient: Tensor) -> Tensor:
        """-H g (B, U) by the two-loop recursion (Nocedal and Wright 2006, algorithm 7.4)."""
        curvature = (self.s * self.y).sum(-1)
        rho = torch.where(curvature > 0, 1 / curvature.clamp_min(1e-30), 0.0)
        q, shares = gradient.clone(), []
        for s, y, r in zip(self.s, self.y, rho, strict=True):
            share = r * (s * q).sum(1)
            q = q - share[:, None] * y
            shares.append(share)
        newest = self.y[0].square().sum(1)
        first = 1 / gradient.norm(dim=1).clamp_min(1e-12)
        q = q * torch.where(newest > 0, curvature[0] / newest.clamp_min(1e-30), first)[:, None]
        for i in range(MEMORY - 1, -1, -1):
            back = rho[i] * (self.y[i] * q).sum(1)
            q = q + (shares[i] - back)[:, None] * self.s[i]
        return -q


def _minimise(people: _People, x: Tensor, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Final x (B, U), energy (B,), iterations (B,)."""
    found = x.clone()
    energy, gradient = people.slope(x)
    result, used = energy.clone(), torch.zeros(len(x), dtype=torch.long, device=x.device)
    memory, calm = _Memory(x), torch.zeros_like(used)
    alive = torch.arange(len(x), device=x.device)
    keep = energy.isfinite()
    for _ in range(steps):
        if not keep.all():
            alive, people, x = alive[keep], people.select(keep), x[keep]
            energy, gradient, calm = energy[keep], gradient[keep], calm[keep]
            memory.select(keep)
        if len(alive) == 0:
            break
        used[alive] += 1
        direction = memory.direction(gradient)
        fall = (direction * gradient).sum(1)
        uphill = ~(fall < 0)
        direction = torch.where(uphill[:, None], -gradient / gradient.norm(dim=1, keepdim=True), direction)
        fall = torch.where(uphill, -gradient.norm(dim=1), fall)
        step, moved = _search(people, x, energy, direction, fall)
        new_energy, new_gradient = people.slope(x + step)
        hopeless = ~moved & memory.empty()
        memory.forget(~moved)  # a stale memory may point uphill: once more along the gradient
        memory.add(step, new_gradient - gradient, moved)
        small = energy - new_energy < SMALL * energy.abs().clamp_min(1.0)
        calm = torch.where(small & moved, calm + 1, torch.where(moved, 0, calm))
        x, energy, gradient = x + step, new_energy, new_gradient
        found[alive], result[alive] = x, energy
        keep = ~hopeless & (calm < PATIENCE)
    return found, result, used


@torch.no_grad()
def _search(
    people: _People, x: Tensor, energy: Tensor, direction: Tensor, fall: Tensor
) -> tuple[Tensor, Tensor]:
    """Backtracking by Armijo's rule: the step (B, U), zero where none was found, and whether one was (B,)."""
    length = torch.ones_like(energy)
    open_ = torch.ones_like(energy, dtype=torch.bool)
    for _ in range(TRIALS):
        at = people.energy(x + length[:, None] * direction)
        open_ = open_ & ~(at <= energy + SUFFICIENT * length * fall)
        if not open_.any():
            break
        length = torch.where(open_, length * SHRINK, length)
    return torch.where(open_[:, None], 0.0, length[:, None] * direction), ~open_
