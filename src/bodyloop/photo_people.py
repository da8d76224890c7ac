"""Who is in a photo: from a file of keypoints, by a detector, or from boxes alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from bodyloop.body.skeletons import COCO17
from bodyloop.detect import DetectorName
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.evidence.keypoint_files import KeypointFile
from bodyloop.evidence.photos import MIN_SIDE, Photo


def people_source(
    known: KeypointFile | None,
    file: Path | None,
    box_file: Path | None,
    detector: DetectorName | Literal["none"],
    boxes_suffice: bool,
) -> Callable[[Photo], Evidence]:
    """How people are found in a photo.

    Args:
        known: keypoints of a file, which are all that counts if there is one.
        file: its name.
        box_file: where the detector looks.
        detector: its name; "none" takes the boxes for all that is known.
        boxes_suffice: whether people in boxes count without a keypoint.

    Returns:
        A function that raises InputError where there is nobody.

    Raises:
        InputError: for a file of boxes that cannot be read, or a detector that is not there.
    """
    if known is not None:

        def from_file(photo: Photo) -> Evidence:
            evidence = known.for_image(photo.path)
            if evidence is None:
                raise InputError(
                    f"{file} has no keypoints for it; the file speaks of {_some(list(known.people))}"
                )
            if len(evidence) == 0:
                raise InputError(f"nobody in it, says {file}")
            return evidence

        return from_file

    from bodyloop.evidence.box_files import read_boxes

    boxes = read_boxes(box_file) if box_file else None

    def boxes_in(photo: Photo) -> Tensor | None:
        if boxes is None:
            return None
        inside = boxes.for_image(photo.path)
        if inside is None:
            raise InputError(f"{box_file} has no boxes for it; the file speaks of {_some(list(boxes.boxes))}")
        return inside

    if detector == "none":

        def from_boxes(photo: Photo) -> Evidence:
            inside = boxes_in(photo)
            assert inside is not None, "without a detector there are boxes"
            unseen = torch.zeros(len(inside), len(COCO17), 3)
            return Evidence.from_keypoints(COCO17, unseen[..., :2], unseen[..., 2], inside)

        return from_boxes

    from bodyloop.detect import load_detector

    finder = load_detector(detector)

    def from_detector(photo: Photo) -> Evidence:
        inside = boxes_in(photo)
        evidence = finder(photo.pixels, inside).evidence
        if not (evidence.confidence > 0).any() and not (boxes_suffice and inside is not None):
            where = "its boxes; correct them" if boxes is not None else "it; give --boxes"
            raise InputError(f"nobody found in {where}, or give --keypoints, if somebody is there")
        return evidence

    return from_detector


def _some(names: list[str], most: int = 3) -> str:
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")


def seen_people(evidence: Evidence, boxes_suffice: bool) -> tuple[Evidence, list[str]]:
    """Without people of whom no keypoint is seen, or who have no box worth the name where boxes suffice; and a note on
    who is missing.

    Raises:
        InputError: if nobody is left.
    """
    if boxes_suffice:
        side = (evidence.boxes[:, 2:] - evidence.boxes[:, :2]).amax(1)
        there = evidence.boxes.isfinite().all(1) & (side >= MIN_SIDE)
        nobody = f"nobody to crop: every box is smaller than {MIN_SIDE} pixels, or holds no finite numbers"
        lacking = f"no box of {MIN_SIDE} pixels or more"
    else:
        there = (evidence.confidence > 0).any(1)
        nobody = "nobody to fit: every keypoint has confidence 0 or no finite place"
        lacking = "no keypoint seen"
    if not there.any():
        raise InputError(nobody)
    notes: list[str] = []
    if not there.all():
        missing = ", ".join(
            label for label, is_there in zip(evidence.labels, there, strict=True) if not is_there
        )
        notes.append(f"{lacking} of person {missing}, left out")
    return evidence[there], notes
