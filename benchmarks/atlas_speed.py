"""Speed of IUV look-ups on one core: `Atlas.locate` against a search through all faces of the chart.

Run by hand: ``python benchmarks/atlas_speed.py [--json]``. The points are spread evenly over all 24 unit
squares, so some lie outside of every face and go to the nearest one; and, apart, points on the surface only.
The search is vectorised numpy, for points on the surface. Times are medians after warm-up.
"""

import argparse
import json
import time

import numpy as np
import torch
from timing import seconds

from bodyloop.body.atlas import Atlas, builtin_atlas

AIM = 1e6


def on_surface(atlas: Atlas, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Charts (N,) and places (N, 2) of random points of random faces."""
    face = rng.integers(0, len(atlas.faces), count)
    weights = rng.dirichlet(np.ones(3), count)
    return atlas.charts.numpy()[face], np.einsum("nc,ncd->nd", weights, atlas.uv.double().numpy()[face])


def search(atlas: Atlas, charts: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Face (N,) that contains each point: all faces of its chart are tried, 256 points at once."""
    found = np.full(len(charts), -1)
    for chart in np.unique(charts):
        faces = np.flatnonzero(atlas.charts.numpy() == chart)
        a, b, c = np.moveaxis(atlas.uv.double().numpy()[faces], 1, 0)
        whole = (a - c)[:, 0] * (b - c)[:, 1] - (a - c)[:, 1] * (b - c)[:, 0]
        points = np.flatnonzero(charts == chart)
        for some in np.array_split(points, len(points) // 256 + 1):
            d = places[some][:, None] - c
            first = (d[..., 0] * (b - c)[:, 1] - d[..., 1] * (b - c)[:, 0]) / whole
            second = (d[..., 1] * (a - c)[:, 0] - d[..., 0] * (a - c)[:, 1]) / whole
            found[some] = faces[np.minimum(np.minimum(first, second), 1 - first - second).argmax(1)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    atlas = builtin_atlas()
    start = time.perf_counter()
    atlas.locate(1, 0.5, 0.5)
    first = time.perf_counter() - start
    count, few = 1_000_000, 20_000
    charts, places = on_surface(atlas, count, rng)
    anywhere = rng.integers(1, 25, count), *rng.random((2, count))
    surface = count / seconds(lambda: atlas.locate(charts, places[:, 0], places[:, 1]), 5)
    even = count / seconds(lambda: atlas.locate(*anywhere), 5)
    brute = few / seconds(lambda: search(atlas, charts[:few], places[:few]), 1)
    corners = atlas.locate(charts[:few], places[:few, 0], places[:few, 1])[0].numpy()
    same = corners == atlas.faces.numpy()[search(atlas, charts[:few], places[:few])]
    report = {
        "first_call_s": round(first, 3),
        "surface_per_s": round(surface),
        "anywhere_per_s": round(even),
        "search_per_s": round(brute),
        "ratio_to_search": round(surface / brute, 1),
        "same_face_as_search": round(float(same.all(1).mean()), 5),
        "within_aim": min(surface, even) >= AIM,
    }
    for key, value in report.items():
        print(f"{key:24} {value}")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
