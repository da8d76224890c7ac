"""What is written of the people of a photo."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import BodyModel
from bodyloop.evidence.photos import Photo
from bodyloop.fit import Fits, Hypotheses
from bodyloop.writing import make_folder

Format = Literal["npz", "glb", "obj", "ply"]


def write_results(
    folder: Path,
    photo: Photo,
    body: BodyModel,
    fits: Fits,
    formats: tuple[Format, ...],
    pictures: bool,
    network: Fits | None = None,
) -> None:
    """Write one photo's results; ``body.npz`` comes last, so that it marks a finished folder.

    Args:
        folder: made if it is not there.
        photo: whose people they are.
        body: their model.
        fits: the people.
        formats: of the files.
        pictures: whether overlay and side view are drawn.
        network: the same people as a network saw them, if the fits went on from there: its scores and bodies are
            written too.

    Raises:
        InputError: if something cannot be written.
    """
    from bodyloop.view import overlay, save_glb, save_npz, save_obj, save_picture, save_ply, side_view

    make_folder(folder)
    names = [f"person_{label}" for label in fits.evidence.labels]
    if pictures:
        save_picture(
            folder / "overlay.png", overlay(photo.pixels, body, fits.bodies, fits.camera, fits.evidence)
        )
        save_picture(folder / "side.png", side_view(body, fits.bodies))
    if "glb" in formats:
        save_glb(folder / "body.glb", body, fits.bodies, names)
    if "obj" in formats:
        save_obj(folder / "body.obj", body, fits.bodies, names)
    if "ply" in formats:
        save_ply(folder / "body.ply", body, fits.bodies)
    if "npz" in formats:
        scores = scores_of(fits) | {"photo": np.array(str(photo.path.resolve()))}
        if network is not None:
            scores |= {
                "network_energy": network.energy,
                "network_error_px": network.error_px,
                "network_error_box": network.error_box,
            }
            scores |= _hypotheses(fits, network).arrays()
        elif fits.tried is not None:
            scores |= fits.tried.arrays()
        save_npz(folder / "body.npz", fits.bodies, fits.camera, body.name, scores)


def _hypotheses(fits: Fits, network: Fits) -> Hypotheses:
    """The network's bodies, and those fits that were better, by the energy of the fits."""
    both = Fits.cat([network, fits])
    people = torch.arange(len(fits)).repeat(2)
    kept = torch.tensor([True] * len(network) + [name not in network.start for name in fits.start])
    names = tuple(name for name, keep in zip(both.start, kept.tolist(), strict=True) if keep)
    return Hypotheses(both.bodies[kept], people[kept], both.energy[kept], names)


def scores_of(fits: Fits) -> dict[str, np.ndarray | Tensor]:
    """Arrays that describe how good each fit is, for the result file."""
    return {
        "energy": fits.energy,
        **{f"energy_{name}": value for name, value in fits.terms.items()},
        "error_px": fits.error_px,
        "error_box": fits.error_box,
        "keypoints_seen": fits.seen,
        "keypoint_noise": fits.noise,
        "trusted": fits.trusted,
        "start": np.array(fits.start),
        "doubts": np.array(["; ".join(d) for d in fits.doubts]),
        "label": np.array(fits.evidence.labels),
        "keypoints": fits.evidence.keypoints,
        "confidence": fits.evidence.confidence,
        "skeleton": np.array(fits.evidence.skeleton.name),
    }
