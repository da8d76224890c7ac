"""Small motion files, written inside the tests."""

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from bodyloop.body import BodyModel
from bodyloop.data.retarget import SMPL_PARENTS

REST = np.array(
    [
        [0, 0.9, 0], [0.08, 0.82, 0], [-0.08, 0.82, 0], [0, 1.0, 0], [0.08, 0.43, 0], [-0.08, 0.43, 0],
        [0, 1.14, 0], [0.08, 0.05, -0.01], [-0.08, 0.05, -0.01], [0, 1.2, 0], [0.08, 0, 0.12],
        [-0.08, 0, 0.12], [0, 1.4, 0], [0.06, 1.32, 0], [-0.06, 1.32, 0], [0, 1.5, 0], [0.18, 1.34, 0],
        [-0.18, 1.34, 0], [0.44, 1.34, 0], [-0.44, 1.34, 0], [0.68, 1.34, 0], [-0.68, 1.34, 0],
        [0.76, 1.34, 0], [-0.76, 1.34, 0],
    ]
)  # fmt: skip
"""Rest joints (24, 3), metres, of a plain T-pose."""

# name, parent, place at rest
HUMAN = [
    ("Hips", None, REST[0]), ("Spine", "Hips", REST[3]), ("Spine1", "Spine", REST[6]),
    ("Neck", "Spine1", REST[12]), ("Head", "Neck", REST[15]),
    ("LeftShoulder", "Spine1", REST[13]), ("LeftArm", "LeftShoulder", REST[16]),
    ("LeftForeArm", "LeftArm", REST[18]), ("LeftHand", "LeftForeArm", REST[20]),
    ("RightShoulder", "Spine1", REST[14]), ("RightArm", "RightShoulder", REST[17]),
    ("RightForeArm", "RightArm", REST[19]), ("RightHand", "RightForeArm", REST[21]),
    ("LeftUpLeg", "Hips", REST[1]), ("LeftLeg", "LeftUpLeg", REST[4]), ("LeftFoot", "LeftLeg", REST[7]),
    ("RightUpLeg", "Hips", REST[2]), ("RightLeg", "RightUpLeg", REST[5]), ("RightFoot", "RightLeg", REST[8]),
]  # fmt: skip
"""A MotionBuilder-like skeleton whose joints lie where `REST` puts them."""


def tiny_body() -> BodyModel:
    """A body of 48 vertices: two for each joint of `REST`, 3 cm in front of it and behind."""
    joints = torch.tensor(REST, dtype=torch.float32)
    shift = torch.tensor([0.0, 0.0, 0.03])
    regressor = torch.eye(24).repeat(1, 2) / 2
    return BodyModel(
        "tiny",
        torch.cat([joints + shift, joints - shift]),
        torch.zeros(48, 3, 10),
        torch.eye(24).repeat(2, 1),
        regressor,
        torch.tensor([[0, 1, 2]]),
        SMPL_PARENTS,
    )


def random_angles(frames: int, seed: int, size: float = 40.0) -> dict[str, Rotation]:
    """Random local rotations (T) for each joint of `HUMAN`; elbows bend forward about y only."""
    rng = np.random.default_rng(seed)
    turns = {}
    for name, _, _ in HUMAN:
        vector = np.deg2rad(rng.uniform(-size, size, (frames, 3)))
        if name.endswith("ForeArm"):
            bend = np.deg2rad(rng.uniform(20, 110, frames)) * (-1 if name.startswith("Left") else 1)
            vector = np.stack([0 * bend, bend, 0 * bend], -1)
        turns[name] = Rotation.from_rotvec(vector)
    return turns


def write_bvh(
    path: Path,
    turns: dict[str, Rotation],
    places: np.ndarray,
    order: str = "ZXY",
    scale: float = 100.0,
    newline: str = "\n",
    position_last: bool = False,
    fps: float = 30.0,
) -> Path:
    """Write `HUMAN` with local rotations and root places (T, 3) in metres; lengths are scaled."""
    spot = {name: place for name, _, place in HUMAN}
    lines: list[str] = ["HIERARCHY"]
    columns: list[np.ndarray] = []

    def joint(name: str, parent: str | None, depth: int) -> None:
        pad = "\t" * depth
        offset = (spot[name] - (spot[parent] if parent else spot[name])) * scale
        lines.extend([f"{pad}{'JOINT' if parent else 'ROOT'} {name}", pad + "{"])
        lines.append(f"{pad}\tOFFSET {offset[0]:.6f} {offset[1]:.6f} {offset[2]:.6f}")
        rotations = [f"{axis}rotation" for axis in order]
        angles = turns[name].as_euler(order, degrees=True)
        if parent:
            names, values = rotations, [angles]
        else:
            moves = ["Xposition", "Yposition", "Zposition"]
            names = rotations + moves if position_last else moves + rotations
            values = [angles, places * scale] if position_last else [places * scale, angles]
        columns.extend(values)
        lines.append(f"{pad}\tCHANNELS {len(names)} {' '.join(names)}")
        children = [n for n, p, _ in HUMAN if p == name]
        for child in children:
            joint(child, name, depth + 1)
        if not children:
            lines.extend([pad + "\tEnd Site", pad + "\t{", pad + "\t\tOFFSET 0 0 1", pad + "\t}"])
        lines.append(pad + "}")

    joint("Hips", None, 0)
    table = np.concatenate(columns, 1)
    lines.extend(["MOTION", f"Frames: {len(table)}", f"Frame Time: {1 / fps:.8f}"])
    lines.extend(" ".join(f"{v:.6f}" for v in row) for row in table)
    path.write_bytes((newline.join(lines) + newline).encode())
    return path
