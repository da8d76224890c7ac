"""`Fitter`: from evidence and starts to the best body of each person, with its scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.evidence import Evidence
from bodyloop.fit.energy import energy_terms, total_energy
from bodyloop.fit.hypotheses import Hypotheses
from bodyloop.fit.noise import earned_weight, estimated_noise
from bodyloop.fit.problem import CROP, MATCHED, TUNED, EnergyWeights, FitProblem
from bodyloop.fit.schedule import MIN_DEPTH, Stage
from bodyloop.fit.solve import Backend, solve
from bodyloop.fit.spaces import SpaceKind, pose_space
from bodyloop.fit.surface import Surface, aligned
from bodyloop.geometry import Camera
from bodyloop.priors.prior import PosePrior


@dataclass(frozen=True)
class FitConfig:
    """How people are fitted.

    Attributes:
        weights: of the energy; `TUNED` by default, `EnergyWeights()` for SPIN's (with ``rounds=0``).
        rounds: how often the noise of each person's keypoints is then estimated (see `bodyloop.fit.noise`) and the
            best start's body fitted on with the weights that fit the noise; 0 = never.
        matched: weights of those rounds, for keypoints that are off by `bodyloop.fit.noise.REFERENCE`.
        dense: weight of squared residuals of dense keypoints, next to that of keypoints.
        parts: weight of part alignment.
        part_rounds: rounds at least where parts are aligned, each with the partners of the body so far; noise is
            estimated in them unless `rounds` is 0.
        part_steps: most iterations of each of these rounds but the last; `steps` if None. Partners change after each,
            so that a round need not find the very bottom.
        orient_steps: most iterations of the first stage (orientation and translation, torso only).
        steps: most iterations of the last stage.
        backend: see `bodyloop.fit.solve.solve`.
        space: whether the prior's numbers or its latents are the unknowns.
        few_keypoints: a person with fewer seen keypoints is not trusted.
        high_error: nor one whose mean reprojection error exceeds this share of the box.
        high_pose: nor one whose pose has a higher energy under the prior, in nats (of the poses that the
            shipped mixture was trained on, 0.1 % have more than 96).
        high_beta: nor one with a shape coefficient beyond this many standard deviations (SPIN 3.5: 3).
        keep_tried: whether `Fits.tried` tells what every start led to.
    """

    weights: EnergyWeights = TUNED
    rounds: int = 2
    matched: EnergyWeights = MATCHED
    dense: float = 0.5
    parts: float = 0.3
    part_rounds: int = 6
    part_steps: int | None = None
    orient_steps: int = 8
    steps: int = 40
    backend: Backend = "auto"
    space: SpaceKind = "ambient"
    few_keypoints: int = 6
    high_error: float = 0.06
    high_pose: float = 100.0
    high_beta: float = 3.0
    keep_tried: bool = False

    def stages(
        self, oriented: bool, weights: EnergyWeights | None = None, steps: int | None = None
    ) -> tuple[Stage, ...]:
        """The schedule, with other weights or steps if given; an oriented start skips the first stage."""
        weights = weights or self.weights
        last = Stage(True, weights, steps or self.steps)
        return (last,) if oriented else (Stage(False, weights, self.orient_steps), last)


@dataclass(frozen=True)
class Start:
    """One body a person to start from.

    Attributes:
        name: for the report, e.g. "lifter".
        bodies: N people, in front of the camera.
        oriented: the global orientation is an estimate, not a guess.
    """

    name: str
    bodies: Bodies
    oriented: bool = False


@dataclass(frozen=True)
class Fits:
    """N fitted people of one or several images; tensors on the body's device, camera and evidence as given.

    Attributes:
        bodies: N people in camera axes.
        camera: of each person (N, 2), or one for all.
        evidence: what was fitted.
        energy: (N,) total energy, in squared pixels of a 224-pixel crop, as weighted in the last round.
        terms: its weighted terms, each (N,).
        error_px: (N,) mean distance in image pixels between seen and reprojected keypoints, by confidence; NaN where
            none is seen.
        error_box: (N,) the same as a fraction of the box's longer side.
        seen: (N,) number of keypoints used.
        noise: (N,) standard deviation of the keypoints, as a share of the box, by which the last round weighted
            them; NaN if nobody gave or estimated it.
        start: N names of the starts that won.
        doubts: N tuples of reasons not to trust the person; empty = trusted.
        tried: what every start led to, before the best was chosen and fitted on; None unless it was asked for.
    """

    bodies: Bodies
    camera: Camera
    evidence: Evidence
    energy: Tensor
    terms: dict[str, Tensor]
    error_px: Tensor
    error_box: Tensor
    seen: Tensor
    noise: Tensor
    start: tuple[str, ...]
    doubts: tuple[tuple[str, ...], ...]
    tried: Hypotheses | None = None

    def __len__(self) -> int:
        return len(self.energy)

    @classmethod
    def cat(cls, several: "Sequence[Fits]") -> "Fits":
        """People of several fits, one after the other; terms that some lack are 0 for those.

        Raises:
            ValueError: for none at all.
        """
        if not several:
            raise ValueError("Fits.cat needs at least one")
        first = several[0]
        names = list(dict.fromkeys(name for fits in several for name in fits.terms))
        firsts = [sum(map(len, several[:i])) for i in range(len(several))]
        tried = [f.tried.of_later(n) for f, n in zip(several, firsts, strict=True) if f.tried is not None]
        cameras = [fits.camera.expand(len(fits)) for fits in several]
        evidence = [fits.evidence for fits in several]

        def joined(value: Callable[["Fits"], Tensor]) -> Tensor:
            return torch.cat([value(fits) for fits in several])

        return cls(
            Bodies.cat([fits.bodies for fits in several]),
            Camera(
                torch.cat([c.focal for c in cameras]),
                torch.cat([c.center for c in cameras]),
                first.camera.size,
            ),
            Evidence(
                first.evidence.skeleton,
                torch.cat([e.keypoints for e in evidence]),
                torch.cat([e.confidence for e in evidence]),
                torch.cat([e.boxes for e in evidence]),
                tuple(label for e in evidence for label in e.labels),
            ),
            joined(lambda f: f.energy),
            {
                name: torch.cat([f.terms.get(name, torch.zeros_like(f.energy)) for f in several])
                for name in names
            },
            joined(lambda f: f.error_px),
            joined(lambda f: f.error_box),
            joined(lambda f: f.seen),
            joined(lambda f: f.noise),
            tuple(name for f in several for name in f.start),
            tuple(doubts for f in several for doubts in f.doubts),
            Hypotheses.cat(tried) if tried else None,
        )

    def to(self, device: torch.device | str) -> "Fits":
        """The same people on another device."""
        return replace(
            self,
            bodies=self.bodies.to(device),
            energy=self.energy.to(device),
            terms={name: values.to(device) for name, values in self.terms.items()},
            error_px=self.error_px.to(device),
            error_box=self.error_box.to(device),
            seen=self.seen.to(device),
            noise=self.noise.to(device),
            tried=None if self.tried is None else self.tried.to(device),
        )

    def __getitem__(self, index: Tensor) -> "Fits":
        """People by their numbers (M,) int64, each with a camera of their own."""
        index = index.to(self.energy.device)
        numbers, camera = index.tolist(), self.camera.expand(len(self))
        return Fits(
            bodies=self.bodies[index],
            camera=Camera(camera.focal[numbers], camera.center[numbers], camera.size),
            evidence=self.evidence[index.cpu()],
            energy=self.energy[index],
            terms={name: values[index] for name, values in self.terms.items()},
            error_px=self.error_px[index],
            error_box=self.error_box[index],
            seen=self.seen[index],
            noise=self.noise[index],
            start=tuple(self.start[i] for i in numbers),
            doubts=tuple(self.doubts[i] for i in numbers),
            tried=None if self.tried is None else self.tried.of_people(numbers),
        )

    def where(self, mask: Tensor, other: "Fits") -> "Fits":
        """These people where the mask (N,) bool says so, and those of another fit of the same evidence elsewhere."""
        count = len(self)
        keep = mask.to(self.energy.device)
        index = torch.arange(count, device=keep.device) + torch.where(keep, 0, count)
        return replace(Fits.cat([self, other])[index], camera=self.camera, evidence=self.evidence)

    @property
    def trusted(self) -> Tensor:
        """(N,) bool."""
        return torch.tensor([not d for d in self.doubts], dtype=torch.bool, device=self.energy.device)


@dataclass(frozen=True)
class _Found:
    """N people on the way: bodies, the unknowns of their pose (N, Q), the names of the starts that won."""

    bodies: Bodies
    pose: Tensor
    start: tuple[str, ...]
    tried: Hypotheses | None = None


@dataclass(frozen=True)
class Fitter:
    """Fits a body model to keypoints under a prior, on the body's device and in its precision.

    Attributes:
        body: the model.
        prior: of the pose.
        config: weights, schedule, thresholds.
        anchor_scale: (69,) radians; how far an anchored start's pose is usually off.
        judge: the prior that says whether a found pose is unusual, on whose scale `FitConfig.high_pose` is;
            the fit's own if None.
    """

    body: BodyModel
    prior: PosePrior
    config: FitConfig = field(default_factory=FitConfig)
    anchor_scale: Tensor | None = None
    judge: PosePrior | None = None

    def __call__(
        self,
        evidence: Evidence,
        camera: Camera,
        starts: list[Start],
        anchor: Tensor | None = None,
        noise: Tensor | None = None,
        surfaces: Sequence[Surface] | None = None,
    ) -> Fits:
        """Fit all people from all starts; the lowest energy wins, and is fitted on as `FitConfig.rounds` says.

        Args:
            evidence: N people.
            camera: one for all, or one a person.
            starts: at least one, each with N bodies.
            anchor: (N, 69) pose to stay near, as far as `EnergyWeights.anchor` says; see `anchor_scale`.
            noise: (N,) standard deviation of the keypoints as a share of the box, if it is known; then all starts
                are fitted with the weights for it, and nothing is estimated.
            surfaces: dense keypoints and parts of each person. Dense keypoints are points of one body alone: with
                any, N is 1.

        Raises:
            ValueError: without starts, or with surfaces of too few or too many people.
        """
        if not starts:
            raise ValueError("fitting needs at least one start")
        problem = self._problem(evidence, camera, anchor, surfaces)
        like = problem.target
        ordered = [s for s in starts if not s.oriented] + [s for s in starts if s.oriented]
        given = noise is not None
        noise = None if noise is None else noise.to(like)
        weights = self.config.matched if given else self.config.weights
        believed = self._believed(problem, camera, noise, surfaces)
        found = self._best(believed, ordered, weights)
        rounds = self._rounds(given, surfaces)
        for number in range(rounds):
            if not given and self.config.rounds:
                _, error_box, _ = self._off(problem, evidence, camera, found.bodies)
                noise = estimated_noise(error_box, _points(problem, surfaces))
                weights = self.config.matched
            believed = self._believed(problem, camera, noise, surfaces, found.bodies)
            steps = self.config.part_steps if number < rounds - 1 and _have_parts(surfaces) else None
            better = self._best(believed, [Start("", found.bodies, oriented=True)], weights, steps)
            found = replace(better, start=found.start, tried=found.tried)
        return self._judged(problem, believed, evidence, camera, found, weights, noise)

    def scored(
        self,
        name: str,
        bodies: Bodies,
        evidence: Evidence,
        camera: Camera,
        anchor: Tensor | None = None,
        noise: Tensor | None = None,
        surfaces: Sequence[Surface] | None = None,
    ) -> Fits:
        """Scores and doubts of bodies that somebody else found: nothing is moved.

        Args:
            name: of where the bodies are from, for `Fits.start`.
            bodies: N people in camera axes.
            evidence, camera, anchor, surfaces: as in a fit.
            noise: as in a fit. With that of another fit of the same people (`Fits.noise`), energies are comparable.

        Raises:
            ValueError: with surfaces of too few or too many people.
        """
        problem = self._problem(evidence, camera, anchor, surfaces)
        bodies = bodies.to(problem.target)
        noise = None if noise is None else noise.to(problem.target)
        pose = pose_space(self.prior, self.config.space).to(problem.target).start(bodies.rotations[:, 1:])
        believed = self._believed(problem, camera, noise, surfaces, bodies)
        found = _Found(bodies, pose, (name,) * len(evidence))
        weights = self.config.weights if noise is None else self.config.matched
        return self._judged(problem, believed, evidence, camera, found, weights, noise)

    def _problem(
        self, evidence: Evidence, camera: Camera, anchor: Tensor | None, surfaces: Sequence[Surface] | None
    ) -> FitProblem:
        """The problem without surfaces, which are checked here."""
        if surfaces is not None and len(surfaces) != len(evidence):
            raise ValueError(f"{len(evidence)} people need as many surfaces, got {len(surfaces)}")
        if surfaces is not None and len(surfaces) > 1 and any(map(len, surfaces)):
            raise ValueError("dense keypoints are points of one body: fit such people one by one")
        problem = FitProblem.build(self.body, evidence, camera)
        if anchor is None:
            return problem
        like = problem.target
        scale = torch.ones(69) if self.anchor_scale is None else self.anchor_scale
        return replace(problem, anchor=anchor.to(like), anchor_scale=scale.to(like))

    def _rounds(self, given: bool, surfaces: Sequence[Surface] | None) -> int:
        """How often the best body is fitted on."""
        rounds = 0 if given else self.config.rounds
        return max(rounds, self.config.part_rounds) if _have_parts(surfaces) else rounds

    def _believed(
        self,
        problem: FitProblem,
        camera: Camera,
        noise: Tensor | None,
        surfaces: Sequence[Surface] | None,
        bodies: Bodies | None = None,
    ) -> FitProblem:
        """The problem weighted by the keypoints' noise, with the surface as it looks from the bodies so far."""
        believed = problem if noise is None else problem.believed(earned_weight(noise))
        if surfaces is not None and len(surfaces) == 1 and len(surface := surfaces[0]):
            points, target = surface.dense_points(self.body), surface.dense_targets(problem, camera)
            weight = self.config.dense * surface.confidence.to(target).square()
            if noise is not None and bodies is not None:
                place = self.body.points(bodies, points)[0]
                seen = place[:, :2] / place[:, 2:] * problem.focal[0]
                off = (seen - target).norm(dim=-1).mean()[None] / CROP
                weight = weight * earned_weight(estimated_noise(off, _points(problem, surfaces)))
            believed = believed.with_points(points, target[None], weight[None])
        if bodies is not None and surfaces is not None and _have_parts(surfaces):
            points, target, weight = aligned(surfaces, problem, self.body, camera, bodies)
            believed = believed.with_points(points, target, self.config.parts * weight)
        return believed

    def _best(
        self, problem: FitProblem, starts: list[Start], weights: EnergyWeights, steps: int | None = None
    ) -> "_Found":
        """The fit of lowest energy of each person; starts without an orientation come first."""
        like = problem.target
        n, guessed = len(problem), sum(not s.oriented for s in starts)
        people = torch.arange(n, device=like.device)
        solutions = [
            solve(
                self.body,
                problem[people.repeat(len(group))],
                self.prior,
                Bodies.cat([s.bodies.to(like) for s in group]),
                self.config.stages(oriented, weights, steps),
                self.config.backend,
                self.config.space,
            )
            for oriented, group in ((False, starts[:guessed]), (True, starts[guessed:]))
            if group
        ]
        energy = torch.cat([s.energy for s in solutions]).reshape(len(starts), n)
        best = energy.nan_to_num(torch.inf, posinf=torch.inf).argmin(0)
        bodies = Bodies.cat([s.bodies for s in solutions])
        pose = torch.cat([s.pose for s in solutions])[best * n + people]
        tried = None
        if self.config.keep_tried:
            names = tuple(start.name for start in starts for _ in range(n))
            tried = Hypotheses(bodies, people.repeat(len(starts)), energy.flatten(), names)
        chosen = tuple(starts[i].name for i in best.tolist())
        return _Found(bodies[best * n + people], pose, chosen, tried)

    def _off(
        self, problem: FitProblem, evidence: Evidence, camera: Camera, bodies: Bodies
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean reprojection error (N,) in image pixels and as a share of the box; depth (N,) of the nearest point."""
        like = problem.target
        points = self.body.points(bodies, problem.points)
        pixels = camera.expand(len(evidence)).to(like).project(points)
        distance = (pixels - evidence.keypoints.to(like)).norm(dim=-1)
        used = problem.weight > 0
        share = torch.where(used, evidence.confidence.to(like), 0.0)
        share = share / share.sum(1, keepdim=True).clamp_min(1e-9)
        error = torch.where(used, distance * share, 0.0).sum(1)
        return error, error * problem.scale / CROP, torch.where(used, points[..., 2], torch.inf).amin(1)

    def _judged(
        self,
        problem: FitProblem,
        believed: FitProblem,
        evidence: Evidence,
        camera: Camera,
        found: "_Found",
        weights: EnergyWeights,
        noise: Tensor | None,
    ) -> Fits:
        """Scores and doubts of what was found, under the energy that it was found with."""
        like, judge, bodies = problem.target, self.judge or self.prior, found.bodies
        space = pose_space(self.prior, self.config.space).to(like)
        terms = energy_terms(self.body, believed, space, weights, bodies, found.pose)
        error, error_box, depth = self._off(problem, evidence, camera, bodies)
        seen = (problem.weight > 0).sum(1)
        error, error_box = (torch.where(seen > 0, e, torch.nan) for e in (error, error_box))
        unusual = judge.to(like).energy(bodies.rotations[:, 1:])
        doubts = tuple(
            self._doubts(
                int(seen[i]), float(error_box[i]), float(unusual[i]), bodies.betas[i], float(depth[i])
            )
            for i in range(len(evidence))
        )
        return Fits(
            bodies=bodies,
            camera=camera,
            evidence=evidence,
            energy=total_energy(terms),
            terms=terms,
            error_px=error,
            error_box=error_box,
            seen=seen,
            noise=torch.full_like(error, torch.nan) if noise is None else noise,
            start=found.start,
            doubts=doubts,
            tried=found.tried,
        )

    def _doubts(
        self, seen: int, error_box: float, pose: float, betas: Tensor, depth: float
    ) -> tuple[str, ...]:
        """Reasons not to trust a person."""
        config, doubts = self.config, []
        if seen < config.few_keypoints:
            doubts.append(f"only {seen} keypoints seen, fewer than {config.few_keypoints}")
        if seen and not error_box <= config.high_error:
            doubts.append(f"reprojection error {error_box:.1%} of the box, over {config.high_error:.0%}")
        if not pose <= config.high_pose:
            doubts.append(f"an unusual pose (energy {pose:.0f} under the prior, over {config.high_pose:.0f})")
        beta = float(betas.abs().max())
        if not beta <= config.high_beta:
            doubts.append(
                f"a shape coefficient of {beta:.1f}, beyond {config.high_beta:g} standard deviations"
            )
        if depth <= MIN_DEPTH:
            doubts.append("a keypoint lies behind the camera")
        return tuple(doubts)


def _points(problem: FitProblem, surfaces: Sequence[Surface] | None) -> Tensor:
    """Number (N,) of keypoints and dense keypoints that a fit has to meet."""
    seen = (problem.weight > 0).sum(1)
    return seen if surfaces is None else seen + torch.tensor([len(s) for s in surfaces], device=seen.device)


def _have_parts(surfaces: Sequence[Surface] | None) -> bool:
    """Whether there are maps of parts, which all people have or none."""
    return surfaces is not None and len(surfaces) > 0 and all(s.targets is not None for s in surfaces)
