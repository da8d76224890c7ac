"""The whole way from the evidence of some people to their bodies: starts, fit, scores."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, builtin_body
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, Fits, Fitter, Start, Surface, mean_pose_starts
from bodyloop.fit.starts import YAWS
from bodyloop.geometry import Camera
from bodyloop.nets.lifter import default_lifter
from bodyloop.priors import load_prior
from bodyloop.priors.gmm import default_mixture

StartKind = Literal["lifter", "mean", "network"]
PriorKind = Literal["gmm", "flow"]


@torch.no_grad()
def fit_people(
    evidence: Evidence,
    camera: Camera,
    body: BodyModel | None = None,
    config: FitConfig | None = None,
    starts: tuple[StartKind, ...] = ("lifter", "mean"),
    prior: PriorKind = "gmm",
    surfaces: Sequence[Surface] | None = None,
    estimate: Bodies | None = None,
) -> Fits:
    """Bodies of all people, from several starts each; the lowest energy wins.

    Args:
        evidence: N people.
        camera: one for all, or one a person (N, 2).
        body: the built-in one if None. The fit runs on its device: ``load_body().to("cuda")`` for a GPU.
        config: weights, schedule and thresholds; the defaults if None.
        starts: "lifter" (a network's guess from the keypoints, which the fit also stays near), "mean" (the
            prior's mean pose in four orientations), "network" (`estimate`), or several of them.
        prior: of the pose: "gmm", the mixture, or "flow": the best fit under the mixture is fitted on in the flow's
            latent space, which takes many times as long.
        surfaces: dense keypoints and parts of each person (`surfaces_of`).
        estimate: N people whom a network recovered from the image, with orientation and place, for the start "network".
            The fit stays near their pose too, and not the lifter's. How far off a network usually is, is not known: it
            is taken to be as far as the lifter (`Lifter.spread`).

    Raises:
        ValueError: without starts, with an unknown one or an unknown prior, with surfaces of too few or too many
            people, or with an estimate and no start "network" or the other way round.
    """
    if surfaces is not None and len(surfaces) != len(evidence):
        raise ValueError(f"{len(evidence)} people need as many surfaces, got {len(surfaces)}")
    if ("network" in starts) != (estimate is not None):
        raise ValueError('the start "network" and an estimate go together')
    if surfaces and not alike(surfaces):
        return Fits.cat(
            [
                fit_people(
                    evidence[one],
                    lens,
                    body,
                    config,
                    starts,
                    prior,
                    surface,
                    None if estimate is None else estimate[one],
                )
                for one, lens, surface in one_by_one(camera, surfaces)
            ]
        )
    if prior not in get_args(PriorKind):
        raise ValueError(f"prior should be one of {', '.join(get_args(PriorKind))}, got {prior!r}")
    if unknown := [name for name in starts if name not in get_args(StartKind)]:
        raise ValueError(f"starts should be among {', '.join(get_args(StartKind))}, got {unknown}")
    body = builtin_body() if body is None else body
    config = config or FitConfig()
    mixture = default_mixture()
    chosen: list[Start] = []
    anchor = spread = None
    if "lifter" in starts:
        lifter = default_lifter()
        lifted = lifter.lift(evidence, camera, body)
        anchor, spread = lifted.pose[:, 3:], lifter.spread
        chosen.append(Start("lifter", lifted, oriented=True))
    if estimate is not None:
        anchor, spread = estimate.pose[:, 3:], default_lifter().spread
        chosen.append(Start("network", estimate, oriented=True))
    if "mean" in starts:
        sets = mean_pose_starts(body, mixture, evidence, camera)
        names = tuple(f"mean, {name}" for name in YAWS)
        chosen += [Start(name, bodies) for name, bodies in zip(names, sets, strict=True)]
    fits = Fitter(body, mixture, config, spread)(evidence, camera, chosen, anchor, surfaces=surfaces)
    return fits if prior == "gmm" else _in_the_flow(body, config, fits, anchor, spread, surfaces)


@torch.no_grad()
def judge_people(
    name: str,
    bodies: Bodies,
    evidence: Evidence,
    camera: Camera,
    body: BodyModel | None = None,
    config: FitConfig | None = None,
    noise: Tensor | None = None,
    surfaces: Sequence[Surface] | None = None,
) -> Fits:
    """Scores and doubts of bodies that a network, or anything else but a fit, found.

    Args:
        name: of where they are from, for `Fits.start`.
        bodies: N people in camera axes.
        evidence: of the same people.
        camera, body, config: as of `fit_people`.
        noise: `Fits.noise` of fits that started from these bodies ("network"): then the energy is the one that they
            were found with, so that both can be compared.
        surfaces: dense keypoints and parts of each person.

    Raises:
        ValueError: with surfaces of too few or too many people.
    """
    if surfaces and len(surfaces) == len(evidence) and not alike(surfaces):
        return Fits.cat(
            [
                judge_people(
                    name,
                    bodies[one],
                    evidence[one],
                    lens,
                    body,
                    config,
                    None if noise is None else noise[one],
                    surface,
                )
                for one, lens, surface in one_by_one(camera, surfaces)
            ]
        )
    body = builtin_body() if body is None else body
    config = config or FitConfig()
    anchor = spread = None
    if noise is not None:
        anchor, spread = bodies.pose[:, 3:], default_lifter().spread
        noise = noise if config.rounds else None
    fitter = Fitter(body, default_mixture(), config, spread)
    return fitter.scored(name, bodies, evidence, camera, anchor, noise, surfaces)


def one_by_one(
    camera: Camera, surfaces: Sequence[Surface]
) -> Iterator[tuple[slice, Camera, list[Surface] | None]]:
    """Each person's place, camera and surface."""
    cameras = camera.expand(len(surfaces))
    for i, surface in enumerate(surfaces):
        one = slice(i, i + 1)
        lens = Camera(cameras.focal[one], cameras.center[one], cameras.size)
        yield one, lens, [surface] if surface else None


def alike(surfaces: Sequence[Surface]) -> bool:
    """Whether people can be fitted together: a lone one, or all with a map of the same parts and nothing else."""
    parts = {surface.parts for surface in surfaces}
    return len(surfaces) == 1 or (
        len(parts) == 1 and all(len(s) == 0 and s.targets is not None for s in surfaces)
    )


def _in_the_flow(
    body: BodyModel,
    config: FitConfig,
    fits: Fits,
    anchor: Tensor | None,
    spread: Tensor | None,
    surfaces: Sequence[Surface] | None,
) -> Fits:
    """Fits under the mixture, fitted on in the latent space of the flow, which needs no bending term."""
    config = replace(
        config,
        weights=replace(config.weights, bend=0.0),
        matched=replace(config.matched, bend=0.0),
        space="latent",
        backend="auto" if config.backend == "compiled" else config.backend,
    )
    fitter = Fitter(body, load_prior("flow"), config, spread, judge=default_mixture())
    noise = fits.noise if config.rounds else None
    start = Start("", fits.bodies, oriented=True)
    found = fitter(fits.evidence, fits.camera, [start], anchor, noise, surfaces)
    return replace(found, start=fits.start, tried=fits.tried)
