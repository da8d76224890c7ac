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
_MACHINE = ("out of memory", "can't allocate memory", "CUDA", "cuDNN", "CUBLAS", "HIP error", "MPS backend")
"""Words in torch's errors that are the machine's and nobody's fault among the people."""


@lru_cache(maxsize=2)
def _made(settings: Settings) -> tuple[Method, BodyModel]:
    return make_method(settings)


@torch.no_grad()
def label_crowd(crowd: Crowd, settings: Settings) -> tuple[Labelled | None, Failures]:
    """Labels of a crowd, in its order; a person on whom something fails costs only themself.

    What would fail for others, too, is no failure of a person, which would be for good: faults of the machine, and a
    reason that nobody foresaw and that is the same for all of several people.

    Args:
        crowd: N people.
        settings: of the method and the judgement.

    Returns:
        the labels of those for whom something was found, None if that is nobody; and why not for the others.

    Raises:
        InputError: if the settings are no good for anybody, memory, disk or device fail, or all people do for the same
            reason.
    """
    method, body = _made(settings)
    try:
        return _labelled(crowd, settings, method, body), []
    except Exception as error:  # a fault in one person must not cost the others
        _stop_for_the_machine(error)
    found, failures, unforeseen = list[Labelled](), list[tuple[str, str]](), list[str]()
    for row in range(len(crowd)):
        try:
            found.append(_labelled(crowd[row : row + 1], settings, method, body))
        except InputError as error:
            failures.append((str(crowd.ids[row]), str(error)))
        except Exception as error:
            _stop_for_the_machine(error)
            unforeseen.append(f"{type(error).__name__}: {error}")
            failures.append((str(crowd.ids[row]), unforeseen[-1]))
    if len(unforeseen) == len(crowd) > 1 and len(set(unforeseen)) == 1:
        raise InputError(
            f"--method {settings.method}: fails for {crowd.ids[0]} and all other {len(crowd) - 1:,} people of a file "
            f"({unforeseen[0]}); what is done stays, run again with the same options once that is mended"
        )
    return (joined(found) if found else None), failures


def _stop_for_the_machine(error: Exception) -> None:
    """Raise InputError for what is a fault of memory, disk or device."""
    ours = isinstance(error, RuntimeError) and any(word in str(error) for word in _MACHINE)
    if ours or isinstance(error, (MemoryError, OSError, torch.OutOfMemoryError)):
        reason = str(error).strip().partition("\n")[0] or "out of memory"
        raise InputError(
            f"stopped by the machine ({type(error).__name__}: {reason}); what is done stays, run again with the same "
            "options to go on, with fewer --workers if memory was short"
        ) from error


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
