"""Training of the mixture pose prior."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from bodyloop.data.poses import PoseSet
from bodyloop.errors import InputError
from bodyloop.priors.gmm import GaussianMixture

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture as Estimator

REPORT_EVERY = 10  # steps between reports


@dataclass(frozen=True)
class GmmConfig:
    """Everything that a training run depends on.

    Attributes:
        modes: components (SMPLify: 8).
        floor: radians, standard deviation added to every direction. Motion capture leaves some joints (toes,
            hands, collars) unmoved; without a floor they could never move in a fit.
        draws: poses drawn from the training set, which honours its weights.
        steps: most rounds of expectation maximisation; it stops when the likelihood does.
        seed: of the draw and of the initialisation.
    """

    modes: int = 8
    floor: float = 0.05
    draws: int = 40_000
    steps: int = 200
    seed: int = 0


def train_gmm(
    poses: PoseSet,
    validation: PoseSet,
    config: GmmConfig | None = None,
    report: Callable[[str], None] = print,
) -> GaussianMixture:
    """Fit a full-covariance mixture to the body pose (69 numbers) by expectation maximisation.

    Args:
        poses: weighted training poses.
        validation: poses whose likelihood the reports tell.
        config: what the run depends on.
        report: called with a line every few steps.

    Raises:
        InputError: without scikit-learn, with the remedy, or with fewer poses than modes.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Estimator
    except ImportError:
        raise InputError("training the mixture needs scikit-learn: pip install scikit-learn") from None
    config = config or GmmConfig()
    if len(poses) < config.modes:
        raise InputError(f"{config.modes} modes need at least as many poses, got {len(poses)}")
    generator = torch.Generator().manual_seed(config.seed)
    sample = poses.draw(config.draws, generator)[:, 3:].double().numpy()
    unseen = validation.pose[:, 3:].double()
    found = Estimator(
        config.modes,
        reg_covar=config.floor**2,
        random_state=config.seed,
        init_params="k-means++",
        warm_start=True,  # `fit` goes on where it stopped
    )
    for done in range(0, config.steps, REPORT_EVERY):
        found.max_iter = min(REPORT_EVERY, config.steps - done)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            found.fit(sample)
        likelihood = float(_mixture(found).log_prob_at(unseen).mean())
        report(
            f"step {done + found.n_iter_}  log-likelihood in nats: train {found.lower_bound_:.2f}  "
            f"validation {likelihood:.2f}"
        )
        if found.converged_:
            break
    return _mixture(found)


def _mixture(found: "Estimator") -> GaussianMixture:
    return GaussianMixture.from_moments(
        torch.from_numpy(found.means_), torch.from_numpy(found.covariances_), torch.from_numpy(found.weights_)
    )
