"""The mirror symmetry of a body's mesh, found from its places and shapes."""

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from bodyloop.body import BodyModel


def mirror_vertices(body: BodyModel) -> Tensor:
    """Each vertex's partner (V,) on the other side."""
    basis = torch.cat([body.v_template[..., None], 10 * body.shapedirs], 2).double()
    image = basis * torch.tensor([-1.0, 1, 1])[:, None]
    distance, partner = cKDTree(basis.flatten(1)).query(image.flatten(1))
    assert distance.max() < 1e-5
    return torch.from_numpy(np.asarray(partner))


def mirror_faces(body: BodyModel) -> Tensor:
    """Each face's partner (F,)."""
    number = {tuple(face): i for i, face in enumerate(body.faces.sort(1).values.tolist())}
    images = mirror_vertices(body)[body.faces].sort(1).values
    return torch.tensor([number[tuple(face)] for face in images.tolist()])
