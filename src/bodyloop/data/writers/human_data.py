"""mmhuman3d's HumanData ``.npz``."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bodyloop.body import BodyModel, Skeleton
from bodyloop.data.crowd import Crowd, Labelled, joined
from bodyloop.data.formats.human_data import COUNT, FIRST_DETECTED, LAST_DETECTED, RUNS
from bodyloop.errors import InputError
from bodyloop.writing import atomic_file


def write_human_data(parts: Iterator[Labelled], out: Path, body: BodyModel) -> Path:
    """Write ``human_data.npz`` after mmhuman3d's ``docs/human_data.md``: uncompressed keypoints' columns are left out.

    ``smpl`` has pose, shape and translation; ``misc`` the focal length, principal point and (height, width) of each
    person's image. The format keeps dicts of arrays as pickled objects, so that all people are in memory at once.

    Raises:
        InputError: nobody to write, or a file that cannot be written.
    """
    several = [part for part in parts if len(part)]
    if not several:
        raise InputError(f"{out}: nobody to write: all labels were rejected")
    people = joined(several)
    crowd, count = people.crowd, len(people)
    values, mask = _keypoints(crowd)
    boxes = crowd.boxes.astype(np.float64)
    sizes = crowd.sizes[:, ::-1].astype(np.int64)
    arrays = {
        "image_path": np.array(crowd.images.tolist(), dtype=str),
        "bbox_xywh": np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2], np.ones((count, 1))], 1),
        "keypoints2d": values[:, mask],
        "keypoints2d_mask": mask.astype(np.uint8),
        "__keypoints_compressed__": np.array(True),
        "__data_len__": np.array(count),
        "__key_strict__": np.array(False),
        "smpl": _object(
            {
                "body_pose": people.pose[:, 3:].reshape(count, 23, 3),
                "global_orient": people.pose[:, :3],
                "betas": people.betas,
                "transl": people.trans,
            }
        ),
        "has_smpl": np.ones(count),
        "meta": _object({"height": sizes[:, 0], "width": sizes[:, 1], "annot_id": crowd.ids.tolist()}),
        "misc": _object(
            {
                "cam_param_type": "perspective",
                "focal_length": people.focal,
                "principal_point": people.center,
                "image_shape": sizes,
            }
        ),
        "config": np.array("bodyloop"),
    }
    path = out / "human_data.npz"
    with atomic_file(path) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return path


def _object(value: dict[str, object]) -> np.ndarray:
    """A dict as numpy saves it."""
    array = np.empty((), dtype=object)
    array[()] = value
    return array


def _keypoints(crowd: Crowd) -> tuple[np.ndarray, np.ndarray]:
    """(N, 190, 3), and (190,) bool which of them the skeleton has."""
    places = human_data_places(crowd.skeleton)
    values = np.zeros((len(crowd), COUNT, 3), np.float32)
    for column, place in places.items():
        values[:, place] = crowd.keypoints[:, column]
    mask = np.zeros(COUNT, bool)
    mask[list(places.values())] = True
    return values, mask


def human_data_places(skeleton: Skeleton) -> dict[int, int]:
    """Column of each keypoint of a skeleton to its place among HumanData's 190; those that have none are left out.

    OpenPose's keypoints have a copy of their own.
    """
    detected = skeleton.name.startswith("openpose")
    places: dict[str, int] = {}
    for first, names in RUNS:
        for place, name in enumerate(names, first):
            if detected == (FIRST_DETECTED <= place <= LAST_DETECTED):
                places.setdefault(name, place)
    return {column: places[name] for column, name in enumerate(skeleton.keypoints) if name in places}
