"""Speed of the z-buffer on the built-in body: one 224x224 image, and 64 PNCC maps of 56x56.

Run by hand: ``python benchmarks/raster_speed.py [--json] [--body FILE]``. The alternative beside it is a
z-buffer of vectorised tensor operations (all pixels of all faces' bounding boxes at once, the nearest kept by
a scatter), which is what runs without a compiler. Times are medians after warm-up, in milliseconds; the least
time is printed too, since other work on the machine lengthens the median.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from bodyloop import body as bodies
from bodyloop.geometry import Camera
from bodyloop.raster import interpolate, rasterize

AIM_ONE_224, AIM_64_PNCC = 1.5, 25.0


def tensor_zbuffer(vertices: Tensor, faces: Tensor, camera: Camera) -> Tensor:
    """Face ids (H, W) of one mesh (V, 3) that lies wholly in front of the camera, by tensor operations."""
    width, height = camera.size
    screen = torch.cat([camera.project(vertices), 1 / vertices[:, 2:]], -1)[faces]
    low = screen[..., :2].amin(1).ceil().clamp_min(0)
    high = screen[..., :2].amax(1).floor().minimum(torch.tensor([width - 1.0, height - 1.0]))
    spans = (high - low + 1).clamp_min(0).long()
    counts = spans.prod(-1)
    face = torch.repeat_interleave(counts)
    inside = torch.arange(len(face)) - (counts.cumsum(0) - counts)[face]
    x = low[face, 0].long() + inside % spans[face, 0]
    y = low[face, 1].long() + inside // spans[face, 0]
    points = torch.stack([x, y], -1).float()
    corners = screen[face]
    edges = []
    for i in range(3):
        a, b = corners[:, (i + 1) % 3, :2], corners[:, (i + 2) % 3, :2]
        d, p = b - a, points - a
        edges.append(d[:, 0] * p[:, 1] - d[:, 1] * p[:, 0])
    weights = torch.stack(edges, -1)
    area = weights.sum(-1)
    hit = ((weights * area.sign()[:, None]) >= 0).all(-1) & (area != 0)
    near = ((weights * corners[..., 2]).sum(-1) / area)[hit]
    pixel = (y * width + x)[hit]
    best = torch.zeros(height * width).scatter_reduce(0, pixel, near, "amax")
    front = near == best[pixel]
    face_id = torch.full((height * width,), -1)
    face_id[pixel[front]] = face[hit][front]
    return face_id.reshape(height, width)


def milliseconds(call: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median and least time of a call."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return {"median_ms": round(statistics.median(times), 3), "least_ms": round(min(times), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--body", help="SMPL-format file; the built-in body if left out")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    body = bodies.load_body(options.body)
    standing = torch.zeros(1, 72)
    standing[0, 0] = torch.pi
    people = bodies.Bodies.from_smpl(standing, None, torch.tensor([[0.0, 0.2, 2.4]]))
    vertices = body.vertices(people)
    low, high = body.v_template.amin(0), body.v_template.amax(0)
    pncc = (body.v_template - low) / (high - low)
    one, small = Camera.from_focal(260, 224, 224), Camera.from_focal(65, 56, 56)
    many = vertices.expand(64, -1, -1).contiguous()

    def pncc_maps() -> Tensor:
        return interpolate(rasterize(many, body.faces, small), body.faces, pncc)

    compiled = rasterize(vertices[0], body.faces, one).face_id
    tensors = tensor_zbuffer(vertices[0], body.faces, one)
    results = {
        "one_224": milliseconds(lambda: rasterize(vertices[0], body.faces, one), 60),
        "pncc_64_of_56": milliseconds(pncc_maps, 20),
        "tensor_zbuffer_one_224": milliseconds(lambda: tensor_zbuffer(vertices[0], body.faces, one), 20),
    }
    report = {
        "faces": len(body.faces),
        "covered_of_224": round(float((compiled >= 0).float().mean()), 4),
        "same_face_as_tensor_zbuffer": round(float((compiled == tensors).float().mean()), 5),
        "threads": torch.get_num_threads(),
        **results,
        "ratio_tensor_to_compiled": round(
            results["tensor_zbuffer_one_224"]["median_ms"] / results["one_224"]["median_ms"], 2
        ),
        "one_224_within_aim": results["one_224"]["median_ms"] <= AIM_ONE_224,
        "pncc_within_aim": results["pncc_64_of_56"]["median_ms"] <= AIM_64_PNCC,
    }
    for key, value in report.items():
        print(f"{key:32} {value}")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
