"""Fitting people over time: all frames of a track at once, with one shape and with smoothness between frames.

    E = sum_t E_t + shape^2 |betas|^2
        + latent^2 sum_t |q_t - q_(t-1)|^2                     neighbouring poses (Zanfir et al. 2020, eq. 12)
        + joints^2 sum_t |x_(t-1) - 2 x_t + x_(t+1)|^2 / dt^4  accelerations of the joints x, in metres and seconds
        + place^2  sum_t |y_(t-1) - 2 y_t + y_(t+1)|^2 / dt^4  and of the place y

E_t is the energy of one frame (`bodyloop.fit.problem`) without its charge for the shape, which all frames share. Poses
are unknowns q of a `PoseSpace`; in a flow's latent space the second row is the paper's term. The others are ours: a
person that moves on evenly is charged nothing. x are the joints of the mean shape in the person's pose and orientation,
and y = d (X / Z, Y / Z, log Z) of the translation X, Y, Z, where d is the track's distance at the start. A camera
cannot tell a small person from a larger one farther away; were joints taken as they are, smoothness could, and would
make people small. Frames without keypoints are held by smoothness and prior alone, which bridges gaps.

Levenberg-Marquardt as in `bodyloop.fit.batched`; the Hessian is a band with a border (`bodyloop.fit.banded`), so that
the cost grows linearly with the frames. Several tracks of equal length are fitted at once.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.fit.banded import BandedStep, BandedSystem, solve_banded
from bodyloop.fit.batched import State
from bodyloop.fit.frames import Frames, frames_of
from bodyloop.fit.problem import EnergyWeights, FitProblem
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
from bodyloop.fit.smoothness import band_of, banded_product, differenced, differences
from bodyloop.fit.spaces import PoseSpace
from bodyloop.geometry import axis_angle_to_rotmat

N_BETAS = 10


@dataclass(frozen=True)
class Smoothness:
    """Weights, before squaring, of what ties the frames of a track.

    Attributes:
        latent: of differences between the unknown poses of neighbouring frames, at 30 frames a second.
        joints: of accelerations of the joints, crop pixels per m/s^2. With keypoints off by s crop pixels, s / a is the
            weight for accelerations of the standard deviation a.
        place: of accelerations of the translation, likewise.
    """

    latent: float = 0.0
    joints: float = 0.0
    place: float = 0.0

    @property
    def reach(self) -> int:
        """How many frames ahead a frame touches."""
        return 2 if self.joints > 0 or self.place > 0 else 1 if self.latent > 0 else 0


@dataclass(frozen=True)
class TrackSolution:
    """Minimised tracks.

    Attributes:
        bodies: (B, T) people in the camera frame; a track's frames have one shape.
        energy: (B,) final energy; infinite where the start had a keypoint behind the camera.
        frame_energy: (B, T) what the frames charge, without shape and smoothness.
        information: (B, 10, 10) how firmly the energy holds the shape where all else is free: half its Hessian, with
            the damping of the last step; zero where the shape was held fast.
        iterations: (B,).
    """

    bodies: Bodies
    energy: Tensor
    frame_energy: Tensor
    information: Tensor
    iterations: Tensor


@torch.no_grad()
def solve_tracks(
    body: BodyModel,
    problem: FitProblem,
    times: Tensor,
    space: PoseSpace,
    start: Bodies,
    weights: EnergyWeights,
    smoothness: Smoothness,
    steps: int = 30,
    fixed_shape: bool = False,
) -> TrackSolution:
    """Minimise the energy of B tracks of T frames.

    Args:
        body: the model.
        problem: the B T frames, track after track; those of weight 0 are bridged.
        times: (B, T) seconds, rising.
        space: unknowns of the body pose, with the prior that charges for them.
        start: (B, T) people in the camera frame; a track starts from its frames' mean shape.
        weights: of the frames' energies, and of the shape.
        smoothness: weights of what ties frames.
        steps: most iterations.
        fixed_shape: whether the shape stays that of the start.

    Raises:
        ValueError: if start, times and problem are not of the same frames, or times do not rise.
    """
    count, frames = times.shape
    if start.batch_shape != (count, frames) or len(problem) != count * frames:
        raise ValueError(
            f"{count} tracks of {frames} frames need starts ({count}, {frames}) and a problem of {count * frames} "
            f"people, got {tuple(start.batch_shape)} and {len(problem)}"
        )
    if frames > 1 and not bool((times.diff(dim=-1) > 0).all()):
        raise ValueError("times of a track should rise")
    stage = Stage(True, EnergyWeights(weights.pose, weights.bend, 0.0, weights.sigma, weights.anchor), steps)
    all_frames = frames_of(body, problem, space, stage)
    like = all_frames.like
    state = State.of(start.to(like).reshape(-1), all_frames.space)
    state.betas = start.betas.to(like).mean(1)
    distance = start.translation[..., 2].to(like).median(1).values.clamp_min(MIN_DEPTH)
    chains = _Chains(all_frames, times.to(like), distance, weights.shape, smoothness, fixed_shape)
    energy, information, iterations = _minimise(chains, state, steps)
    frame_energy = all_frames.measure(chains.spread(state))[0].reshape(count, frames)
    bodies = chains.spread(state).bodies(all_frames.space).reshape(count, frames)
    given = start.betas
    return TrackSolution(
        bodies.to(given.device, given.dtype),
        energy.to(given),
        frame_energy.to(given),
        information.to(given),
        iterations.to(given.device),
    )


class _Chains:
    """Tracks as one problem: the energy of each, and its banded system.

    A state has root, pose and translation of all B T frames, and betas (B, 10).
    """

    def __init__(
        self,
        frames: Frames,
        times: Tensor,
        distance: Tensor,
        shape: float,
        smoothness: Smoothness,
        fixed_shape: bool,
    ) -> None:
        self.frames, self.times, self.distance, self.shape = frames, times, distance, shape
        self.smoothness, self.fixed_shape = smoothness, fixed_shape
        size, count = frames.space.size, times.shape[1]
        own = torch.arange(size + 16, device=times.device)
        self.pose, self.betas = slice(3, 3 + size), slice(3 + size, 13 + size)
        self.turns, self.trans = slice(0, 3 + size), slice(3 + size, 6 + size)  # without betas
        self.own = torch.cat([own[: 3 + size], own[13 + size :]])
        self.by_order = {order: differences(times, order) for order in (1, 2)}
        self.bands = {order: band_of(d, count) for order, d in self.by_order.items()}

    def spread(self, state: State) -> State:
        """The frames, each with its track's shape."""
        betas = state.betas[:, None].expand(-1, self.times.shape[1], -1).flatten(0, 1)
        return State(state.root, state.pose, betas, state.trans)

    def _by_track(self, values: Tensor) -> Tensor:
        return values.unflatten(0, tuple(self.times.shape))

    def energy(self, state: State) -> Tensor:
        """E (B,)."""
        energies, figures = self.frames.measure(self.spread(state))
        total = self._by_track(energies).sum(1) + self.shape**2 * state.betas.square().sum(-1)
        w = self.smoothness
        for weight, values, order in (
            (w.latent, state.pose, 1),
            (w.joints, figures, 2),
            (w.place, self._views(state)[0], 2),
        ):
            if weight > 0:
                off = differenced(self.by_order[order], self._by_track(values))
                total = total + weight**2 * off.square().flatten(1).sum(1)
        return total

    def _views(self, state: State) -> tuple[Tensor, Tensor]:
        """y (N, 3) of the translations, and dy / d translation (N, 3, 3)."""
        x, y, z = state.trans.unbind(-1)
        z = z.clamp_min(MIN_DEPTH)
        far = self.distance[:, None].expand(-1, self.times.shape[1]).flatten()
        zero, one = torch.zeros_like(z), torch.ones_like(z)
        value = torch.stack([x / z, y / z, z.log()], -1)
        slope = torch.stack([one, zero, -x / z, zero, one, -y / z, zero, zero, one], -1).unflatten(-1, (3, 3))
        return far[:, None] * value, (far / z)[:, None, None] * slope

    def system(self, state: State) -> BandedSystem:
        """Half Gauss-Newton Hessian and half gradient.

        Both are worked out in the unknowns' precision, and tied and solved in single precision, which halves the time:
        the energy, in its own, says whether a step is good.
        """
        w = self.smoothness
        linear = self.frames.linearise(self.spread(state), w.joints > 0)
        hessian, gradient = self._by_track(linear.hessian), self._by_track(linear.gradient)
        count, frames = self.times.shape
        size, own = len(self.own), self.own
        band = hessian.new_zeros(count, frames, w.reach + 1, size, size, dtype=torch.float32)
        parts = ((self.turns, self.turns), (self.trans, slice(self.betas.stop, None)))
        for down, from_down in parts:
            for right, from_right in parts:
                band[:, :, 0, down, right] = hessian[..., from_down, from_right]
        border = hessian[..., self.betas, :][..., own]
        corner = hessian[..., self.betas, self.betas].sum(1)
        forces, shared = gradient[..., own].clone(), gradient[..., self.betas].sum(1)
        if w.latent > 0:
            poses = self._by_track(state.pose)
            forces[..., self.pose] += w.latent**2 * banded_product(self.bands[1], poses)
            for k in range(2):
                diagonal = band[:, :, k].diagonal(dim1=-2, dim2=-1)
                diagonal[..., self.pose] += w.latent**2 * self.bands[1][:, :, k, None]
        if linear.rows is not None:
            self._tie(band, forces, self.turns, w.joints, linear.figures.flatten(1), linear.rows)
        if w.place > 0:
            self._tie(band, forces, self.trans, w.place, *self._views(state))
        eye = torch.eye(N_BETAS, dtype=corner.dtype, device=corner.device)
        if self.fixed_shape:
            border, corner, shared = border * 0, eye.expand(count, -1, -1), shared * 0
        else:
            corner, shared = corner + self.shape**2 * eye, shared + self.shape**2 * state.betas
        return BandedSystem(band, *(x.to(band) for x in (border, corner, forces, shared)))

    def _tie(
        self, band: Tensor, forces: Tensor, where: slice, weight: float, values: Tensor, rows: Tensor
    ) -> None:
        """Add the accelerations of values (N, M) with the derivatives (N, M, K) by the unknowns `where`, in place."""
        values, rows = self._by_track(values), self._by_track(rows)
        ties = weight**2 * self.bands[2]
        forces[..., where] += (rows.mT @ banded_product(ties, values)[..., None])[..., 0]
        frames, rows = self.times.shape[1], rows.to(band)
        for k in range(min(3, frames)):
            tied = ties[:, : frames - k, k, None, None].to(band) * rows[:, : frames - k]
            band[:, : frames - k, k, where, where] += rows[:, k:].mT @ tied

    def moved(self, state: State, step: BandedStep) -> State:
        """After a step."""
        frames = step.frames.flatten(0, 1).to(state.trans)
        root, pose, trans = frames.split([3, state.pose.shape[1], 3], 1)
        return State(
            state.root @ axis_angle_to_rotmat(root),
            state.pose + pose,
            state.betas + step.shared.to(state.trans),
            state.trans + trans,
        )

    def select(self, tracks: Tensor) -> "_Chains":
        """Some of the tracks."""
        return _Chains(
            self.frames.select(self._frames_of(tracks)),
            self.times[tracks],
            self.distance[tracks],
            self.shape,
            self.smoothness,
            self.fixed_shape,
        )

    def _frames_of(self, tracks: Tensor) -> Tensor:
        """Numbers of the frames of some tracks."""
        frames = self.times.shape[1]
        return (tracks[:, None] * frames + torch.arange(frames, device=tracks.device)).flatten()

    def pick(self, state: State, tracks: Tensor) -> State:
        """The state of some tracks."""
        frames = self._frames_of(tracks)
        return State(state.root[frames], state.pose[frames], state.betas[tracks], state.trans[frames])

    def put(self, state: State, tracks: Tensor, other: State) -> None:
        """Write the state of some tracks, in place."""
        frames = self._frames_of(tracks)
        state.root[frames], state.pose[frames], state.trans[frames] = other.root, other.pose, other.trans
        state.betas[tracks] = other.betas


def _minimise(chains: _Chains, state: State, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Minimise in place on `state`; energies (B,), information (B, 10, 10) and iterations (B,)."""
    energy = chains.energy(state)
    count = len(energy)
    information = energy.new_zeros(count, N_BETAS, N_BETAS)
    iterations = torch.zeros(count, dtype=torch.long, device=energy.device)
    damping = torch.full_like(energy, DAMPING_START)
    alive = energy.isfinite().nonzero()[:, 0]
    part, now, system = chains, state, None
    for _ in range(steps):
        if len(alive) == 0:
            break
        if system is None:
            part, now = chains.select(alive), chains.pick(state, alive)
            system = part.system(now)
        iterations[alive] += 1
        step = solve_banded(system, damping[alive].to(system.band))
        information[alive] = step.information.to(energy)
        trial = part.moved(now, step)
        found = torch.where(step.good, part.energy(trial), torch.nan)
        better = found < energy[alive]
        small = better & (energy[alive] - found < TOLERANCE * energy[alive].abs().clamp_min(1.0))
        chosen = better.nonzero()[:, 0]
        if len(chosen):
            chains.put(state, alive[chosen], part.pick(trial, chosen))
            energy[alive[chosen]] = found[chosen]
        lowered = (damping[alive] * ACCEPT_FACTOR).clamp_min(DAMPING_MIN)
        damping[alive] = torch.where(better, lowered, damping[alive] * REJECT_FACTOR)
        keep = ~small & (damping[alive] <= DAMPING_MAX)
        if len(chosen) or not bool(keep.all()):
            system = None
        alive = alive[keep]
    if chains.fixed_shape:
        information.zero_()
    return energy, information, iterations
