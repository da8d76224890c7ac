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

from bodyloop.annotate.alternatives import fit_alternatives
from bodyloop.annotate.estimates import find_device, find_weights, infer_people
from bodyloop.annotate.people import fit_people
from bodyloop.annotate.quality import Verdicts
from bodyloop.annotate.start_names import Choice, StartName
from bodyloop.annotate.swaps import SwapConfig
from bodyloop.body import BodyModel, load_body
from bodyloop.data.crowd import Crowd
from bodyloop.errors import InputError
from bodyloop.evidence.photos import read_photo
from bodyloop.fit import FitConfig, Fits
from bodyloop.fit.pool import CandidatePool
from bodyloop.geometry import Camera


@dataclass(frozen=True)
class Settings:
    """All that labels depend on but the people; plain values, so that any process on any machine can have them.

    Attributes:
        method: a name in `METHODS`.
        body: SMPL .npz or .pkl; the built-in body if None.
        focal: focal length of all images in pixels; each one's diagonal if None.
        starts: of fits to keypoints; of candidates, one more fit from these, which may be none.
        candidates: of each person.
        choose: which fit from candidates is kept.
        judge, pool: consistency network that chooses, and pool of candidates, instead of those that ship.
        estimator: weights of a network that sees the pictures.
        images: folder of the images, for methods that look at them.
        device: where fits and networks run.
        fit: weights, schedule and doubts of the fits.
        verdicts: thresholds.
        swaps: who is suspected of exchanged sides.
    """

    method: str = "fit"
    body: Path | None = None
    focal: float | None = None
    starts: tuple[StartName, ...] = ("lifter",)
    candidates: int = 5
    choose: Choice = "energy"
    judge: Path | None = None
    pool: Path | None = None
    estimator: Path | None = None
    images: Path | None = None
    device: str = "cpu"
    fit: FitConfig = field(default_factory=FitConfig)
    verdicts: Verdicts = field(default_factory=Verdicts)
    swaps: SwapConfig = field(default_factory=SwapConfig)

    @property
    def looks(self) -> bool:
        """Whether the labels depend on the pictures."""
        return self.method in NETWORKS or (self.method == "candidates" and self.choose == "cen")


NETWORKS = ("network", "spin")
"""Methods that ask an estimator."""
NO_PICTURE = "no picture for the network"
"""How the doubt begins about people whose picture could not be read."""

Doubts = tuple[tuple[str, ...], ...]
"""For each person, reasons to doubt what was found."""


class Method(Protocol):
    """Finds the bodies of a crowd.

    Attributes:
        fitted: whether bodies are fitted to the keypoints; else they may be far from them and still be right.
    """

    @property
    def fitted(self) -> bool:
        """See above."""

    def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, Doubts]:
        """N people's bodies, and for each further reasons to doubt them.

        Args:
            crowd: N people, of one or many images; those of an image stand together.
            camera: of each one's image (N, 2).

        Raises:
            InputError: if one of them cannot be worked on; the crowd is then given again person by person.
        """


class FromKeypoints:
    """Fits to the keypoints, from the lifter's answer and the prior's mean pose (`fit_people`)."""

    fitted = True

    def __init__(self, settings: Settings, body: BodyModel) -> None:
        self.settings, self.body = settings, body

    def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, Doubts]:
        """See `Method`."""
        settings = self.settings
        fits = fit_people(crowd.evidence(), camera, self.body, settings.fit, settings.starts)
        return fits, ((),) * len(crowd)


class FromCandidates:
    """Fits from several candidates of the pool, of which one is kept (`fit_alternatives`).

    Where the consistency network chooses, people whose picture cannot be read have the one of lowest energy, and are
    doubted.
    """

    fitted = True

    def __init__(self, settings: Settings, body: BodyModel) -> None:
        """Load the pool, and the consistency network if it chooses.

        Raises:
            InputError: they are not there, or no images are named for the network.
        """
        self.settings, self.body, self.network = settings, body, None
        self.pool = None if settings.pool is None else CandidatePool.load(settings.pool)
        if settings.choose == "cen":
            from bodyloop.nets.cen import default_cen, load_cen

            self.images = _images(settings, "--choose cen")
            judge = default_cen() if settings.judge is None else load_cen(settings.judge)
            self.network = judge.to(find_device(settings.device))

    def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, Doubts]:
        """See `Method`."""
        settings = self.settings
        evidence = crowd.evidence()
        found = fit_alternatives(
            evidence,
            camera,
            self.body,
            settings.fit,
            settings.candidates,
            settings.starts,
            pool=self.pool,
        )
        if self.network is None:
            return found.best, ((),) * len(crowd)
        from bodyloop.annotate.consistency import picture_distances

        rank, doubts = torch.zeros(len(crowd), dtype=torch.int64), list[tuple[str, ...]]()
        for photo in _photos(crowd, camera, self.images):
            rows = photo.rows
            doubts += photo.doubts
            if photo.pixels is not None:
                bodies = [fits.bodies[rows] for fits in found.ranks]
                lens, some = photo.camera, evidence[rows]
                distances = picture_distances(self.network, photo.pixels, some, lens, self.body, bodies)
                rank[rows] = distances.argmin(0)
        return found.chosen(rank), tuple(doubts)


class FromNetwork:
    """A network's answers to the pictures, as they are: the labels of Moon et al. (2023, section 3).

    People whose picture cannot be read are fitted to their keypoints, and doubted.
    """

    fitted = False

    def __init__(self, settings: Settings, body: BodyModel) -> None:
        """Load the network.

        Raises:
            InputError: no weights or no images are named, weights that are none, or a network that wants more than
                the picture.
        """
        from bodyloop.nets.build import load_estimator

        self.settings, self.body = settings, body
        self.images = _images(settings, f"--method {settings.method}")
        weights = find_weights(settings.estimator, "--estimator")
        self.network = load_estimator(weights).to(find_device(settings.device))
        if tuple(self.network.inputs) != ("image",):
            raise InputError(
                f"--estimator {weights}: expected a network that looks at the picture alone, got one that looks at "
                f"{' and '.join(self.network.inputs)}; give another, or take --method fit"
            )
        if self.network.needs_candidate:
            raise InputError(
                f"--estimator {weights}: expected a network that looks at the picture alone, got one that refines "
                "candidates; give another, or take --method candidates --choose cen"
            )
        self.otherwise = FromKeypoints(settings, body)

    def __call__(self, crowd: Crowd, camera: Camera) -> tuple[Fits, Doubts]:
        """See `Method`."""
        fits, doubts = list[Fits](), list[tuple[str, ...]]()
        for photo in _photos(crowd, camera, self.images):
            doubts += photo.doubts
            if photo.pixels is None:
                fits.append(self.otherwise(crowd[photo.rows], photo.camera)[0])
            else:
                fits.append(
                    infer_people(
                        self.network,
                        photo.pixels,
                        crowd[photo.rows].evidence(),
                        photo.camera,
                        self.body,
                        refine=self.fitted,
                        config=self.settings.fit,
                    ).people
                )
        return Fits.cat(fits), tuple(doubts)


class FromNetworkFitted(FromNetwork):
    """Fits that start from a network's answers to the pictures, as ``bodyloop infer --refine`` does: SPIN's without its
    training. Of each person the answer or the fit is kept, whichever has the lower energy.
    """

    fitted = True


def _images(settings: Settings, option: str) -> Path:
    """The folder of the images.

    Raises:
        InputError: if none is named.
    """
    if settings.images is None:
        raise InputError(f"{option}: expected the folder of the images with --images, got none")
    return settings.images


@dataclass(frozen=True, eq=False)
class _Photo:
    """The people of a photo.

    Attributes:
        rows: theirs in the crowd.
        camera: one for all.
        pixels: (H, W, 3) uint8; None if it cannot be read, or is not the one that was annotated.
        doubts: a line for each of them if there are no pixels.
    """

    rows: slice
    camera: Camera
    pixels: np.ndarray | None
    doubts: Doubts


def _photos(crowd: Crowd, camera: Camera, images: Path) -> Iterator[_Photo]:
    """Runs of people with the same image."""
    begins = np.flatnonzero(np.r_[True, crowd.images[1:] != crowd.images[:-1]])
    for first, last in zip(begins.tolist(), [*begins[1:].tolist(), len(crowd)], strict=True):
        width, height = crowd.sizes[first].tolist()
        lens = Camera(camera.focal[first], camera.center[first], (width, height))
        pixels, doubt = None, tuple[str, ...]()
        try:
            photo = read_photo(images / str(crowd.images[first]))
            if photo.size != lens.size:
                raise InputError(f"the image is {photo.size}, the annotations say {lens.size}")
            pixels = photo.pixels
        except InputError as error:
            doubt = (f"{NO_PICTURE}: {error}",)
        yield _Photo(slice(first, last), lens, pixels, (doubt,) * (last - first))


METHODS: dict[str, Callable[[Settings, BodyModel], Method]] = {
    "fit": FromKeypoints,
    "network": FromNetwork,
    "spin": FromNetworkFitted,
    "candidates": FromCandidates,
}
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
