"""A found body beside the true one, for looking at errors."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from bodyloop.body import Bodies, BodyModel
from bodyloop.geometry import Camera
from bodyloop.view.draw import contact_sheet
from bodyloop.view.overlay import overlay, side_view

if TYPE_CHECKING:
    from bodyloop.data.synthetic import SyntheticSample

CAPTIONS = ("photo", "found", "truth", "from the side: found blue, truth orange")


def comparison(
    pixels: np.ndarray, body: BodyModel, found: Bodies, truth: Bodies, camera: Camera, cell: int = 260
) -> np.ndarray:
    """Four pictures in a row: the photo, the found body on it, the true body on it, and both from the side.

    From the side the found pelvis is put where the true one is, as in errors after root alignment.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        body: the model of both.
        found, truth: one person each, (1, ...), in the camera frame.
        camera: the photo's.
        cell: width of each picture in pixels; small photos are enlarged.

    Returns:
        (height, 4 cell, 3) uint8.
    """
    panels = [
        pixels,
        overlay(pixels, body, found, camera),
        overlay(pixels, body, truth, camera),
        side_by_side(body, found, truth, cell),
    ]
    return contact_sheet([enlarged(panel, cell) for panel in panels], 4, CAPTIONS, cell)


def partial_comparison(
    pixels: np.ndarray | None,
    body: BodyModel,
    found: Bodies,
    truth: Bodies | None,
    camera: Camera | None,
    true_camera: Camera | None,
    cell: int = 260,
) -> np.ndarray:
    """As `comparison`, of a person of whom some of it is not known: those pictures in a row that can be drawn.

    Args:
        pixels: (H, W, 3) uint8 RGB; None without a photo.
        body: the model of both; true bodies of another model (a gender's) are drawn with this one.
        found: one person (1, ...).
        truth: the true one; None if not known.
        camera: of the photo, in whose axes the found person is; None if not known.
        true_camera: the same for the true person; None if it is not known where they are.
        cell: width of each picture in pixels.

    Returns:
        (height, n cell, 3) uint8.
    """
    panels: dict[str, np.ndarray] = {}
    if pixels is not None:
        panels["photo"] = pixels
        for name, bodies, lens in (("found", found, camera), ("truth", truth, true_camera)):
            if bodies is not None and lens is not None:
                panels[name] = overlay(pixels, body, bodies, lens)
    if truth is None:
        panels["found, from the side"] = side_view(body, found, (cell, cell))
    else:
        panels[CAPTIONS[-1]] = side_by_side(body, found, truth, cell)
    shown = [enlarged(panel, cell) for panel in panels.values()]
    return contact_sheet(shown, len(shown), tuple(panels), cell)


def side_by_side(body: BodyModel, found: Bodies, truth: Bodies, cell: int) -> np.ndarray:
    """A found body (blue) and the true one (orange) from the side, pelvis on pelvis: (cell, cell, 3) uint8.

    Args:
        body: the model of both.
        found, truth: one person each, (1, ...), in the camera frame.
        cell: pixels.
    """
    shift = (body.joints(truth) - body.joints(found))[:, 0]
    aligned = Bodies(found.rotations, found.betas, found.translation + shift)
    return side_view(body, Bodies.cat([aligned, truth]), (cell, cell))


def enlarged(pixels: np.ndarray, side: int) -> np.ndarray:
    """At least `side` pixels on its longer side."""
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    if factor <= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def sample_comparison(
    samples: "SyntheticSample", found: Bodies, body: BodyModel
) -> Callable[[int], np.ndarray]:
    """What draws `comparison` of the samples by number, for `bodyloop.evaluate.report.html_report`.

    Args:
        samples: N of them (`SyntheticSample.stack`).
        found: their N found bodies.
        body: the model of both.
    """

    def picture(number: int) -> np.ndarray:
        one = slice(number, number + 1)
        lens = Camera(samples.camera.focal[number], samples.camera.center[number], samples.camera.size)
        with torch.no_grad():
            return comparison(
                samples.image[number].cpu().numpy(), body, found[one], samples.bodies[one], lens
            )

    return picture
