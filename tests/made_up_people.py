"""A record with every kind of label, all true of one body in one camera."""

import numpy as np
import torch

from bodyloop.body import Bodies, BodyModel, builtin_atlas
from bodyloop.body.parts import face_parts
from bodyloop.body.skeletons import UNION45
from bodyloop.data.part_maps import PartMap
from bodyloop.data.record import BodyLabel, Joints3D, Keypoints2D, Record
from bodyloop.evidence import IuvMap, sample_dense
from bodyloop.geometry import Camera
from bodyloop.raster import iuv_map, part_map, rasterize

CAMERA = Camera(torch.tensor([420.0, 400.0]), torch.tensor([150.0, 110.0]), (320, 240))
"""Neither centred nor with square pixels."""


def body_label(seed: int = 0) -> Bodies:
    g = torch.Generator().manual_seed(seed)
    pose = torch.randn(72, generator=g) * 0.25
    pose[0] += torch.pi
    return Bodies.from_smpl(pose, torch.randn(10, generator=g), torch.tensor([0.2, 0.1, 4.5]))


def full_record(body: BodyModel, seed: int = 0, camera: Camera = CAMERA) -> Record:
    bodies, atlas = body_label(seed), builtin_atlas()
    points, known = body.keypoints(UNION45)
    places = body.points(bodies, points)
    pixels = camera.project(places)
    seen = rasterize(body.vertices(bodies), body.faces, camera)
    maps = iuv_map(seen, atlas).numpy()
    iuv = IuvMap(maps[..., 0].astype(np.uint8), maps[..., 1:].clip(0, 1))
    labels = (part_map(seen, face_parts(body, "smpl")) + 1).to(torch.uint8).numpy()
    x, y = np.meshgrid(np.arange(camera.size[0]), np.arange(camera.size[1]))
    image = np.stack([x % 256, y % 256, labels * 10], -1).astype(np.uint8)
    low, high = pixels.amin(0).tolist(), pixels.amax(0).tolist()
    return Record(
        "made", str(seed), image, camera.size, (low[0], low[1], high[0], high[1]),
        Keypoints2D(UNION45, pixels, torch.ones(45), torch.arange(45) % 3 == 0),
        Joints3D(UNION45, places, known, "camera"), BodyLabel(bodies), "neutral", camera,
        sample_dense(iuv, torch.Generator().manual_seed(seed), 200), PartMap(labels, "smpl"), iuv,
    )  # fmt: skip
