"""Made-up bodies for tests."""

import numpy as np
import torch

from bodyloop.body import SMPL_JOINTS, Bodies
from bodyloop.body.skeletons import SMPL24


def smpl_parents() -> list[int]:
    edges = dict((b, a) for a, b in SMPL24.edges)
    return [-1 if n == "pelvis" else SMPL_JOINTS.index(edges[n]) for n in SMPL_JOINTS]


def smpl_file_arrays() -> dict[str, np.ndarray]:
    """A small body in SMPL's own keys and dtypes, with pose correctives."""
    rng = np.random.default_rng(0)
    count = 96
    joints = rng.normal(size=(24, 3)) * 0.3
    owner = np.arange(count) % 24
    weights = np.full((count, 24), 0.01)
    weights[np.arange(count), owner] += 1 - 0.24
    regressor = np.zeros((24, count))
    for j in range(24):
        regressor[j, owner == j] = 1 / (owner == j).sum()
    table = np.array([[4294967295, *smpl_parents()[1:]], list(range(24))], dtype=np.uint32)
    return {
        "v_template": joints[owner] + rng.normal(size=(count, 3)) * 0.05,
        "shapedirs": rng.normal(size=(count, 3, 10)) * 0.01,
        "posedirs": rng.normal(size=(count, 3, 207)) * 0.001,
        "weights": weights,
        "J_regressor": regressor,
        "f": rng.integers(0, count, size=(50, 3)).astype(np.uint32),
        "kintree_table": table,
    }


def random_bodies(
    count: int, seed: int = 0, spread: float = 0.4, dtype: torch.dtype = torch.float64
) -> Bodies:
    """Random poses and shapes, upright in front of a camera."""
    g = torch.Generator().manual_seed(seed)
    pose = torch.randn(count, 72, generator=g, dtype=dtype) * spread
    pose[:, 0] += torch.pi
    trans = torch.randn(count, 3, generator=g, dtype=dtype) * 0.2
    trans[:, 2] += 4
    return Bodies.from_smpl(pose, torch.randn(count, 10, generator=g, dtype=dtype), trans)
