"""Ways to find bodies for people of whom 2D keypoints are known, by name.

A method is made once in every process, from settings of plain values, and then gets some hundred people at a time. A
new one is an entry in `METHODS`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from bodyloop.annotate.estimates import find_device, find_weights, infer_people
from bodyloop.annotate.people import StartKind, fit_people
from bodyloop.annotate.quality import Verdicts
from bodyloop.annotate.swaps import SwapConfig
from bodyloop.body import BodyModel, load_body
from bodyloop.data.crowd import Crowd
from bodyloop.errors import InputError
from bodyloop.evidence.photos import read_photo
from bodyloop.fit import FitConfig, Fits
from bodyloop.geometry import Camera


@dataclass(frozen=True)
class Settings:
    """All that labels depend on but the people; plain values, so that any process on any machine can have them.

    Attributes:
        method: a name in `METHODS`.
        body: SMPL .npz or .pkl; the built-in body if None.
        focal: focal length of all images in pixels; each one's diagonal if None.
        starts: of fits to keypoints.
        estimator: weights of a network that fits start from.
        images: folder of the images, for methods that look at them.
        device: where fits and networks run.
        fit: weights, schedule and doubts of the fits.
        verdicts: thresholds.
        swaps: who is suspected of exchanged sides.
    """

    method: str = "fit"
    body: Path | None = None
    focal: float | None = None
    starts: tuple[StartKind, ...] = ("lifter", "mean")
    estimator: Path | None = None
    images: Path | None = None
    device: str = "cpu"
    fit: FitConfig = field(default_factory=FitConfig)
    verdicts: Verdicts = field(default_factory=Verdicts)
    swaps: SwapConfig = field(default_factory=SwapConfig)


class Method(Protocol):
    """Finds the bodies of a crowd."""

    def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, tuple[tuple[str, ...], ...]]:
        """N people's bodies, and for each further reasons to doubt them.

        Args:
            crowd: N people, of one or many images.
            camera: of each one's image (N, 2).

        Raises:
            InputError: if one of them cannot be worked on; the crowd is then given again person by person.
        """


class FromKeypoints:
    """Fits to the keypoints, from the lifter's answer and the prior's mean pose (`fit_people`)."""

    def __init__(self, settings: Settings, body: BodyModel) -> None:
        self.settings, self.body = settings, body

    def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, tuple[tuple[str, ...], ...]]:
        """See `Method`."""
        settings = self.settings
        fits = fit_people(crowd.evidence(), camera, self.body, settings.fit, settings.starts)
        return fits, ((),) * len(crowd)


class FromNetwork:
    """Fits that start from a network's answer to the picture, as ``bodyloop infer --refine`` does.

    Of each person the answer or the fit is kept, whichever has the lower energy. People whose picture cannot be read
    are fitted to their keypoints alone, and doubted.
    """

    def __init__(self, settings: Settings, body: BodyModel) -> None:
        """Load the network.

        Raises:
            InputError: no weights or no images are named, weights that are none, or a network that looks at more
                than the picture.
        """
        from bodyloop.nets.build import load_estimator

        if settings.images is None:
            raise InputError("--method network: expected the folder of the images with --images, got none")
        self.settings, self.body, self.images = settings, body, settings.images
        self.network = load_estimator(find_weights(settings.estimator)).to(find_device(settings.device))
        if tuple(self.network.inputs) != ("image",):
            raise InputError(
                f"--estimator {settings.estimator}: expected a network that looks at the picture alone, got one that "
                f"looks at {' and '.join(self.network.inputs)}; give another, or take --method fit"
            )
        self.fallback = FromKeypoints(settings, body)

    def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, tuple[tuple[str, ...], ...]]:
        """See `Method`; the people of an image stand together."""
        fits: list[Fits] = []
        doubts: list[tuple[str, ...]] = []
        for rows in _by_image(crowd):
            some = crowd[rows]
            lens = Camera(camera.focal[rows.start], camera.center[rows.start], tuple(some.sizes[0].tolist()))
            try:
                photo = read_photo(self.images / str(some.images[0]))
                if photo.size != lens.size:
                    raise InputError(f"the image is {photo.size}, the annotations say {lens.size}")
            except InputError as error:
                found, _ = self.fallback(some, lens)
                doubts += [(f"fitted without the network: {error}",)] * len(some)
            else:
                found = infer_people(
                    self.network,
                    photo.pixels,
                    some.evidence(),
                    lens,
                    self.body,
                    refine=True,
                    config=self.settings.fit,
                ).people
                doubts += [()] * len(some)
            fits.append(found)
        return Fits.cat(fits), tuple(doubts)


def _by_image(crowd: Crowd) -> Iterator[slice]:
    """Runs of people with the same image."""
    begins = np.flatnonzero(np.r_[True, crowd.images[1:] != crowd.images[:-1]])
    for first, last in zip(begins.tolist(), [*begins[1:].tolist(), len(crowd)], strict=True):
        yield slice(first, last)


METHODS: dict[str, Callable[[Settings, BodyModel], Method]] = {"fit": FromKeypoints, "network": FromNetwork}
"""Every way, by name."""


def make_method(settings: Settings) -> tuple[Method, BodyModel]:
    """The method that the settings name, ready for work, and the body model.

    Raises:
        InputError: an unknown name, or whatever the method misses.
    """
    if settings.method not in METHODS:
        raise InputError(f"--method: expected one of {', '.join(METHODS)}, got {settings.method!r}")
    body = load_body(settings.body).to(find_device(settings.device))
    return METHODS[settings.method](settings, body), body


def cameras_of(sizes: np.ndarray, focal: float | None) -> Camera:
    """The camera (N, 2) of each image (N, 2) width, height: looking through its middle, with this focal length, pixels,
    or, without one, its diagonal. The camera's own size is that of the first image.
    """
    wide = torch.from_numpy(sizes.astype(np.float32))
    length = wide.norm(dim=1) if focal is None else torch.full((len(wide),), float(focal))
    first = (int(sizes[0, 0]), int(sizes[0, 1])) if len(sizes) else (1, 1)
    return Camera(length[:, None].expand(-1, 2), (wide - 1) / 2, first)
