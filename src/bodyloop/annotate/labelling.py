"""From a crowd to its labels: a method finds the bodies, then each is judged. What one process does with one file."""

from functools import lru_cache

import numpy as np
import torch

from bodyloop.annotate.methods import Method, Settings, cameras_of, make_method
from bodyloop.annotate.quality import joint_errors, judge
from bodyloop.annotate.swaps import swap_suspects
from bodyloop.body import BodyModel
from bodyloop.data.crowd import Crowd, Labelled, joined
from bodyloop.errors import InputError
from bodyloop.fit import Fits
from bodyloop.geometry import Camera
from bodyloop.priors.gmm import default_mixture

Failures = list[tuple[str, str]]
"""Id and reason of people for whom nothing was found."""


@lru_cache(maxsize=2)
def _made(settings: Settings) -> tuple[Method, BodyModel]:
    return make_method(settings)


@torch.no_grad()
def label_crowd(crowd: Crowd, settings: Settings) -> tuple[Labelled | None, Failures]:
    """Labels of a crowd, in its order; a person on whom something fails costs only themself.

    Args:
        crowd: N people.
        settings: of the method and the judgement.

    Returns:
        the labels of those for whom something was found, None if that is nobody; and why not for the others.

    Raises:
        InputError: if the settings are no good for anybody.
    """
    method, body = _made(settings)
    try:
        return _labelled(crowd, settings, method, body), []
    except Exception as error:  # a fault in one person must not cost the others
        if len(crowd) == 1:
            reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            return None, [(str(crowd.ids[0]), reason)]
    found, failures = [], []
    for row in range(len(crowd)):
        one, failed = label_crowd(crowd[row : row + 1], settings)
        failures += failed
        if one is not None:
            found.append(one)
    return (joined(found) if found else None), failures


def _labelled(crowd: Crowd, settings: Settings, method: Method, body: BodyModel) -> Labelled:
    camera = cameras_of(crowd.sizes, settings.focal)
    fits, hints = method(crowd, camera)
    numbers = (fits.bodies.rotations, fits.bodies.betas, fits.bodies.translation, fits.energy)
    if not all(bool(values.isfinite().all()) for values in numbers):
        raise InputError("what was found holds NaN or infinity")
    local = fits.bodies.rotations[:, 1:].float().cpu()
    prior = default_mixture().to(local).energy(local)
    suspects = swap_suspects(fits, body, prior, settings.swaps, settings.fit, fitted=method.fitted)
    hints = tuple(
        (*own, f"left and right of the {limbs} may be exchanged") if limbs else own
        for own, limbs in zip(hints, suspects, strict=True)
    )
    judged = judge(fits, body, settings.verdicts, hints=hints)
    return Labelled(
        crowd,
        _array(fits.bodies.pose),
        _array(fits.bodies.betas),
        _array(fits.bodies.translation),
        _array(camera.focal),
        _array(camera.center),
        body.name,
        _figures(fits, body, camera) | {
            "prior": judged.prior, "expected_mm": judged.expected_mm, "score": judged.score,
        },
        {
            "verdict": judged.verdict,
            "reasons": judged.reasons,
            "start": np.array(fits.start, dtype=str),
            "swap": np.array(suspects, dtype=str),
        },
    )  # fmt: skip


def _figures(fits: Fits, body: BodyModel, camera: Camera) -> dict[str, np.ndarray]:
    terms = {f"energy_{name}": _array(values) for name, values in fits.terms.items()}
    return {
        "energy": _array(fits.energy),
        **terms,
        "error_px": _array(fits.error_px),
        "error_box": _array(fits.error_box),
        "seen": _array(fits.seen),
        "noise": _array(fits.noise),
        "joint_error": _array(joint_errors(fits, fits.bodies, body)),
    }


def _array(values: torch.Tensor) -> np.ndarray:
    array: np.ndarray = values.detach().cpu().float().numpy()
    return np.ascontiguousarray(array)
