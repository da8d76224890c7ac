"""The whole way from the evidence of some people to their bodies: starts, fit, scores."""

from typing import Literal, get_args

import torch

from bodyloop.body import BodyModel, builtin_body
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, Fits, Fitter, Start, mean_pose_starts
from bodyloop.fit.starts import YAWS
from bodyloop.geometry import Camera
from bodyloop.nets.lifter import default_lifter
from bodyloop.priors.gmm import default_mixture

StartKind = Literal["lifter", "mean"]


@torch.no_grad()
def fit_people(
    evidence: Evidence,
    camera: Camera,
    body: BodyModel | None = None,
    config: FitConfig | None = None,
    starts: tuple[StartKind, ...] = ("lifter", "mean"),
) -> Fits:
    """Bodies of all people, from several starts each; the lowest energy wins.

    Args:
        evidence: N people.
        camera: one for all, or one a person (N, 2).
        body: the built-in one if None. The fit runs on its device: ``load_body().to("cuda")`` for a GPU.
        config: weights, schedule and thresholds; the defaults if None.
        starts: "lifter" (a network's guess from the keypoints, which the fit also stays near), "mean" (the
            prior's mean pose in four orientations), or both.

    Raises:
        ValueError: without starts, or with an unknown one.
    """
    if unknown := [name for name in starts if name not in get_args(StartKind)]:
        raise ValueError(f"starts should be among {', '.join(get_args(StartKind))}, got {unknown}")
    body = builtin_body() if body is None else body
    prior = default_mixture()
    chosen: list[Start] = []
    anchor = spread = None
    if "lifter" in starts:
        lifter = default_lifter()
        lifted = lifter.lift(evidence, camera, body)
        anchor, spread = lifted.pose[:, 3:], lifter.spread
        chosen.append(Start("lifter", lifted, oriented=True))
    if "mean" in starts:
        sets = mean_pose_starts(body, prior, evidence, camera)
        names = tuple(f"mean, {name}" for name in YAWS)
        chosen += [Start(name, bodies) for name, bodies in zip(names, sets, strict=True)]
    return Fitter(body, prior, config or FitConfig(), spread)(evidence, camera, chosen, anchor)
