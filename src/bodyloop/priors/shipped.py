"""Pose priors by name: those that ship, and weights of the same kinds that somebody trained."""

from importlib import import_module, resources
from pathlib import Path

from safetensors import SafetensorError

from bodyloop.errors import InputError
from bodyloop.priors.gmm import GaussianMixture
from bodyloop.priors.prior import PosePrior

HOMES = {
    "gmm": "gmm.GaussianMixture",
    "flow": "flow.Flow",
    "flow-aa": "flow.Flow",
    "flow-light": "flow.Flow",
    "flow-prelu": "flow.Flow",
    "vae": "vae.Vae",
    "adversarial": "adversarial.Adversarial",
    "limits": "limits.JointLimits",
}
"""Name of each prior, and the class under `bodyloop.priors` whose ``load`` reads its weights."""


def load_prior(name: str, weights: str | Path | None = None) -> PosePrior | GaussianMixture:
    """A trained pose prior.

    Args:
        name: "gmm", "flow" (6D), "flow-aa" (axis-angle) ...: one of `HOMES`.
        weights: safetensors file of that kind; if None, the one that ships, ``priors/weights/NAME.safetensors``,
            with underscores for hyphens.

    Raises:
        InputError: an unknown name, or weights that are not there or of another kind.
    """
    if name not in HOMES:
        raise InputError(f"no prior is called {name!r} yet; expected one of {', '.join(HOMES)}")
    module, kind = HOMES[name].split(".")
    load = getattr(import_module(f"bodyloop.priors.{module}"), kind).load
    if weights is None:
        file = resources.files("bodyloop.priors").joinpath(f"weights/{name.replace('-', '_')}.safetensors")
        if not file.is_file():
            raise InputError(
                f"the weights of the prior {name!r} do not ship with this version; train them (bodyloop prior train) "
                "and name the file"
            )
        with resources.as_file(file) as path:
            return load(path)
    if not Path(weights).is_file():
        raise InputError(f"{weights}: no such file; expected weights that 'bodyloop prior train' wrote")
    try:
        return load(weights)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{weights}: not weights of a prior of kind {name!r} ({error})") from None
