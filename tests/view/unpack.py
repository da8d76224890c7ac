"""What the page's script does with a page's data, slowly and in numpy."""

import base64
import gzip
import json
import re
from typing import Any

import numpy as np


def unpacked(data: bytes, entry: dict[str, Any]) -> np.ndarray:
    """(N, columns) of an array of `bodyloop.view.packing.Pack`."""
    rows = np.frombuffer(data, np.dtype(entry["type"]).newbyteorder("<"), entry["count"], entry["offset"])
    rows = rows.reshape(-1, entry["columns"])
    return np.cumsum(rows, 0, dtype=rows.dtype) if entry["differences"] else rows


def unpacked_places(data: bytes, entry: dict[str, Any]) -> np.ndarray:
    return np.array(entry["low"]) + np.array(entry["step"]) * unpacked(data, entry)


def page_content(page: str) -> tuple[dict[str, Any], bytes]:
    """Header and data of a page."""
    texts = {
        name: re.search(rf'id="{name}">(.*?)</script>', page, re.S).group(1) for name in ("scene", "data")
    }
    return json.loads(texts["scene"]), gzip.decompress(base64.b64decode(texts["data"]))


def quaternion_matrix(x: float, y: float, z: float, w: float) -> np.ndarray:
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def skinned(header: dict[str, Any], data: bytes, figure: dict[str, Any], row: int) -> np.ndarray:
    """Places (V, 3) of an animated body, by bones as three.js has them."""
    places, motion = unpacked_places(data, figure["places"]), figure["motion"]
    rest = np.array(motion["joints"])
    turns = unpacked(data, motion["turns"]).reshape(-1, 24, 4)[row] / 32767
    move = unpacked(data, motion["moves"]).reshape(-1, 3)[row]
    world: list[np.ndarray] = []
    for joint, parent in enumerate(header["parents"]):
        local = np.eye(4)
        local[:3, :3] = quaternion_matrix(*turns[joint] / np.linalg.norm(turns[joint]))
        local[:3, 3] = rest[joint] - (rest[parent] if parent >= 0 else -move)
        world.append(local if parent < 0 else world[parent] @ local)
    for joint in range(24):
        unbind = np.eye(4)
        unbind[:3, 3] = -rest[joint]
        world[joint] = world[joint] @ unbind
    index = unpacked(data, header["skin"]["index"]).reshape(-1, 4)
    weight = unpacked(data, header["skin"]["weight"]).reshape(-1, 4) / 65535
    blended = (weight[..., None, None] * np.stack(world)[index]).sum(1)
    return np.einsum("vij,vj->vi", blended[:, :3, :3], places) + blended[:, :3, 3]
