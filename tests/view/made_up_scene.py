"""Balls before pictures that show a disc where each ball should be seen."""

import numpy as np
import torch

from bodyloop.body import Bodies, BodyModel, get_skeleton
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.view.scene import Figure, Moment, Scene

LENS = Camera(torch.tensor([300.0, 260.0]), torch.tensor([140.0, 131.0]), (320, 240))
"""Neither centred nor with square pixels."""
DISC, GROUND = (255, 0, 255), (20, 60, 20)


def standing(*places: tuple[float, float, float]) -> Bodies:
    rest = Bodies.rest(len(places))
    return Bodies(rest.rotations, rest.betas, torch.tensor(places, dtype=torch.float32))


def disc_picture(place: tuple[float, float, float], camera: Camera = LENS) -> np.ndarray:
    """A disc larger than the ball of 0.3 m, around what is seen of its middle."""
    x, y = camera.project(torch.tensor([place]))[0].tolist()
    rows, columns = np.mgrid[: camera.size[1], : camera.size[0]]
    radius = 1.5 * 0.3 / place[2]
    inside = ((columns - x) / float(camera.focal[0])) ** 2 + (
        (rows - y) / float(camera.focal[1])
    ) ** 2 < radius**2
    return np.where(inside[..., None], DISC, GROUND).astype(np.uint8)


def one_dot(place: tuple[float, float, float], person: str, camera: Camera = LENS) -> Evidence:
    """The nose alone is seen, at the projection of a place."""
    skeleton = get_skeleton("coco17")
    keypoints, confidence = torch.zeros(1, 17, 2), torch.zeros(1, 17)
    keypoints[0, 0], confidence[0, 0] = camera.project(torch.tensor([place]))[0], 1.0
    return Evidence.from_keypoints(skeleton, keypoints, confidence, labels=(person,))


def ball_scene(ball: BodyModel, video: bool = True, count: int = 3) -> Scene:
    """One ball that moves, and from the second moment on a second hypothesis of it."""
    places = [(-0.6 + 0.5 * i, 0.1 * i, 3.0 + 0.4 * i) for i in range(count)]
    moments = tuple(
        Moment(f"moment {i}", 0.5 * i, LENS, lambda place=place: disc_picture(place), one_dot(place, "anna"))
        for i, place in enumerate(places)
    )
    names = tuple(f"anna {i}" for i in range(count))
    anna = Figure("anna", 0, tuple(range(count)), standing(*places), names)
    other = Figure(
        "anna", 0, tuple(range(1, count)), standing(*[(x, y, z + 0.5) for x, y, z in places[1:]]),
        ("other",) * (count - 1), chosen=False,
    )  # fmt: skip
    return Scene("balls", ball, moments, (anna, other), video)
