"""A label as a reviewer wants to see it: the body over the cut-out person, and from the side."""

from pathlib import Path

import numpy as np
import torch

from bodyloop.body import BodyModel
from bodyloop.data.augment import Change
from bodyloop.data.crowd import Labelled
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.evidence.photos import read_photo
from bodyloop.geometry import CropTransform, square_boxes
from bodyloop.view.draw import draw_keypoints
from bodyloop.view.overlay import overlay, side_view

MARGIN = 1.4
"""Side of the cut-out as a multiple of the box's longer side."""
PLAIN = 225
"""Grey of what is shown where there is no image."""


def label_picture(
    labels: Labelled, row: int, body: BodyModel, images: Path | None = None, side: int = 256
) -> np.ndarray:
    """The keypoints, the body over them, and the body from the side: (side, 3 side, 3) uint8.

    Args:
        labels: of some people.
        row: whose.
        body: the model of the labels.
        images: folder of the images; a plain ground stands for those that are not there, or have another size than the
            annotations say.
        side: pixels.
    """
    crowd = labels.crowd
    center, size = square_boxes(torch.from_numpy(crowd.boxes[row].astype(np.float64)), MARGIN)
    place = CropTransform(center, size, side)
    pixels = _cut_out(crowd.images[row], labels.camera(row).size, images, place)
    values = torch.from_numpy(crowd.keypoints[row].astype(np.float64))
    inside = place.image_to_crop(values[:, :2])
    evidence = Evidence.from_keypoints(crowd.skeleton, inside[None], values[None, :, 2])
    bodies = labels[row : row + 1].bodies().to(body.v_template)
    camera = place.image_to_crop_camera(labels.camera(row).to(torch.float64)).to(torch.float32)
    with torch.no_grad():
        drawn = overlay(pixels, body, bodies, camera)
        aside = side_view(body, bodies, (side, side))
    return np.concatenate([draw_keypoints(pixels, evidence, max(2, side // 100)), drawn, aside], 1)


def _cut_out(name: str, size: tuple[int, int], images: Path | None, place: CropTransform) -> np.ndarray:
    if images is not None:
        try:
            photo = read_photo(images / str(name))
        except InputError:
            photo = None
        if photo is not None and photo.size == size:
            return Change(place).picture(photo.pixels)
    return np.full((place.resolution, place.resolution, 3), PLAIN, np.uint8)
