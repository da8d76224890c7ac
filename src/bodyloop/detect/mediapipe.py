"""MediaPipe's BlazePose as a detector: 33 landmarks, world landmarks, masks; works offline.

BlazePose looks for people in a copy of the image 224 pixels wide, where small ones vanish, and its find is
the better the more the person fills the window. So the image is searched through overlapping square windows,
each person is looked at once more in windows of its own, and what all windows say of a person is settled
into one answer. Windows are square because the landmarker's projection is exact for square images only.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import SKELETONS
from bodyloop.detect.base import Detections, check_boxes, check_pixels
from bodyloop.detect.mediapipe_task import import_pose_landmarker, pose_task
from bodyloop.evidence import Evidence

SKELETON = SKELETONS["mediapipe33"]
_FLIP = list(SKELETON.flip)
_SIGMA = 0.1
"""Tolerance of "the same place" when finds are compared, as a fraction of the person's size."""
_SAME = 0.5
"""Similarity above which two finds are one person."""
_FACE = slice(0, 11)
_WHOLE_IMAGE_VOTES = 3
"""A find in the whole image counts as this many: no smaller window shows a person who fills the image."""


@dataclass
class _Find:
    points: np.ndarray  # (33, 2) image pixels
    visibility: np.ndarray  # (33,)
    world: np.ndarray  # (33, 3) metres
    mask: np.ndarray | None = None  # (S, S) bool, of the window
    window: tuple[int, int, int] = (0, 0, 0)
    votes: int = 1
    twins: list["_Find"] = field(default_factory=list)  # the same person's finds in other windows

    @property
    def score(self) -> float:
        """How much of a person was seen, 0 to 1."""
        return float(self.visibility.mean())

    @property
    def box(self) -> np.ndarray:
        """(4,) around the better half of the landmarks."""
        seen = self.visibility >= min(0.5, np.median(self.visibility))
        return np.concatenate([self.points[seen].min(0), self.points[seen].max(0)])

    @property
    def size(self) -> float:
        """Longer side of the box of all landmarks, in pixels."""
        return float(np.ptp(self.points, axis=0).max())


def similarity(first: np.ndarray, second: np.ndarray, size: float) -> float:
    """0 to 1: how much two sets of points (33, 2) are the same person, left and right not told apart."""
    both = [((first - other) ** 2).sum(-1) for other in (second, second[_FLIP])]
    return max(float(np.exp(-d / (2 * (size * _SIGMA) ** 2)).mean()) for d in both)


def same_person(first: _Find, second: _Find) -> bool:
    """Whether two finds are one person: most landmarks agree, or both have the same face."""
    faces = first.points[_FACE], second.points[_FACE]
    width = max(float(np.ptp(face, axis=0).max()) for face in faces)
    apart = float(np.linalg.norm(faces[0] - faces[1], axis=-1).mean())
    larger = max(first.size, second.size)
    return apart < 0.5 * width or similarity(first.points, second.points, larger) > _SAME


def merge(finds: list[_Find]) -> list[_Find]:
    """The best seen find of every person, with the votes of all finds of that person."""
    kept: list[_Find] = []
    for find in sorted(finds, key=lambda f: -f.score):
        first = next((k for k in kept if same_person(find, k)), None)
        if first is None:
            kept.append(find)
        else:
            first.votes += find.votes
            first.twins += [find, *find.twins]
    return kept


def settle(find: _Find) -> _Find:
    """One answer from a person's finds in several windows.

    The median of the places, and the mean visibility times how well the places agree: a limb that BlazePose
    only imagines (legs below the edge of the photo) lands elsewhere in every window.
    """
    members = [find, *(t for t in find.twins if _sees_same_sides(find, t))]
    places = np.stack([m.points for m in members])
    points = np.median(places, 0)
    spread = ((places - points) ** 2).sum(-1) / (2 * (find.size * _SIGMA / 2) ** 2)
    agreement = np.exp(-spread).mean(0)
    visibility = np.mean([m.visibility for m in members], 0) * agreement
    mask = next((m for m in reversed(members) if m.mask is not None), find)
    return _Find(points, visibility, find.world, mask.mask, mask.window, find.votes)


def _sees_same_sides(first: _Find, second: _Find) -> bool:
    straight = np.linalg.norm(first.points - second.points, axis=-1).mean()
    return bool(straight <= np.linalg.norm(first.points - second.points[_FLIP], axis=-1).mean())


def square_window(box: np.ndarray, factor: float) -> tuple[int, int, int]:
    """(x, y, side) of the square around a box (4,), its side `factor` times the box's longer one."""
    side = max(int(np.ceil(factor * max(box[2] - box[0], box[3] - box[1]))), 16)
    return round((box[0] + box[2] - side) / 2), round((box[1] + box[3] - side) / 2), side


def search_windows(width: int, height: int, fractions: tuple[float, ...]) -> list[tuple[int, int, int]]:
    """Windows (x, y, side) to search: the whole image, then rows of squares that overlap by half."""
    windows = [square_window(np.array([0, 0, width, height]), 1.0)]
    for fraction in fractions:
        side = round(fraction * max(width, height))
        windows += [(x, y, side) for y in _steps(height, side) for x in _steps(width, side)]
    return windows


def _steps(length: int, side: int) -> list[int]:
    if side >= length:
        return [(length - side) // 2]
    count = int(np.ceil((length - side) / (side / 2))) + 1
    return [round(x) for x in np.linspace(0, length - side, count)]


def cut(pixels: np.ndarray, window: tuple[int, int, int]) -> np.ndarray:
    """Square cut (S, S, 3), black outside the image."""
    x, y, side = window
    height, width = pixels.shape[:2]
    out = np.zeros((side, side, 3), np.uint8)
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, width), min(y + side, height)
    if x1 > x0 and y1 > y0:
        out[y0 - y : y1 - y, x0 - x : x1 - x] = pixels[y0:y1, x0:x1]
    return out


SEARCHERS = 2
"""Windows searched at the same time: on two cores that halves the search."""


class MediaPipeDetector:
    """Detector on MediaPipe's pose landmarker; makes it on construction (about 0.2 s, the first time 1 s).

    Args:
        num_poses: most people to find in one window.
        fractions: window sides for the search, as fractions of the longer image side; () for the whole
            image only, which is several times faster and fine for one large person.
        min_detection: lowest confidence of BlazePose's person detector.
        min_votes: in how many windows a person must show to be kept (see `merge`); what shows in one
            window and not in the next is mostly a false find.
        min_score: lowest mean confidence of a person that is kept.
        masks: whether to give masks.

    Raises:
        InputError: if mediapipe is missing or of a version without the models.
    """

    def __init__(
        self,
        num_poses: int = 10,
        fractions: tuple[float, ...] = (0.65, 0.4),
        min_detection: float = 0.5,
        min_votes: int = 3,
        min_score: float = 0.3,
        masks: bool = False,
    ) -> None:
        self.fractions, self.masks = fractions, masks
        self.min_votes, self.min_score = min_votes, min_score
        self._options = (num_poses, min_detection)
        pose_task()  # here, not in a thread, so that a missing library is told to the caller
        with quiet(), ThreadPoolExecutor(2) as pool:
            searcher = pool.submit(_landmarker, num_poses, min_detection, False)
            look = pool.submit(_landmarker, num_poses, 0.3, masks)
            self._searchers, self._look = [searcher.result()], look.result()
        self._images = 0

    def __call__(self, pixels: np.ndarray, boxes: Tensor | None = None) -> Detections:
        """People in an image (H, W, 3) uint8, largest first, or one for each box (N, 4)."""
        check_pixels(pixels)
        with quiet():
            if boxes is not None:
                return self._in_boxes(pixels, check_boxes(boxes))
            return self._everywhere(pixels)

    def _everywhere(self, pixels: np.ndarray) -> Detections:
        finds = []
        windows = search_windows(pixels.shape[1], pixels.shape[0], self.fractions)
        for i, found in enumerate(self._search(pixels, windows)):
            for find in found:
                find.votes = _WHOLE_IMAGE_VOTES if i == 0 else 1
                finds.append(find)
        likely = [find for find in merge(finds) if find.votes >= 2]
        for find in likely:
            self._closer(pixels, find)
        finds = merge([settle(find) for find in likely])
        finds = [find for find in finds if find.votes >= self.min_votes and find.score >= self.min_score]
        return _to_detections(sorted(finds, key=lambda f: -f.size), pixels, self.masks)

    def _search(self, pixels: np.ndarray, windows: list[tuple[int, int, int]]) -> list[list[_Find]]:
        """Finds in every window, by several threads: MediaPipe computes without the GIL.

        Each thread has a landmarker of its own. A single photo is not worth making more than one.
        """
        self._images += 1
        while self._images > 1 and len(self._searchers) < SEARCHERS:
            self._searchers.append(_landmarker(*self._options, False))
        threads = len(self._searchers)

        def some(first: int) -> list[list[_Find]]:
            return [_run(self._searchers[first], pixels, window) for window in windows[first::threads]]

        found: list[list[_Find]] = [[] for _ in windows]
        with ThreadPoolExecutor(threads) as pool:
            for first, part in enumerate(pool.map(some, range(threads))):
                found[first::threads] = part
        return found

    def _closer(self, pixels: np.ndarray, find: _Find) -> None:
        """Look again in windows of the person's own, each of which adds a vote if it shows them."""
        box = np.concatenate([find.points.min(0), find.points.max(0)])
        for factor in (1.9, 1.4):
            again = _run(self._look, pixels, square_window(box, factor))
            same = [other for other in again if similarity(find.points, other.points, find.size) > _SAME]
            find.votes += len(same[:1])
            find.twins += same[:1]

    def _in_boxes(self, pixels: np.ndarray, boxes: Tensor) -> Detections:
        rows = [self._in_box(pixels, box) for box in boxes.numpy()]
        found = _to_detections([row or _nobody() for row in rows], pixels, self.masks)
        evidence = found.evidence
        evidence = Evidence(SKELETON, evidence.keypoints, evidence.confidence, boxes, evidence.labels)
        return Detections(evidence, found.world_landmarks, found.masks)

    def _in_box(self, pixels: np.ndarray, box: np.ndarray) -> _Find | None:
        finds: list[_Find] = []
        for factor in (1.25, 1.6, 2.2):
            rated = [(_overlap(f.box, box), f) for f in _run(self._look, pixels, square_window(box, factor))]
            best = max(rated, key=lambda r: r[0], default=(0.0, _nobody()))
            finds += [best[1]] if best[0] > 0.3 else []
            if len(finds) == 2:
                break
        if not finds:
            return None
        first, *rest = finds
        first.twins = [t for t in rest if similarity(first.points, t.points, first.size) > _SAME]
        return settle(first)


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes (4,)."""
    sides = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.clip(sides, 0, None)))
    areas = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2]))
    return shared / max(areas - shared, 1e-9)


def _nobody() -> _Find:
    return _Find(np.zeros((33, 2)), np.zeros(33), np.zeros((33, 3)))


def _to_detections(finds: list[_Find], pixels: np.ndarray, masks: bool) -> Detections:
    height, width = pixels.shape[:2]
    points = np.array([f.points for f in finds], np.float32).reshape(-1, 33, 2)
    visibility = np.array([f.visibility for f in finds], np.float32).reshape(-1, 33)
    world = np.array([f.world for f in finds], np.float32).reshape(-1, 33, 3)
    inside = ((points > -1) & (points < [width, height])).all(-1)  # beyond the frame all is guesswork
    evidence = Evidence.from_keypoints(
        SKELETON, torch.from_numpy(points), torch.from_numpy(np.where(inside, visibility, np.float32(0)))
    )
    full = torch.from_numpy(np.array([_full_mask(f, (height, width)) for f in finds])) if masks else None
    if full is not None:
        full = full.reshape(-1, height, width).bool()
    return Detections(evidence, torch.from_numpy(world), full)


def _full_mask(find: _Find, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, bool)
    if find.mask is not None:
        x, y, side = find.window
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, shape[1]), min(y + side, shape[0])
        out[y0:y1, x0:x1] = find.mask[y0 - y : y1 - y, x0 - x : x1 - x]
    return out


def _landmarker(num_poses: int, min_detection: float, masks: bool) -> Any:
    task = import_pose_landmarker()
    options = task.PoseLandmarkerOptions(
        task.BaseOptions(model_asset_buffer=pose_task()),
        num_poses=num_poses,
        min_pose_detection_confidence=min_detection,
        min_pose_presence_confidence=0.5,
        output_segmentation_masks=masks,
    )
    return task.PoseLandmarker.create_from_options(options)


def _run(landmarker: Any, pixels: np.ndarray, window: tuple[int, int, int]) -> list[_Find]:
    """Finds in one window. MediaPipe counts from the outer edge, pixel centres here are at integers."""
    task = import_pose_landmarker()
    x, y, side = window
    result = landmarker.detect(task.Image(image_format=task.ImageFormat.SRGB, data=cut(pixels, window)))
    finds = []
    for i, landmarks in enumerate(result.pose_landmarks):
        rows = np.array([[p.x, p.y, p.visibility] for p in landmarks])
        world = np.array([[p.x, p.y, p.z] for p in result.pose_world_landmarks[i]])
        mask = result.segmentation_masks[i].numpy_view() > 0.5 if result.segmentation_masks else None
        finds.append(_Find(rows[:, :2] * side + [x - 0.5, y - 0.5], rows[:, 2], world, mask, window))
    return finds


@contextmanager
def quiet() -> Iterator[None]:
    """Send what native code writes to standard error nowhere: TensorFlow Lite's chatter has no switch."""
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(nowhere)
        os.close(saved)
