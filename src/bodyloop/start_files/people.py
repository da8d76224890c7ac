"""One person of a file of starts, and where the file sees them."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bodyloop.geometry import Camera, WeakPerspective

NEAREST = 0.1
"""Metres before the camera within which a projected joint means nothing."""


@dataclass(frozen=True, eq=False)
class Sight:
    """Joints as a camera sees them.

    Attributes:
        pixels: (K, 2).
        rays: (K, 2) on the plane z = 1 of the camera, along which it sees them.
        ahead: (K,) bool, which are in front of it.
    """

    pixels: Tensor
    rays: Tensor
    ahead: Tensor


class Projection(Protocol):
    """How a file's own camera sees a person."""

    def __call__(self, joints: Tensor) -> Sight:
        """How joints (K, 3) of the body without its translation, metres in camera axes, are seen."""


@dataclass(frozen=True, eq=False)
class Pinhole:
    """Full perspective.

    Attributes:
        camera: of the person's image.
        translation: (3,) metres, SMPL's ``trans``.
    """

    camera: Camera
    translation: Tensor

    def __call__(self, joints: Tensor) -> Sight:
        """See `Projection`."""
        placed = joints + self.translation.to(joints)
        rays = placed[:, :2] / placed[:, 2:]
        return Sight(self.camera.to(joints).project(placed), rays, placed[:, 2] > NEAREST)


@dataclass(frozen=True, eq=False)
class Crop:
    """Weak perspective in a square crop: everybody is seen along the optical axis, wherever the crop lies.

    Attributes:
        camera: of the crop, whose coordinates are -1 to 1.
        center: (2,) of the crop, image pixels.
        side: of the crop in image pixels.
    """

    camera: WeakPerspective
    center: Tensor
    side: float

    def __call__(self, joints: Tensor) -> Sight:
        """See `Projection`."""
        weak = WeakPerspective(self.camera.scale.to(joints), self.camera.shift.to(joints))
        pixels = weak.project(joints) * (self.side / 2) + self.center.to(joints)
        return Sight(pixels, torch.zeros_like(pixels), torch.ones_like(pixels[:, 0], dtype=torch.bool))


@dataclass(frozen=True, eq=False)
class StartPerson:
    """What a file tells of one person.

    Attributes:
        rotations: (24, 3, 3), the first of them in the axes of the image's camera.
        betas: (10,), of the file's body model; None if they are not known, or of another kind of body.
        projection: where the person is seen; None if the file does not tell.
        box: (4,) x0, y0, x1, y1 around the person, image pixels; None if the file does not tell.
        size: (width, height) of the image that these pixels are of; None if the file does not tell.
    """

    rotations: Tensor
    betas: Tensor | None = None
    projection: Projection | None = None
    box: Tensor | None = None
    size: tuple[int, int] | None = None

    @property
    def finite(self) -> bool:
        """Whether pose and shape are numbers that a body can have."""
        known = [self.rotations] + ([] if self.betas is None else [self.betas])
        return all(bool(values.isfinite().all()) for values in known)


@dataclass(frozen=True)
class Key:
    """By what a person of a file is found.

    Attributes:
        image: path or name of the image, as the file has it; None if it names none.
        label: of the person, e.g. an annotation id; None if there is none that means anything.
        number: by which the image is known if its name is another: of a video's frame, of COCO's image.
    """

    image: str | None = None
    label: str | None = None
    number: int | None = None
