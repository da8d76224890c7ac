"""From the evidence of people over time to their bodies: starts, the best path through them, one fit of all frames."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import roma
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, builtin_body
from bodyloop.evidence import Evidence
from bodyloop.fit import MATCHED, FitConfig, FitProblem, Fitter, Start, mean_pose_starts
from bodyloop.fit.energy import reprojection
from bodyloop.fit.noise import REFERENCE, earned_weight, estimated_noise
from bodyloop.fit.paths import best_paths
from bodyloop.fit.problem import CROP, EnergyWeights
from bodyloop.fit.spaces import pose_space
from bodyloop.fit.starts import YAWS
from bodyloop.fit.temporal import Smoothness, TrackSolution, solve_tracks
from bodyloop.geometry import Camera
from bodyloop.nets.lifter import default_lifter
from bodyloop.priors.gmm import default_mixture
from bodyloop.track import Track

FEWEST = 4
"""Keypoints that a frame needs to be fitted for itself; with fewer it counts in the fit of all frames alone."""
ENOUGH = 6
"""Keypoints of a frame that tell how noisy they are."""
STEADY_FRAMES = 15
"""A frame's residuals are measured by the median size of the boxes of so many frames before and after: the box around
the keypoints that are seen shrinks whenever an outer one is missing."""

_SIGMA = CROP * REFERENCE
ALIKE = 10.0
"""Frames after which a track says little more about the shape: a detector puts a keypoint beside the body's in the same
way in every frame, and with many frames the shape would follow that until nobody looks so."""
ACCELERATION = 20.0
"""Metres per second squared, standard deviation of the joints' accelerations per coordinate; validation subjects run,
and were fitted equally well with 15 and 30."""
PLACE_ACCELERATION = 10.0
"""The same of the translation."""
ACCELERATIONS = Smoothness(joints=_SIGMA / ACCELERATION, place=_SIGMA / PLACE_ACCELERATION)
"""What ties the frames of a track unless somebody says otherwise."""


@dataclass(frozen=True)
class TemporalConfig:
    """How tracks are fitted.

    Attributes:
        frames: how each frame is fitted for a start.
        weights: of the frames in the fit of all, for keypoints that are off by `REFERENCE`.
        smoothness: what ties the frames.
        steps: most iterations.
        window: frames fitted at once; longer tracks are fitted in windows, which bounds the memory.
        overlap: frames that two windows share; in them one fades into the other.
    """

    frames: FitConfig = field(default_factory=FitConfig)
    weights: EnergyWeights = MATCHED
    smoothness: Smoothness = ACCELERATIONS
    steps: int = 30
    window: int = 1000
    overlap: int = 60

    def __post_init__(self) -> None:
        if not 0 < self.overlap < self.window:
            raise ValueError(
                f"windows need an overlap from 1 to their length, got {self.overlap} of {self.window} frames"
            )


@dataclass(frozen=True)
class TrackFits:
    """B people of T frames each.

    Attributes:
        bodies: (B, T) in camera axes, a person's frames with one shape.
        observed: (B, T) bool, frames with keypoints of their own.
        noise: (B,) standard deviation of the keypoints, as a share of the box, by which they were weighted.
        error_px: (B, T) mean distance in image pixels between seen and reprojected keypoints; NaN where none is seen.
        iterations: (B,) of the fit of all frames, summed over windows.
    """

    bodies: Bodies
    observed: Tensor
    noise: Tensor
    error_px: Tensor
    iterations: Tensor


@torch.no_grad()
def fit_over_time(
    evidence: Evidence,
    camera: Camera,
    times: Tensor,
    body: BodyModel | None = None,
    config: TemporalConfig | None = None,
) -> TrackFits:
    """Bodies of B people over T frames, each with one shape, from 2D keypoints.

    Each frame is fitted from several starts for itself; the best path through what they lead to is where the fit of all
    frames begins (`bodyloop.fit.temporal`). Frames without keypoints are bridged.

    Args:
        evidence: of the B T frames, person after person; confidence 0 throughout where a person is not seen.
        camera: one for all, or one for each of the B T frames.
        times: (B, T) seconds, rising.
        body: the built-in one if None.
        config: the defaults if None.

    Raises:
        ValueError: if times are not of the evidence's frames.
    """
    count, frames = times.shape
    if len(evidence) != count * frames:
        raise ValueError(
            f"times {tuple(times.shape)} need evidence of {count * frames} frames, got {len(evidence)}"
        )
    body = builtin_body() if body is None else body
    config = config or TemporalConfig()
    starts = _Starts.of(evidence, camera, times, body, config)
    size = min(config.window, frames)
    spans = windows(frames, size, config.overlap)
    shape, iterations = None, torch.zeros(count, dtype=torch.long)
    pieces: list[Bodies] = []
    if len(spans) > 1:
        # The shape first, from all windows; then every window is fitted to it.
        found = [starts.solved(slice(*span), body, config, None) for span in spans]
        information = torch.stack([solution.information for solution in found]).double()
        betas = torch.stack([solution.bodies.betas[:, 0] for solution in found]).double()
        weighted = (information @ betas[..., None]).sum(0)
        # Every window was charged for the shape, which counts once
        surplus = len(spans) * shape_weight(config, size) ** 2 - shape_weight(config, frames) ** 2
        eye = torch.eye(information.shape[-1]).double()
        shape = torch.linalg.solve(information.sum(0) - surplus * eye, weighted)[..., 0].float()
        iterations += sum(solution.iterations for solution in found)
        starts = starts.at(_faded([solution.bodies for solution in found], spans, frames))
    for span in spans:
        solution = starts.solved(slice(*span), body, config, shape)
        iterations = iterations + solution.iterations.cpu()
        pieces.append(solution.bodies)
    bodies = _faded(pieces, spans, frames)
    if shape is not None:  # as it is, without the rounding of the fade
        bodies = replace(bodies, betas=shape.to(bodies.betas)[:, None].expand_as(bodies.betas))
    return TrackFits(
        bodies, starts.observed, starts.noise, _errors(body, bodies, evidence, camera), iterations
    )


def shape_weight(config: TemporalConfig, frames: int) -> float:
    """Weight of the shape's charge, before squaring, in a fit of so many frames; see `ALIKE`."""
    return config.weights.shape * (1 + (frames - 1) / ALIKE) ** 0.5


def windows(frames: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Beginnings and ends of windows of `size` frames, each sharing at least `overlap` frames with the next; the last
    ends with the track.
    """
    if frames <= size:
        return [(0, frames)]
    begins = list(range(0, frames - size, size - overlap))
    return [(b, b + size) for b in begins] + [(frames - size, frames)]


def _faded(pieces: Sequence[Bodies], spans: Sequence[tuple[int, int]], frames: int) -> Bodies:
    """One track (B, T) of windows (B, W): where two overlap, the first fades into the second.

    Rotations are the mean's nearest ones, which for neighbouring windows is as good as the arc between them.
    """
    first = pieces[0]
    shape = (first.betas.shape[0], frames)
    rotations = first.rotations.new_zeros(*shape, 24, 3, 3)
    betas, translation = first.betas.new_zeros(*shape, 10), first.translation.new_zeros(*shape, 3)
    if len(pieces) == 1:
        return first
    total = first.betas.new_zeros(frames)
    for i, (piece, (begin, end)) in enumerate(zip(pieces, spans, strict=True)):
        weight = first.betas.new_ones(end - begin)
        if i > 0:
            shared = spans[i - 1][1] - begin
            weight[:shared] = torch.arange(1, shared + 1).to(weight) / (shared + 1)
        if i + 1 < len(spans):
            shared = end - spans[i + 1][0]
            weight[-shared:] = torch.minimum(
                weight[-shared:], torch.arange(shared, 0, -1).to(weight) / (shared + 1)
            )
        total[begin:end] += weight
        rotations[:, begin:end] += weight[:, None, None, None] * piece.rotations
        betas[:, begin:end] += weight[:, None] * piece.betas
        translation[:, begin:end] += weight[:, None] * piece.translation
    nearest = roma.special_procrustes(rotations / total[:, None, None, None])
    return Bodies(nearest, betas / total[:, None], translation / total[:, None])


@dataclass(frozen=True)
class _Starts:
    """Where the fit of all frames begins: (B, T) bodies, which are observed, noise (B,), and the weighted problem."""

    bodies: Bodies
    observed: Tensor
    noise: Tensor
    problem: FitProblem
    times: Tensor

    def at(self, bodies: Bodies) -> "_Starts":
        """The same frames from other bodies."""
        return replace(self, bodies=bodies)

    def solved(
        self, span: slice, body: BodyModel, config: TemporalConfig, shape: Tensor | None
    ) -> TrackSolution:
        """A window, with its own shape or with a given one (B, 10)."""
        start, times = self.bodies[:, span], self.times[:, span]
        if shape is not None:
            betas = shape.to(start.betas)[:, None].expand(start.betas.shape)
            start = Bodies(start.rotations, betas, start.translation)
        frames = torch.arange(self.times.numel()).reshape(self.times.shape)[:, span].flatten()
        return solve_tracks(
            body,
            self.problem[frames.to(self.problem.target.device)],
            times,
            pose_space(default_mixture(), "ambient"),
            start,
            replace(config.weights, shape=shape_weight(config, times.shape[1])),
            config.smoothness,
            config.steps,
            shape is not None,
        )

    @classmethod
    def of(
        cls, evidence: Evidence, camera: Camera, times: Tensor, body: BodyModel, config: TemporalConfig
    ) -> "_Starts":
        """Fit every frame that has enough keypoints from all starts, choose the best path, and bridge the rest."""
        count, frames = times.shape
        lens = camera.expand(len(evidence))
        problem = FitProblem.build(body, replace(evidence, boxes=steady_boxes(evidence, count)), lens)
        fitted = ((problem.weight > 0).sum(1) >= FEWEST).cpu().reshape(count, frames)
        chosen = fitted.flatten().nonzero()[:, 0]
        some, its = evidence[chosen], Camera(lens.focal[chosen], lens.center[chosen], lens.size)
        lifter, mixture = default_lifter(), default_mixture()
        lifted = lifter.lift(some, its, body)
        means = mean_pose_starts(body, mixture, some, its)
        starts = [Start("lifter", lifted, oriented=True)]
        starts += [Start(name, bodies) for name, bodies in zip(YAWS, means, strict=True)]
        every = replace(config.frames, rounds=0, keep_tried=True)
        tried = Fitter(body, mixture, every, lifter.spread)(some, its, starts, lifted.pose[:, 3:]).tried
        assert tried is not None
        bodies, energy = tried.bodies.reshape(len(starts), -1), tried.energy.reshape(len(starts), -1)
        nats = 2 * (config.frames.weights.pose / 2**0.5) ** 2  # pose^2 E is E in nats where this is 2 sigma^2
        ends = fitted.sum(1).cumsum(0).tolist()
        tracks = [
            _bridged(bodies[:, begin:end], energy[:, begin:end] / nats, times[i], fitted[i], body)
            for i, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True))
        ]
        start = Bodies.cat(tracks).reshape(count, frames)
        anchor = problem.target.new_zeros(len(evidence), 69)
        spread = torch.full_like(anchor, torch.inf)
        where = chosen.to(anchor.device)
        anchor[where], spread[where] = lifted.pose[:, 3:].to(anchor), lifter.spread.to(anchor)
        noise = _noise_of(body, start, problem)
        believed = replace(problem, anchor=anchor, anchor_scale=spread).believed(
            earned_weight(noise).repeat_interleave(frames).to(problem.target)
        )
        observed = (problem.weight > 0).any(1).reshape(count, frames).cpu()
        return cls(start, observed, noise, believed, times)


def _bridged(bodies: Bodies, charges: Tensor, times: Tensor, fitted: Tensor, body: BodyModel) -> Bodies:
    """One person's frames (T,): the best path through candidates (S, M), and what lies between in frames without any.

    Raises:
        ValueError: if no frame is fitted.
    """
    if not fitted.any():
        raise ValueError(f"a person over time needs at least one frame with {FEWEST} keypoints")
    joints = body.joints(bodies).transpose(0, 1)[None]
    path = best_paths(charges.T[None], joints, times[fitted][None].to(joints))[0]
    own = bodies[path, torch.arange(len(path), device=path.device)]
    seen = torch.ones(len(path), dtype=torch.bool)
    return Track(own, times[fitted].double(), seen, None, "").at(times.double()).bodies


def _noise_of(body: BodyModel, bodies: Bodies, problem: FitProblem) -> Tensor:
    """Noise (B,) of the keypoints of people (B, T), estimated from their frames fitted one by one."""
    count, frames = bodies.batch_shape
    flat = bodies.reshape(-1).to(problem.target)
    seen = problem.weight > 0
    off = reprojection(body.points(flat, problem.points), problem).norm(dim=-1)
    error = torch.where(seen, off, 0.0).sum(1) / seen.sum(1).clamp_min(1) / CROP
    each = estimated_noise(error, seen.sum(1)).square().reshape(count, frames)
    tells = (seen.sum(1) >= ENOUGH).reshape(count, frames)
    mean = torch.where(tells, each, 0.0).sum(1) / tells.sum(1)
    return torch.where(tells.any(1), mean.sqrt(), REFERENCE).cpu()


def _errors(body: BodyModel, bodies: Bodies, evidence: Evidence, camera: Camera) -> Tensor:
    """Mean distance (B, T) in image pixels between seen and reprojected keypoints; NaN where none is seen."""
    points, known = body.keypoints(evidence.skeleton)
    flat = bodies.reshape(-1).to(body.v_template)
    pixels = camera.expand(len(evidence)).to(body.v_template).project(body.points(flat, points))
    seen = (evidence.confidence.to(pixels) > 0) & known
    off = torch.where(seen, (pixels - evidence.keypoints.to(pixels)).norm(dim=-1), 0.0)
    return (off.sum(1) / seen.sum(1)).reshape(bodies.batch_shape).cpu()


def steady_boxes(evidence: Evidence, count: int) -> Tensor:
    """Boxes (B T, 4) with the evidence's corners and, as the side, the median over `STEADY_FRAMES` before and after.

    Args:
        evidence: B people of T frames each.
        count: B.
    """
    side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(-1).reshape(count, -1)
    frames = side.shape[1]
    padded = torch.nn.functional.pad(side, (STEADY_FRAMES, STEADY_FRAMES), value=torch.nan)
    near = padded.unfold(1, 2 * STEADY_FRAMES + 1, 1)
    median = near.nanmedian(-1).values
    overall = side.nanmedian(1, keepdim=True).values.nan_to_num(CROP).expand(-1, frames)
    steady = torch.where(median.isfinite() & (median > 0), median, overall).flatten()[:, None]
    corner = evidence.boxes[:, :2].nan_to_num(0.0)
    return torch.cat([corner, corner + steady], 1)
