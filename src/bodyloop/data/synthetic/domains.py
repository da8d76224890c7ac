"""The domains: what varies in each, and how far."""

from dataclasses import dataclass, replace
from typing import Literal

from bodyloop.errors import InputError

DomainName = Literal["studio", "wild", "bridge", "wild2"]
Span = tuple[float, float]
Setting = Literal["outdoors", "indoors", "clutter"]


@dataclass(frozen=True)
class Domain:
    """Ranges of everything that is drawn.

    Attributes:
        name: of the domain.
        number: of the domain in the random streams; never reused.
        subjects: how many different people there are in a split; 0 for a new one in every image.
        sequences: how many sequences the images are taken from, each with one person, outfit, place and path of
            the camera; 0 for none.
        shape_sd: standard deviation of the shape coefficients, which are cut at 2.5 of it.
        varied: whether outfits have patterns, odd colours and all cuts.
        settings: probabilities of the kinds of places; empty for the studio's rooms.
        pitch: degrees, mean and standard deviation of how far the camera looks down.
        pitch_limits: degrees.
        roll_sd: degrees, standard deviation of the camera's roll.
        any_view: share of images from any direction and with any roll.
        distance: metres from the camera to the person.
        fill: the longer side of the person's box as a share of the image's.
        shift: how far the box's middle is from the image's, at most, as a share of the image's side.
        truncated: share of images in which part of the person is outside.
        occluded: share of images with something in front of the person.
        company: share of images with another person.
        blur: pixels, largest standard deviation of the blur in a 224-pixel image.
        noise: largest standard deviation of the sensor's noise; white is 1.
        artefacts: share of images that were JPEG files of low quality.
    """

    name: DomainName
    number: int
    subjects: int
    sequences: int
    shape_sd: float
    varied: bool
    settings: tuple[tuple[Setting, float], ...]
    pitch: Span
    pitch_limits: Span
    roll_sd: float
    any_view: float
    distance: Span
    fill: Span
    shift: float
    truncated: float
    occluded: float
    company: float
    blur: float
    noise: float
    artefacts: float


STUDIO = Domain(
    "studio",
    number=1,
    subjects=7,
    sequences=0,
    shape_sd=0.8,
    varied=False,
    settings=(),
    pitch=(7.0, 1.5),
    pitch_limits=(2.0, 12.0),
    roll_sd=0.5,
    any_view=0.0,
    distance=(3.5, 5.5),
    fill=(0.72, 0.9),
    shift=0.03,
    truncated=0.0,
    occluded=0.0,
    company=0.0,
    blur=0.4,
    noise=0.012,
    artefacts=0.0,
)
"""Like Human3.6M: few subjects, plain rooms, level cameras, the whole person."""

WILD = Domain(
    "wild",
    number=2,
    subjects=0,
    sequences=0,
    shape_sd=1.2,
    varied=True,
    settings=(("outdoors", 0.53), ("indoors", 0.37), ("clutter", 0.1)),
    pitch=(8.0, 18.0),
    pitch_limits=(-35.0, 80.0),
    roll_sd=6.0,
    any_view=0.04,
    distance=(1.8, 9.0),
    fill=(0.55, 0.95),
    shift=0.1,
    truncated=0.25,
    occluded=0.35,
    company=0.2,
    blur=1.1,
    noise=0.045,
    artefacts=0.3,
)
"""Many shapes, outfits, places, viewpoints; occluders, truncation, blur, noise."""

BRIDGE = Domain(
    "bridge",
    number=3,
    subjects=0,
    sequences=24,
    shape_sd=1.0,
    varied=True,
    settings=(("outdoors", 0.75), ("indoors", 0.25)),
    pitch=(5.0, 6.0),
    pitch_limits=(-8.0, 25.0),
    roll_sd=2.0,
    any_view=0.0,
    distance=(2.5, 7.0),
    fill=(0.65, 0.92),
    shift=0.06,
    truncated=0.08,
    occluded=0.15,
    company=0.15,
    blur=0.7,
    noise=0.02,
    artefacts=0.2,
)
"""Like 3DPW: the wild's looks in few sequences."""

WILD_2 = replace(
    WILD,
    name="wild2",
    number=4,
    settings=(("outdoors", 0.3), ("indoors", 0.25), ("clutter", 0.45)),
    pitch=(14.0, 12.0),
    roll_sd=3.0,
    distance=(2.5, 12.0),
    fill=(0.5, 0.85),
    occluded=0.2,
    company=0.5,
    blur=0.8,
    noise=0.03,
    artefacts=0.1,
)
"""Like MuPoTS: another wild, to test on: other places behind people, who are in company and seen from higher up."""

DOMAINS: dict[DomainName, Domain] = {domain.name: domain for domain in (STUDIO, WILD, BRIDGE, WILD_2)}
"""Every domain, by name."""


def get_domain(name: str) -> Domain:
    """Domain by name.

    Raises:
        InputError: an unknown name.
    """
    for domain in DOMAINS.values():
        if domain.name == name:
            return domain
    raise InputError(f"no domain is called {name!r}; expected one of {', '.join(DOMAINS)}")
