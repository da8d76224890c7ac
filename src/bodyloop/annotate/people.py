"""The whole way from the evidence of some people to their bodies: starts, fit, scores."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from bodyloop.body import BodyModel, builtin_body
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, Fits, Fitter, Start, Surface, mean_pose_starts
from bodyloop.fit.starts import YAWS
from bodyloop.geometry import Camera
from bodyloop.nets.lifter import default_lifter
from bodyloop.priors import load_prior
from bodyloop.priors.gmm import default_mixture

StartKind = Literal["lifter", "mean"]
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
) -> Fits:
    """Bodies of all people, from several starts each; the lowest energy wins.

    Args:
        evidence: N people.
        camera: one for all, or one a person (N, 2).
        body: the built-in one if None. The fit runs on its device: ``load_body().to("cuda")`` for a GPU.
        config: weights, schedule and thresholds; the defaults if None.
        starts: "lifter" (a network's guess from the keypoints, which the fit also stays near), "mean" (the
            prior's mean pose in four orientations), or both.
        prior: of the pose: "gmm", the mixture, or "flow": the best fit under the mixture is fitted on in the flow's
            latent space, which takes many times as long.
        surfaces: dense keypoints and parts of each person (`surfaces_of`).

    Raises:
        ValueError: without starts, with an unknown one or an unknown prior, or with surfaces of too few or too many
            people.
    """
    if surfaces is not None and len(surfaces) != len(evidence):
        raise ValueError(f"{len(evidence)} people need as many surfaces, got {len(surfaces)}")
    if surfaces and not _alike(surfaces):
        cameras = camera.expand(len(evidence))
        return Fits.cat(
            [
                fit_people(
                    evidence[i : i + 1],
                    Camera(cameras.focal[i : i + 1], cameras.center[i : i + 1], cameras.size),
                    body,
                    config,
                    starts,
                    prior,
                    [surface] if surface else None,
                )
                for i, surface in enumerate(surfaces)
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
    if "mean" in starts:
        sets = mean_pose_starts(body, mixture, evidence, camera)
        names = tuple(f"mean, {name}" for name in YAWS)
        chosen += [Start(name, bodies) for name, bodies in zip(names, sets, strict=True)]
    fits = Fitter(body, mixture, config, spread)(evidence, camera, chosen, anchor, surfaces=surfaces)
    return fits if prior == "gmm" else _in_the_flow(body, config, fits, anchor, spread, surfaces)


def _alike(surfaces: Sequence[Surface]) -> bool:
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
    return replace(found, start=fits.start)
