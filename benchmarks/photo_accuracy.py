"""How well fitted bodies meet hand-labelled keypoints of real photos, and pictures of all of them.

    python benchmarks/photo_accuracy.py --photos FOLDER [--out DIR] [--json]

FOLDER holds ``person_keypoints.json`` (COCO) and the images in ``images``. Fitted are the people with at
least 10 labelled keypoints and a box at least 100 pixels high (99.5 counts), from their labelled keypoints, with the
assumed camera. PCKh@0.5 is over all labelled keypoints; head size as in `coco_head_size`. With --out, an
overlay of each person is written there, and two contact sheets: over the photos, and on plain ground.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from bodyloop.annotate import fit_people
from bodyloop.body import builtin_body
from bodyloop.evaluate.metrics import coco_head_size, pckh
from bodyloop.evidence import Evidence, Photo, choose_camera, read_keypoints, read_photo
from bodyloop.fit import Fits
from bodyloop.view import contact_sheet, overlay, save_picture, side_view


def large_people(folder: Path) -> Iterator[tuple[Photo, Evidence]]:
    """Photos with their large people."""
    labels = read_keypoints(folder / "person_keypoints.json")
    for path in sorted((folder / "images").iterdir()):
        people = labels.for_image(path)
        if people is None:
            continue
        high = people.boxes[:, 3] - people.boxes[:, 1] >= 99.5
        chosen = high & ((people.confidence > 0).sum(1) >= 10)
        if chosen.any():
            yield read_photo(path), people[chosen.nonzero()[:, 0]]


def crop(pixels: np.ndarray, box: torch.Tensor, margin: float = 0.25) -> np.ndarray:
    """The part of a picture around a box."""
    height, width = pixels.shape[:2]
    pad = margin * float((box[2:] - box[:2]).max())
    x0, y0 = (max(0, int(v - pad)) for v in box[:2].tolist())
    x1, y1 = (int(v + pad) + 1 for v in box[2:].tolist())
    return pixels[y0 : min(y1, height), x0 : min(x1, width)]


def pictures(photo: Photo, fits: Fits) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each person: over the photo, on plain ground, from the side."""
    body = builtin_body()
    blank = np.full_like(photo.pixels, 245)
    for i in range(len(fits)):
        one = slice(i, i + 1)
        people, evidence = fits.bodies[one], fits.evidence[one]
        drawn = [overlay(ground, body, people, fits.camera, evidence) for ground in (photo.pixels, blank)]
        yield (
            crop(drawn[0], evidence.boxes[0]),
            crop(drawn[1], evidence.boxes[0]),
            side_view(body, people, (320, 320)),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--starts", nargs="+", default=["lifter", "mean"])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    near, share, trusted, rows, plain, captions = [], [], 0, [], [], []
    for photo, evidence in large_people(arguments.photos):
        camera, _ = choose_camera(photo.size, photo.focal_px)
        fits = fit_people(evidence, camera, starts=tuple(arguments.starts))
        body = builtin_body()
        found = camera.project(body.points(fits.bodies, body.keypoints(evidence.skeleton)[0]))
        seen = evidence.confidence > 0
        head = coco_head_size(evidence.keypoints, seen, evidence.boxes)
        for i in range(len(fits)):
            near.append(
                float(pckh(found[i : i + 1], evidence.keypoints[i : i + 1], seen[i : i + 1], head[i : i + 1]))
            )
            share.append((int(seen[i].sum()), float(fits.error_box[i])))
        trusted += int(fits.trusted.sum())
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            for i, (over, ground, side) in enumerate(pictures(photo, fits)):
                rows += [over, side]
                plain += [ground, side]
                text = (
                    f"{photo.path.stem[-6:]} {fits.evidence.labels[i]} {near[len(near) - len(fits) + i]:.2f}"
                )
                captions += [text, f"{fits.start[i]} {'' if not fits.doubts[i] else 'doubted'}"]
    counts = np.array([n for n, _ in share])
    result = {
        "people": len(near),
        "pckh_0.5": round(float((np.array(near) * counts).sum() / counts.sum()), 4),
        "reprojection_share_of_box": round(float(np.mean([e for _, e in share])), 4),
        "trusted": trusted,
    }
    for key, value in result.items():
        print(f"{key:28s} {value}")
    if arguments.out:
        save_picture(arguments.out / "over_photos.png", contact_sheet(rows, 12, captions, 160))
        save_picture(arguments.out / "on_plain_ground.png", contact_sheet(plain, 12, captions, 130))
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
