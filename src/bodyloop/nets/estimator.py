"""What a regression network is: `Crops` of people in, an `Estimate` of their bodies out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.geometry import Camera, CropTransform, WeakPerspective, axis_angle_to_rotmat
from bodyloop.priors import load_prior

InputKind = Literal["image", "iuv", "parts"]

LEAST_SCALE = 0.05
"""A crop is at most 40 m wide: what a network says beneath that, or below zero, still stands in front of the camera."""

IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_SPREAD = (0.229, 0.224, 0.225)
"""Of ImageNet's pixels, which published backbones expect to be taken off."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One body of each of B people, perhaps not the right one, as networks that make it better want it.

    Attributes:
        pncc: (B, 3, S, S) the bodies as their crops would show them, drawn as projected normalised coordinate code.
        rotations: (B, 24, 3, 3) in the axes of the crops' cameras.
    """

    pncc: Tensor
    rotations: Tensor


@dataclass(frozen=True, eq=False)
class Crops:
    """B people, each seen in a square of R by R pixels; networks say which of these they need.

    Attributes:
        image: (B, 3, R, R) RGB in [0, 1].
        iuv: (B, 3, R, R) I / 24, U, V, all in [0, 1]; 0 where nothing is seen.
        parts: (B, R, R) int64 part labels, -1 where nothing is seen.
        candidate: bodies to start from.
        features: what the network's backbones make of all this (`Estimator.look`), if that is known already:
            then the rest is not looked at.
    """

    image: Tensor | None = None
    iuv: Tensor | None = None
    parts: Tensor | None = None
    candidate: "Candidate | None" = None
    features: Mapping[str, Tensor] | None = None

    @classmethod
    def from_pixels(
        cls, image: Tensor | None = None, iuv: Tensor | None = None, parts: Tensor | None = None
    ) -> "Crops":
        """From maps with the channel last.

        Args:
            image: (B, R, R, 3) uint8 RGB.
            iuv: (B, R, R, 3) I in 0 .. 24, U, V, as `bodyloop.raster.iuv_map` draws them.
            parts: (B, R, R) labels.
        """
        if image is not None:
            image = image.movedim(-1, 1).float() / 255
        if iuv is not None:
            iuv = iuv.movedim(-1, 1).float() / iuv.new_tensor([24.0, 1.0, 1.0])[:, None, None]
        return cls(image, iuv, None if parts is None else parts.long())

    def get(self, kind: InputKind, resolution: int) -> Tensor:
        """One of the inputs.

        Raises:
            InputError: if it is not given, or is not of this resolution.
        """
        given: Tensor | None = getattr(self, kind)
        if given is None:
            raise InputError(
                f"this network looks at {kind!r}, which the crops do not have; give Crops({kind}=...)"
            )
        wanted = (resolution, resolution) if kind == "parts" else (3, resolution, resolution)
        if given.shape[1:] != wanted:
            raise InputError(
                f"this network needs {kind} of shape (B, {', '.join(map(str, wanted))}), got {tuple(given.shape)}; "
                f"crop to {resolution} pixels"
            )
        return given

    def get_candidate(self, side: int) -> tuple[Tensor, Tensor]:
        """PNCC and rotations of the candidates.

        Args:
            side: S of the maps that are wanted.

        Raises:
            InputError: if there are none, or of another size.
        """
        if self.candidate is None:
            raise InputError(
                "this network makes candidates better, of which the crops have none; give Crops(candidate=...)"
            )
        if self.candidate.pncc.shape[1:] != (3, side, side):
            raise InputError(
                f"this network needs PNCC of shape (B, 3, {side}, {side}), got {tuple(self.candidate.pncc.shape)}; "
                f"draw it with {side} pixels"
            )
        return self.candidate.pncc, self.candidate.rotations

    def to(self, *args: Any) -> "Crops":
        """The same crops on another device or in another precision; labels stay integers."""
        maps = {k: None if v is None else v.to(*args) for k, v in (("image", self.image), ("iuv", self.iuv))}
        parts = self.parts
        if parts is not None:
            there = next((m for m in maps.values() if m is not None), None)
            parts = parts.to(*args).long() if there is None else parts.to(there.device)
        candidate = self.candidate
        if candidate is not None:
            candidate = Candidate(candidate.pncc.to(*args), candidate.rotations.to(*args))
        return Crops(maps["image"], maps["iuv"], parts, candidate)

    def __getitem__(self, index: slice | Tensor) -> "Crops":
        kept = [None if m is None else m[index] for m in (self.image, self.iuv, self.parts)]
        own = self.candidate
        candidate = None if own is None else Candidate(own.pncc[index], own.rotations[index])
        return Crops(kept[0], kept[1], kept[2], candidate)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Bodies of B people as their crops show them.

    The axes are the full image's camera's, turned and mirrored as the crop was. As in SPIN, a crop far from the image's
    middle is not looked at by a turned camera.

    Attributes:
        rotations: (B, 24, 3, 3); joint 0 is the global orientation.
        betas: (B, 10).
        camera: s, tx, ty of each crop; None where the network places people by 2D keypoints.
        stages: earlier answers of the same network, first to last but one; losses may take them all.
    """

    rotations: Tensor
    betas: Tensor
    camera: WeakPerspective | None = None
    stages: tuple["Estimate", ...] = ()

    @property
    def all_stages(self) -> tuple["Estimate", ...]:
        """Every answer, first to last; the last is this one."""
        return (*self.stages, self)

    def to_bodies(self, camera: Camera, crop: CropTransform, body: BodyModel) -> Bodies:
        """The people in the full image's camera. Differentiable.

        With s, tx, ty, a body's own depth is neglected against its distance (`WeakPerspective`).

        Args:
            camera: of the full image, one for all or one a person; its intrinsics are taken as known.
            crop: where the crops lay in that image: centre (B, 2), size (B,). Turned and mirrored crops are
                turned and mirrored back.
            body: whose bodies they are.

        Returns:
            B people in camera axes.
        """
        if self.camera is None:
            raise NotImplementedError(
                f"{type(self).__name__} has no camera and does not say how to place people"
            )
        flat = torch.cat([self.camera.shift, torch.zeros_like(self.camera.shift[:, :1])], 1)
        upright = uncropped(Bodies(self.rotations, self.betas, flat), crop, body)
        weak = WeakPerspective(self.camera.scale.clamp_min(LEAST_SCALE), upright.translation[:, :2])
        lens = camera.expand(len(self.betas)).to(self.betas)
        return replace(upright, translation=weak.to_translation(lens, crop.center, crop.size))


def uncropped(bodies: Bodies, crop: CropTransform, body: BodyModel) -> Bodies:
    """Bodies (B,) seen in a turned or mirrored crop, as an upright, unmirrored crop of the same place shows them."""
    if crop.flip:
        bodies = bodies.mirrored()
    if not isinstance(crop.angle, Tensor) and crop.angle == 0:
        return bodies
    angle = torch.as_tensor(crop.angle).to(bodies.betas).expand(len(bodies))
    turn = axis_angle_to_rotmat(torch.stack([0 * angle, 0 * angle, -angle], -1))
    joints, dirs = (t[0].to(bodies.betas) for t in body.rest_joints)
    pelvis = joints + bodies.betas @ dirs.T  # the body turns about its pelvis, the crop about its own centre
    place = (turn @ (pelvis + bodies.translation)[..., None])[..., 0] - pelvis
    rotations = torch.cat([turn[:, None] @ bodies.rotations[:, :1], bodies.rotations[:, 1:]], 1)
    return Bodies(rotations, bodies.betas, place)


class Estimator(nn.Module, ABC):
    """A network from crops to bodies.

    Attributes:
        config: a frozen dataclass that says all about the architecture; `bodyloop.nets.build.build` makes the
            network from it.
        inputs: what the network looks at.
        resolution: R of the crops.
        needs_candidate: whether crops must have a candidate.
        looks_for: what `look` says of a backbone: by this and the backbone, networks share what is kept of it.
    """

    config: Any
    inputs: tuple[InputKind, ...] = ("image",)
    needs_candidate: bool = False
    looks_for: Literal["features", "maps"] = "features"
    _mean: Tensor
    _spread: Tensor

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        for name, values in (("_mean", IMAGE_MEAN), ("_spread", IMAGE_SPREAD)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    @property
    def resolution(self) -> int:
        """R of the crops."""
        return int(self.config.resolution)

    @property
    def candidate_map(self) -> int:
        """S of the candidates' PNCC; 0 where none is needed."""
        return 0

    @abstractmethod
    def forward(self, crops: Crops) -> Estimate:
        """Bodies of the B people in the crops.

        Raises:
            InputError: if an input is missing or of another resolution.
        """

    @abstractmethod
    def backbones(self) -> dict[str, tuple[str, nn.Module]]:
        """The parts that published weights fit: role to name (as in `make_backbone`) and module."""

    def look(self, crops: Crops, kind: InputKind) -> Tensor:
        """What the backbone that looks at one of the inputs makes of it, (B, C); of networks that want no more of it.

        Raises:
            InputError: of other networks; and as `forward`.
        """
        raise InputError(
            f"{type(self).__name__} has no features that could be kept; set versions=0 in its recipe"
        )

    def looked(self, crops: Crops) -> Mapping[str, Tensor]:
        """The features of all inputs, those that are known already or what `look` says."""
        return crops.features or {kind: self.look(crops, kind) for kind in self.inputs}

    def normalised_image(self, crops: Crops) -> Tensor:
        """(B, 3, R, R) as ImageNet's backbones expect it."""
        return (crops.get("image", self.resolution) - self._mean) / self._spread


def mean_pose() -> Tensor:
    """Where networks start, (24, 3, 3): facing the camera, in the mean of the mixture of Gaussians that ships."""
    # Body axes have y up, camera axes y down.
    facing = axis_angle_to_rotmat(torch.tensor([torch.pi, 0.0, 0.0]))
    return torch.cat([facing[None], load_prior("gmm").middle()])


def check_choice(what: str, value: object, choices: Any) -> None:
    """Raise InputError unless `value` is one of a Literal's."""
    if value not in get_args(choices):
        raise InputError(f"{what} should be one of {', '.join(map(str, get_args(choices)))}, got {value!r}")


def check_positive(**sizes: int) -> None:
    """Raise InputError unless all sizes are at least 1."""
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{name} should be at least 1, got {size}")
