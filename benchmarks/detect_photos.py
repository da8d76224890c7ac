"""How many people of a COCO-annotated set of photos the detector finds, and how exactly.

    python benchmarks/detect_photos.py --photos FOLDER [--json]

FOLDER holds ``person_keypoints.json`` and the images, at any depth. "Large" people have at least 10 labelled
keypoints and a box at least 100 pixels high. A person counts as found if the object keypoint similarity (OKS)
with one detection is at least 0.5, or the boxes overlap with IoU at least 0.5; detections are handed out one
to one, best first. Errors are over COCO keypoints that MediaPipe has too; its hips are the joints, COCO's
are clicked on the surface, so hips are reported apart. PCKh's head size is the ear distance or 0.1 of the
box's height, whichever is larger.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from bodyloop.body import SKELETONS, convert
from bodyloop.detect import Detections, MediaPipeDetector
from bodyloop.detect.mediapipe_task import import_pose_landmarker
from bodyloop.evidence import read_photo

COCO = SKELETONS["coco17"]
SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
HIPS = [COCO.index("left_hip_extra"), COCO.index("right_hip_extra")]


def to_coco(found: Detections) -> np.ndarray:
    """(N, 17, 3) x, y, confidence; MediaPipe's hip joints stand in for COCO's."""
    evidence = found.evidence
    points, confidence = convert(evidence.keypoints, evidence.confidence, evidence.skeleton, COCO)
    rows = np.concatenate([points.numpy(), confidence.numpy()[..., None]], -1)
    for hip, name in zip(HIPS, ("left_hip", "right_hip"), strict=True):
        if name in evidence.skeleton.keypoints:
            i = evidence.skeleton.index(name)
            rows[:, hip, :2], rows[:, hip, 2] = evidence.keypoints[:, i], evidence.confidence[:, i]
    return rows


def oks(rows: np.ndarray, truth: np.ndarray, area: float) -> float:
    seen = truth[:, 2] > 0
    squared = ((rows[seen, :2] - truth[seen, :2]) ** 2).sum(-1)
    return float(np.exp(-squared / (2 * area * (2 * SIGMAS[seen]) ** 2)).mean())


def iou(first: np.ndarray, second: np.ndarray) -> float:
    sides = np.clip(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0, None)
    shared = sides.prod()
    return float(shared / ((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod() - shared))


def xyxy(bbox: list[float]) -> np.ndarray:
    return np.array([bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]])


def match(found: Detections, people: list[dict[str, Any]]) -> dict[int, tuple[int, float, float]]:
    """Index of a person to its detection, OKS and IoU; each detection used once, best pairs first."""
    rows, boxes = to_coco(found), found.evidence.boxes.numpy()
    pairs = []
    for i, person in enumerate(people):
        truth = np.array(person["keypoints"], float).reshape(17, 3)
        for j in range(len(rows)):
            pairs.append((oks(rows[j], truth, person["area"]), iou(boxes[j], xyxy(person["bbox"])), i, j))
    matched: dict[int, tuple[int, float, float]] = {}
    for similarity, overlap, i, j in sorted(pairs, key=lambda p: -(p[0] + p[1])):
        if i not in matched and j not in [m[0] for m in matched.values()]:
            matched[i] = (j, similarity, overlap)
    return matched


def errors(rows: np.ndarray, person: dict[str, Any]) -> np.ndarray:
    """(17,) pixel errors over the head size, NaN where the person is not labelled."""
    truth = np.array(person["keypoints"], float).reshape(17, 3)
    ears = np.linalg.norm(truth[3, :2] - truth[4, :2]) if (truth[3:5, 2] > 0).all() else 0.0
    head = max(ears, 0.1 * person["bbox"][3])
    return np.where(truth[:, 2] > 0, np.linalg.norm(rows[:, :2] - truth[:, :2], axis=-1) / head, np.nan)


def is_large(person: dict[str, Any]) -> bool:
    return person["num_keypoints"] >= 10 and person["bbox"][3] >= 99.5


def evaluate(folder: Path, detector: MediaPipeDetector) -> dict[str, Any]:
    data = json.loads((folder / "person_keypoints.json").read_text())
    paths = {p.name: p for p in folder.rglob("*") if p.is_file()}
    tally: list[tuple[bool, float, float]] = []
    wrong, extra, seconds = [], 0, 0.0
    for image in data["images"]:
        pixels = read_photo(paths[image["file_name"]]).pixels
        start = time.perf_counter()
        found = detector(pixels)
        seconds += time.perf_counter() - start
        here = [a for a in data["annotations"] if a["image_id"] == image["id"]]
        people = [a for a in here if a["num_keypoints"] and not a["iscrowd"]]
        matched = match(found, people)
        rows = to_coco(found)
        for i, person in enumerate(people):
            j, similarity, overlap = matched.get(i, (-1, 0.0, 0.0))
            tally.append((is_large(person), similarity, overlap))
            if is_large(person) and (similarity >= 0.5 or overlap >= 0.5):
                wrong.append(errors(rows[j], person))
        used = {j for j, similarity, overlap in matched.values() if similarity >= 0.3 or overlap >= 0.3}
        for j in set(range(len(found))) - used:
            box = found.evidence.boxes[j].numpy()
            extra += not any(iou(box, xyxy(a["bbox"])) > 0.3 or a["iscrowd"] for a in here)
    return summary(tally, np.array(wrong), extra, 1000 * seconds / len(data["images"]))


def summary(
    tally: list[tuple[bool, float, float]], wrong: np.ndarray, extra: int, ms: float
) -> dict[str, Any]:
    big = [t for t in tally if t[0]]
    both = [t[1] >= 0.5 or t[2] >= 0.5 for t in tally]
    apart = np.delete(wrong, HIPS, axis=1)
    return {
        "large_people": len(big),
        "large_found": sum(found for found, t in zip(both, tally, strict=True) if t[0]),
        "large_found_oks": sum(t[1] >= 0.5 for t in big),
        "large_mean_oks": round(float(np.mean([t[1] for t in big])), 3),
        "people": len(tally),
        "found": sum(both),
        "false_finds": extra,
        "median_error_over_head": round(float(np.nanmedian(apart)), 3),
        "mean_error_over_head": round(float(np.nanmean(apart)), 3),
        "pckh_0.5": round(float(np.nanmean(np.where(np.isnan(apart), np.nan, apart < 0.5))), 3),
        "hips_median_error_over_head": round(float(np.nanmedian(wrong[:, HIPS])), 3),
        "ms_per_image": round(ms, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    times = {}
    start = time.perf_counter()
    import_pose_landmarker()
    times["import_ms"] = round(1000 * (time.perf_counter() - start), 1)
    start = time.perf_counter()
    detector = MediaPipeDetector()
    times["build_ms"] = round(1000 * (time.perf_counter() - start), 1)
    figures = evaluate(options.photos, detector) | times
    quick = evaluate(options.photos, MediaPipeDetector(fractions=()))
    figures["ratio_large_found_over_whole_image_only"] = round(
        figures["large_found"] / max(quick["large_found"], 1), 2
    )
    print("whole image only:", quick)
    print(json.dumps(figures) if options.json else figures)


if __name__ == "__main__":
    main()
