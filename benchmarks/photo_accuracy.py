"""How well fitted bodies meet hand-labelled keypoints of real photos, and pictures of all of them.

    python benchmarks/photo_accuracy.py --photos FOLDER [--methods NAME ...] [--weights FILE] [--out DIR] [--json]

FOLDER holds ``person_keypoints.json`` (COCO) and the images in ``images``. Recovered are the people with at least 10
labelled keypoints and a box at least 100 pixels high (99.5 counts), with the assumed camera. PCKh@0.5 is over all
labelled keypoints; head size as in `coco_head_size`. With --out, two contact sheets are written: over the photos, and
on plain ground.

Methods: "fit", as `bodyloop fit` does; "network", the answer of a network, to which the keypoints are unknown (of
--weights, else the one that ships), "refined", fitted on from there; "candidates", "candidates-cen", the best of five
fits by energy or by the consistency network; "mrt", "mrt-refined", five candidates made better, one chosen by it.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from bodyloop.annotate import fit_people
from bodyloop.annotate.alternatives import fit_alternatives
from bodyloop.annotate.consistency import infer_paths, picture_distances
from bodyloop.annotate.estimates import find_weights, infer_people
from bodyloop.body import builtin_body
from bodyloop.evaluate.metrics import coco_head_size, pckh
from bodyloop.evidence import Evidence, Photo, choose_camera, read_keypoints, read_photo
from bodyloop.fit import Fits
from bodyloop.geometry import Camera
from bodyloop.nets.build import load_estimator
from bodyloop.nets.cen import default_cen
from bodyloop.nets.mrt import Mrt
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


def recovered(
    method: str, weights: Path | None, starts: tuple[str, ...]
) -> Callable[[Photo, Evidence, Camera], Fits]:
    """What finds the people of a photo."""
    body = builtin_body()
    if method == "fit":
        return lambda photo, evidence, camera: fit_people(evidence, camera, starts=starts)  # type: ignore[arg-type]
    if method.startswith("candidates"):
        return lambda photo, evidence, camera: of_candidates(method, photo, evidence, camera)
    network = load_estimator(
        find_weights(Path("mrt") if method.startswith("mrt") and not weights else weights)
    )
    refine = method.endswith("refined")
    if isinstance(network, Mrt):
        return lambda photo, evidence, camera: infer_paths(
            network, photo.pixels, evidence, camera, body, judge=default_cen(), refine=refine
        )
    return lambda photo, evidence, camera: (
        infer_people(network, photo.pixels, evidence, camera, body, refine=refine).people
    )


def of_candidates(method: str, photo: Photo, evidence: Evidence, camera: Camera) -> Fits:
    """The best of five fits of each person."""
    body = builtin_body()
    found = fit_alternatives(evidence, camera, body)
    if method == "candidates":
        return found.chosen(torch.zeros(len(evidence), dtype=torch.int64))
    bodies = [fits.bodies for fits in found.ranks]
    return found.chosen(
        picture_distances(default_cen(), photo.pixels, evidence, camera, body, bodies).argmin(0)
    )


METHODS = ("fit", "network", "refined", "candidates", "candidates-cen", "mrt", "mrt-refined")


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


def measure(
    recover: Callable[[Photo, Evidence, Camera], Fits], folder: Path, out: Path | None
) -> dict[str, float]:
    """Figures of all large people; pictures of them, if there is a folder for these."""
    near, counts, share, trusted, rows, plain, captions = [], [], [], 0, [], [], []
    body = builtin_body()
    for photo, evidence in large_people(folder):
        camera, _ = choose_camera(photo.size, photo.focal_px)
        fits = recover(photo, evidence, camera)
        found = camera.project(body.points(fits.bodies, body.keypoints(evidence.skeleton)[0]))
        seen = evidence.confidence > 0
        head = coco_head_size(evidence.keypoints, seen, evidence.boxes)
        for i in range(len(fits)):
            one = slice(i, i + 1)
            near.append(float(pckh(found[one], evidence.keypoints[one], seen[one], head[one])))
            counts.append(int(seen[i].sum()))
            share.append(float(fits.error_box[i]))
        trusted += int(fits.trusted.sum())
        if out:
            for i, (over, ground, side) in enumerate(pictures(photo, fits)):
                rows += [over, side]
                plain += [ground, side]
                name, met = fits.evidence.labels[i], near[len(near) - len(fits) + i]
                captions += [f"{photo.path.stem[-6:]} {name} {met:.2f}"]
                captions += [f"{fits.start[i]} {'' if not fits.doubts[i] else 'doubted'}"]
    if out:
        out.mkdir(parents=True, exist_ok=True)
        save_picture(out / "over_photos.png", contact_sheet(rows, 12, captions, 160))
        save_picture(out / "on_plain_ground.png", contact_sheet(plain, 12, captions, 130))
    return {
        "people": len(near),
        "pckh_0.5": round(float((np.array(near) * np.array(counts)).sum() / sum(counts)), 4),
        "reprojection_share_of_box": round(float(np.mean(share)), 4),
        "trusted": trusted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--starts", nargs="+", default=["lifter", "mean"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["fit"])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = {}
    for method in arguments.methods:
        recover = recovered(method, arguments.weights, tuple(arguments.starts))
        out = arguments.out and (arguments.out / method if len(arguments.methods) > 1 else arguments.out)
        results[method] = measure(recover, arguments.photos, out)
        print(method, *(f"{key} {value}" for key, value in results[method].items()), sep="  ")
    if arguments.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
