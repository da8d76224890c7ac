"""OpenPose's JSON: BODY_25, or the older COCO-18."""

from typing import Any

import numpy as np

from bodyloop.body import SKELETONS
from bodyloop.errors import InputError
from bodyloop.evidence.json_files import RecordError, describe
from bodyloop.evidence.keypoint_records import Collector, KeypointFile, Person, to_triplets

_OPENPOSE = SKELETONS["openpose25"]
_OPENPOSE18 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
"""Places of OpenPose's COCO-18 keypoints in BODY_25, which adds the mid hip at 8 and the feet."""


def read_openpose(out: Collector, data: dict[str, Any]) -> KeypointFile:
    """One file, which is one image named as the file is (without ``_keypoints``)."""
    people = data["people"]
    if not isinstance(people, list):
        raise InputError(
            f"{out.path}: expected OpenPose's 'people' to be a list, got {describe(people)}; write it again"
        )
    name = out.path.stem.removesuffix("_keypoints")
    out.people[name] = []
    for i, person in enumerate(people):
        try:
            if not isinstance(person, dict):
                raise RecordError(f"a person must be an object, got {describe(person)}")
            key = "pose_keypoints_2d" if "pose_keypoints_2d" in person else "pose_keypoints"
            rows = to_triplets(person.get(key), {25: 0, 18: 0}, key)
            if len(rows) == 18:
                full = np.zeros((25, 3))
                full[list(_OPENPOSE18)] = rows
                rows = full
            out.add(name, Person(rows, str(i)))
        except RecordError as error:
            out.skip(str(error), f"person {i}")
    return out.finish("OpenPose", _OPENPOSE)
