"""VPoser: a variational autoencoder of the body pose (Pavlakos et al. 2019, SMPL-X, section 3.3 and supplement).

The architecture of the released first version: joints' axis-angle numbers through batch normalisation and two
layers of 512 to mean and log-variance of a 32-dimensional code, and back through two layers of 512 to the
continuous 6D rotation of every joint, with leaky ReLU of slope 0.2 and dropout 0.25 (encoder) and 0.25 (decoder)
while training. Training is in `bodyloop.train.vae`.

With the paper's 21 joints the decoder has 344,190 numbers, the "about 344,000" of Zanfir et al. 2020; SMPL's body
pose has 23.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from bodyloop.network_files import read_network, save_network
from bodyloop.priors.prior import LatentPrior, NetworkPrior, latent_energy
from bodyloop.priors.representation import BODY_JOINTS, Representation, to_coordinates, to_rotations

SLOPE = 0.2
DROPOUT = 0.25
_LEAST_LOG_VARIANCE = -12.0


class Vae(NetworkPrior, LatentPrior):
    """Encoder and decoder between body poses and a code that is about unit Gaussian.

    Args:
        joints: J; 23, or the paper's 21.
        latent_size: of the code.
        width: of the hidden layers.
    """

    representation: Representation = "rot6d"

    def __init__(self, joints: int = BODY_JOINTS, latent_size: int = 32, width: int = 512) -> None:
        super().__init__()
        self.joints, self.latent_size, self.width = joints, latent_size, width
        self.encoder = nn.Sequential(
            nn.BatchNorm1d(3 * joints),
            nn.Linear(3 * joints, width),
            nn.LeakyReLU(SLOPE),
            nn.BatchNorm1d(width),
            nn.Dropout(DROPOUT),
            nn.Linear(width, width),
            nn.LeakyReLU(SLOPE),
        )
        self.mean = nn.Linear(width, latent_size)
        self.log_variance = nn.Linear(width, latent_size)
        self.decoder = nn.Sequential(
            nn.Linear(latent_size, width),
            nn.LeakyReLU(SLOPE),
            nn.Dropout(DROPOUT),
            nn.Linear(width, width),
            nn.LeakyReLU(SLOPE),
            nn.Linear(width, 6 * joints),
        )

    def posterior(self, axis_angle: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (N, latent_size) of the code of poses (N, 3 J), axis-angle."""
        hidden = self.encoder(axis_angle)
        return self.mean(hidden), (0.5 * self.log_variance(hidden).clamp_min(_LEAST_LOG_VARIANCE)).exp()

    def encode_coordinates(self, coordinates: Tensor) -> Tensor:
        """Mean of the posterior: 6D numbers (..., 6 J) to (..., latent_size)."""
        axis_angle = to_coordinates(to_rotations(coordinates, "rot6d"), "axis_angle")
        mean, _ = self.posterior(axis_angle.reshape(-1, 3 * self.joints))
        return mean.reshape(*coordinates.shape[:-1], self.latent_size)

    def decode_coordinates(self, z: Tensor) -> Tensor:
        """Codes (..., latent_size) to 6D numbers (..., 6 J), not yet orthonormal."""
        return self.decoder(z)

    def pull_decoded(self, z: Tensor, rows: Tensor) -> Tensor:
        """As `LatentPrior.pull_decoded`; the decoder's derivatives are worked out forwards, as codes are short."""
        value, columns = z, torch.eye(self.latent_size, dtype=z.dtype, device=z.device).expand(len(z), -1, -1)
        for layer in self.decoder:
            if isinstance(layer, nn.Linear):
                columns = layer.weight @ columns
            elif isinstance(layer, nn.LeakyReLU):
                columns = columns * torch.where(value > 0, 1.0, SLOPE)[..., None]
            value = layer(value)
        return rows @ columns

    def energy_at(self, coordinates: Tensor) -> Tensor:
        """|mean of the posterior|^2 / 2 (...): the latent prior, for poses that the decoder need not reach."""
        return latent_energy(self.encode_coordinates(coordinates))

    def residual_at(self, coordinates: Tensor) -> Tensor:
        """Mean of the posterior."""
        return self.encode_coordinates(coordinates)

    def save(self, path: str | Path) -> None:
        """Write safetensors in half precision."""
        sizes = {"joints": self.joints, "latent_size": self.latent_size, "width": self.width}
        save_network(self, path, {name: str(size) for name, size in sizes.items()})

    @classmethod
    def load(cls, path: str | Path) -> "Vae":
        """Read what `save` wrote; frozen, in single precision, without dropout."""
        sizes, state = read_network(path)
        vae = cls(int(sizes["joints"]), int(sizes["latent_size"]), int(sizes["width"]))
        vae.load_state_dict(state)
        return vae.eval().requires_grad_(False)


def rot6d_lengths_and_angles(numbers: Tensor) -> Tensor:
    """How far 6D numbers (..., 6 J) are from orthonormal: squared entries (...) of A^T A - I, summed."""
    columns = numbers.unflatten(-1, (-1, 2, 3))
    eye = torch.eye(2, dtype=numbers.dtype, device=numbers.device)
    return (columns @ columns.mT - eye).square().sum((-1, -2, -3))
