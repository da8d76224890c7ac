"""Training of the mixture pose prior."""

import torch

from bodyloop.data.poses import PoseSet
from bodyloop.priors.gmm import GaussianMixture


def train_gmm(poses: PoseSet, modes: int = 8, floor: float = 0.05, seed: int = 0) -> GaussianMixture:
    """Fit a full-covariance mixture to the body pose (69 numbers) by expectation maximisation.

    Args:
        poses: weighted training poses; the weights are honoured by drawing 40,000 poses.
        modes: components (SMPLify: 8).
        floor: radians, standard deviation added to every direction. Motion capture leaves some joints
            (toes, hands, collars) unmoved; without a floor they could never move in a fit.
        seed: of the draw and of the initialisation.

    Raises:
        ImportError: without scikit-learn, with the remedy.
    """
    try:
        from sklearn.mixture import GaussianMixture as Estimator
    except ImportError as error:
        raise ImportError("training the mixture needs scikit-learn: pip install scikit-learn") from error
    generator = torch.Generator().manual_seed(seed)
    sample = poses.draw(40_000, generator)[:, 3:].double().numpy()
    found = Estimator(modes, reg_covar=floor**2, random_state=seed, max_iter=200, init_params="k-means++")
    found.fit(sample)
    return GaussianMixture.from_moments(
        torch.from_numpy(found.means_), torch.from_numpy(found.covariances_), torch.from_numpy(found.weights_)
    )
