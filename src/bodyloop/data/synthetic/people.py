"""Who is in an image: pose, shape and heading, in a world with y up and the ground at y = 0."""

import math
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import BodyModel
from bodyloop.data.poses import PoseSet
from bodyloop.errors import InputError
from bodyloop.geometry import axis_angle_to_rotmat
from bodyloop.priors.prior import LatentPrior

MOST_LEAN = math.radians(25.0)
"""How far a pose without a global orientation is turned so that it stands in balance."""


class PoseSource(Protocol):
    """Where poses come from.

    Attributes:
        name: for a data set's manifest.
    """

    name: str

    def draw(self, rng: np.random.Generator) -> Tensor:
        """A pose: rotations (24, 3, 3), the global one in a world with y up."""

    def frame(self, sequence: np.random.Generator, moment: float) -> Tensor:
        """The pose (24, 3, 3) at a moment, from 0 to 1, of a sequence that the generator picks."""


class MocapPoses:
    """Poses of motion capture; a sequence is one clip."""

    def __init__(self, poses: PoseSet, name: str) -> None:
        """`poses` of one split only, e.g. of `bodyloop.data.splits.read_poses`.

        Raises:
            InputError: without poses.
        """
        if not len(poses):
            raise InputError("the motion capture has no poses; expected at least one")
        self.name = name
        self._rotations = axis_angle_to_rotmat(poses.pose.float().unflatten(-1, (24, 3)))
        self._upto = poses.weight.double().cumsum(0).numpy()
        clip = poses.clip.numpy()
        self._clips = [np.flatnonzero(clip == c) for c in np.unique(clip)]

    def draw(self, rng: np.random.Generator) -> Tensor:
        """See `PoseSource`; by weight."""
        at = int(np.searchsorted(self._upto, rng.random() * self._upto[-1]))
        return self._rotations[min(at, len(self._upto) - 1)]

    def frame(self, sequence: np.random.Generator, moment: float) -> Tensor:
        """See `PoseSource`; every clip is as likely."""
        clip = self._clips[sequence.integers(len(self._clips))]
        return self._rotations[clip[min(int(moment * len(clip)), len(clip) - 1)]]


class PriorPoses:
    """Samples of a pose prior with a latent space; a sequence is a closed path through the latents."""

    def __init__(self, prior: LatentPrior, name: str, body: BodyModel, temperature: float = 0.75) -> None:
        """`temperature` below 1 makes poses more usual; `body` tells how to stand them in balance."""
        self.name = f"{name} at temperature {temperature:g}"
        self._prior, self._temperature = prior, temperature
        rest = body.rest_joints[0].detach().cpu().float().numpy()
        self._rest, self._parents = rest, body.parents

    def draw(self, rng: np.random.Generator) -> Tensor:
        """See `PoseSource`."""
        return self._stand(torch.from_numpy(rng.standard_normal(self._prior.latent_size)))

    def frame(self, sequence: np.random.Generator, moment: float) -> Tensor:
        """See `PoseSource`."""
        knots = sequence.standard_normal((4, self._prior.latent_size))
        at = moment * len(knots)
        low, share = int(at) % len(knots), at - int(at)
        angle = 0.5 * math.pi * share
        mixed = math.cos(angle) * knots[low] + math.sin(angle) * knots[(low + 1) % len(knots)]
        return self._stand(torch.from_numpy(mixed))

    def _stand(self, z: Tensor) -> Tensor:
        """The pose of a latent, turned so that its middle is more or less above its feet."""
        with torch.no_grad():
            local = self._prior.decode(self._temperature * z.float()[None])[0].numpy()
        world, places = [np.eye(3, dtype=np.float32)], [self._rest[0]]
        for joint, parent in enumerate(self._parents[1:], 1):
            places.append(places[parent] + world[parent] @ (self._rest[joint] - self._rest[parent]))
            world.append(world[parent] @ local[joint - 1])
        feet = (places[7] + places[8] + places[10] + places[11]) / 4
        up = (places[0] + places[9] + places[12]) / 3 - feet
        axis = np.array([-up[2], 0.0, up[0]])  # up x vertical
        flat = float(np.linalg.norm(axis))
        turn = axis / max(flat, 1e-6) * min(math.atan2(flat, float(up[1])), MOST_LEAN)
        root = axis_angle_to_rotmat(torch.from_numpy(turn).float())
        return torch.cat([root[None], torch.from_numpy(local)])


def draw_betas(rng: np.random.Generator, spread: float) -> Tensor:
    """Shape coefficients (10,) of this standard deviation, cut at 2.5 of it."""
    return torch.from_numpy(np.clip(rng.standard_normal(10), -2.5, 2.5) * spread).float()


def turned(rotations: Tensor, heading: float) -> Tensor:
    """A pose (24, 3, 3) turned about the vertical by so many radians."""
    turn = axis_angle_to_rotmat(torch.tensor([0.0, heading, 0.0]))
    return torch.cat([(turn @ rotations[0])[None], rotations[1:]])
