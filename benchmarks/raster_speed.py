"""Speed of the z-buffer on the built-in body: one 224x224 image, and 64 PNCC maps of 56x56.

Run by hand: ``python benchmarks/raster_speed.py [--json] [--body FILE]``. The alternatives beside it are the z-buffer
of tensor operations (`bodyloop.raster.tensors`), which is what runs on a GPU and without a compiler, and embree's ray
casting (``pip install 'bodyloop[bench]'``), its tree built for each mesh. Times are medians after warm-up, in
milliseconds; the least time is printed too, since other work on the machine lengthens the median.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from bodyloop import body as bodies
from bodyloop.geometry import Camera
from bodyloop.raster import NEAR, interpolate, rasterize
from bodyloop.raster.tensors import draw_meshes

AIM_ONE_224, AIM_64_PNCC = 1.5, 25.0


def ray_caster(vertices: Tensor, faces: Tensor, camera: Camera) -> Callable[[], Tensor] | None:
    """What gives face ids (H, W) of one mesh by embree, its tree built anew each time; None where it is not there."""
    try:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene
    except ImportError:
        return None
    width, height = camera.size
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([columns, rows], -1).reshape(-1, 2).float()
    rays = camera.unproject(pixels, torch.ones(len(pixels))).numpy()
    origins = np.zeros_like(rays)
    corners, triangles = vertices.numpy().astype(np.float32), faces.numpy().astype(np.int32)

    def cast() -> Tensor:
        scene = EmbreeScene()
        TriangleMesh(scene, corners, triangles)
        return torch.from_numpy(scene.run(origins, rays)).reshape(height, width)

    return cast


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

    lens = torch.cat([one.focal, one.center]).double()[None]

    def tensors() -> Tensor:
        return draw_meshes(vertices, body.faces, lens, one.size, NEAR, False)[0][0]

    calls: dict[str, tuple[Callable[[], object], int]] = {
        "one_224": (lambda: rasterize(vertices[0], body.faces, one), 60),
        "pncc_64_of_56": (pncc_maps, 20),
        "tensor_zbuffer_one_224": (tensors, 20),
    }
    cast = ray_caster(vertices[0], body.faces, one)
    if cast is not None:
        calls["embree_one_224"] = (cast, 20)
    results = {name: milliseconds(call, repeats) for name, (call, repeats) in calls.items()}
    compiled = rasterize(vertices[0], body.faces, one).face_id
    report = {
        "faces": len(body.faces),
        "covered_of_224": round(float((compiled >= 0).float().mean()), 4),
        "same_face_as_tensor_zbuffer": round(float((compiled == tensors()).float().mean()), 5),
        "same_face_as_embree": None if cast is None else round(float((compiled == cast()).float().mean()), 5),
        "threads": torch.get_num_threads(),
        **results,
        **{
            f"ratio_{name.split('_')[0]}_to_compiled": round(
                times["median_ms"] / results["one_224"]["median_ms"], 2
            )
            for name, times in results.items()
            if name.endswith("_one_224")
        },
        "one_224_within_aim": results["one_224"]["median_ms"] <= AIM_ONE_224,
        "pncc_within_aim": results["pncc_64_of_56"]["median_ms"] <= AIM_64_PNCC,
    }
    for key, value in report.items():
        print(f"{key:32} {value}")
    if options.json:
        print(json.dumps(report))


if __name__ == "__main__":
    main()
