import pytest
import torch
import trimesh

from bodyloop.body import BodyModel


@pytest.fixture
def ball() -> BodyModel:
    """A body in SMPL's format that is a ball of 0.3 m around the origin, carried by the pelvis alone."""
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=0.3)
    count = len(mesh.vertices)
    weights = torch.zeros(count, 24)
    weights[:, 0] = 1
    return BodyModel(
        "ball",
        torch.tensor(mesh.vertices).float(),
        torch.zeros(count, 3, 10),
        weights,
        torch.full((24, count), 1 / count),
        torch.tensor(mesh.faces),
        tuple([-1, *range(23)]),
    )
