"""Regions of an IUV map that sparse keypoints contradict become background.

Rong, Liu, Li, Cao, Loy, "Delving Deep into Hybrid Annotations for 3D Human Recovery in the Wild", 2019, section
3.2 and appendix A: detectors take a left limb for a right one, and such points must not reach a fit.
"""

from dataclasses import dataclass

import numpy as np

from bodyloop.body import Skeleton
from bodyloop.evidence.evidence import Evidence
from bodyloop.evidence.iuv import CHART_COUNT, LIMBS, SEGMENTS, IuvMap, mirrored_parts

_HEAD = ("nose", "eye", "eye_inner", "eye_outer", "ear", "mouth")
_SIDED = {
    # A joint lies on the segments that meet there ...
    "shoulder": ("torso", "upper_arm"),
    "elbow": ("upper_arm", "lower_arm"),
    "wrist": ("lower_arm", "hand"),
    "hip": ("torso", "upper_leg"),
    "hip_extra": ("torso", "upper_leg"),
    "knee": ("upper_leg", "lower_leg"),
    "ankle": ("lower_leg", "foot"),
    # ... and what other skeletons have beyond COCO's 17 on the segment that it is part of.
    "hand": ("hand",),
    "pinky": ("hand",),
    "index": ("hand",),
    "thumb": ("hand",),
    "foot": ("foot",),
    "heel": ("foot",),
    "big_toe": ("foot",),
    "small_toe": ("foot",),
}


def _keypoint_segments() -> dict[str, tuple[str, ...]]:
    # The head's halves meet at the nose, and the ears of a face seen from the side lie at the other half's
    # outline: both halves are right for all of them.
    table: dict[str, tuple[str, ...]] = {"nose": ("head",), "mouth_left": ("head",), "mouth_right": ("head",)}
    for side in ("left", "right"):
        table |= {f"{side}_{name}": ("head",) for name in _HEAD if name not in ("nose", "mouth")}
        for name, segments in _SIDED.items():
            table[f"{side}_{name}"] = tuple(s if s == "torso" else f"{side}_{s}" for s in segments)
    return table


KEYPOINT_SEGMENTS = _keypoint_segments()
"""Segments that a keypoint may lie on, by the landmark's name; a landmark that is not here accuses nobody.

The paper gives one example (a "right ankle" on "left foot" is wrong) and no table; this one is read from it: what
meets at the joint, on the keypoint's own side."""


@dataclass(frozen=True)
class RemovedRegion:
    """A region that was made background.

    Attributes:
        label: the person whose keypoint it contradicts, by `Evidence.labels`.
        keypoint: that landmark.
        part: the I that was accused, which is the region's (of whole limbs, among the region's).
        pixels: how many pixels of the map it had.
    """

    label: str
    keypoint: str
    part: int
    pixels: int


def wrong_parts(skeleton: Skeleton, mirrored_only: bool = False) -> np.ndarray:
    """(K, 25) bool: the values of I that contradict each keypoint of a skeleton; the background never does.

    Args:
        skeleton: K landmarks.
        mirrored_only: take only the mirror image of the right parts for wrong.
    """
    wrong = np.zeros((len(skeleton), CHART_COUNT + 1), dtype=bool)
    mirror = mirrored_parts()
    for row, name in zip(wrong, skeleton.keypoints, strict=True):
        segments = KEYPOINT_SEGMENTS.get(name)
        if segments is None:
            continue
        right = np.zeros(CHART_COUNT + 1, dtype=bool)
        right[[part for segment in segments for part in SEGMENTS[segment]]] = True
        row[:] = right[mirror] & ~right if mirrored_only else ~right
        row[0] = False
    return wrong


def refine_iuv(
    iuv: IuvMap,
    evidence: Evidence,
    min_confidence: float = 0.0,
    mirrored_only: bool = False,
    whole_limbs: bool = False,
) -> tuple[IuvMap, list[RemovedRegion]]:
    """An IUV map without the regions that contradict the keypoints.

    Of every visible keypoint, the most frequent I of the 3 x 3 pixels around it is looked at. If the keypoint
    cannot lie on that part, its pixel and the region of that I which touches the 3 x 3 pixels (connected over
    8 neighbours) become background.

    Where the paper leaves it open: the background is a value like others, so a keypoint in whose grid it is the
    most frequent accuses nobody, nor does a tie with a right part or the background; pixels beyond the map's
    edge do not count. All keypoints judge the same map, whatever their order, and it is judged again until
    nobody is accused: a map that comes out would come out unchanged again.

    Args:
        iuv: of one person, or of all people that `evidence` has. One person's keypoint hidden behind another
            would accuse the other: `IuvMap.of_instance` first, where the instances are known.
        evidence: keypoints in image pixels, of any skeleton.
        min_confidence: keypoints must exceed it to count as visible.
        mirrored_only: accuse only where left and right are confused. Not in the paper: for keypoints that say
            nothing on occlusion (COCO's v = 1, most detectors), as a wrist hidden behind the torso would
            remove the torso.
        whole_limbs: let the region be all connected charts of the accused limb and side, not of the accused
            chart alone. Not in the paper: a limb shows up to two charts along each bone, of which its
            keypoints touch one, and a swapped hand or foot is touched only where the wrist or ankle lies on it.

    Returns:
        The refined map, and the removed regions in the order of people and keypoints.
    """
    from scipy import ndimage

    wrong = wrong_parts(evidence.skeleton, mirrored_only)
    people, keypoints = np.nonzero((evidence.confidence > min_confidence).cpu().numpy())
    places = iuv.image_to_map(evidence.keypoints.cpu().numpy()[people, keypoints].astype(np.float64))
    inside = ((places > -0.5) & (places < np.array(iuv.size) - 0.5)).all(-1)
    people, keypoints = people[inside], keypoints[inside]
    x, y = np.rint(places[inside]).astype(np.int64).T
    part, removed = iuv.part.copy(), []
    region_of = _regions(whole_limbs)
    while True:
        accused = _accused_parts(part, x, y, wrong[keypoints])
        if not accused.any():
            break
        # Regions are labelled within the boxes of their parts: labelling a whole photo for each is slow.
        boxes = ndimage.find_objects(region_of[part].astype(np.int32), CHART_COUNT)
        for k in np.flatnonzero(accused):
            wanted = region_of[accused[k]]
            box = boxes[wanted - 1]
            label = ndimage.label(region_of[part[box]] == wanted, np.ones((3, 3)))[0]
            top, left = y[k] - 1 - box[0].start, x[k] - 1 - box[1].start
            near = label[max(top, 0) : top + 3, max(left, 0) : left + 3]
            region = np.isin(label, near[near > 0])
            if region.any():  # or another keypoint had it removed just before
                name = evidence.skeleton.keypoints[keypoints[k]]
                removed.append(
                    RemovedRegion(evidence.labels[people[k]], name, int(accused[k]), int(region.sum()))
                )
            part[box][region] = 0
            part[y[k], x[k]] = 0
    return iuv.without(part == 0), removed


def _regions(whole_limbs: bool) -> np.ndarray:
    """(25,) what each I spreads to: all parts with the same number."""
    table = np.arange(CHART_COUNT + 1, dtype=np.uint8)
    if whole_limbs:
        for side in ("left", "right"):
            for segments in LIMBS.values():
                parts = [part for segment in segments for part in SEGMENTS[f"{side}_{segment}"]]
                table[parts] = min(parts)
    return table


def _accused_parts(part: np.ndarray, x: np.ndarray, y: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """(P,) the most frequent I around pixels x, y (P,) of a map (H, W), where `wrong` (P, 25) says so; else 0."""
    beyond = CHART_COUNT + 1
    padded = np.pad(part, 1, constant_values=beyond)
    dy, dx = np.mgrid[:3, :3].reshape(2, 9)
    grid = padded[y[:, None] + dy, x[:, None] + dx]
    counts = (grid[:, :, None] == np.arange(beyond)).sum(1)
    bad, good = np.where(wrong, counts, 0), np.where(wrong, 0, counts)
    return np.where(bad.max(1, initial=0) > good.max(1, initial=0), bad.argmax(1), 0)
