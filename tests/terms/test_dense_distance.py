"""The dense keypoint term."""

import torch

from bodyloop.terms import dense_distance


def test_corners_and_middles_of_triangles():
    vertices = torch.tensor([[0.0, 0], [6, 0], [0, 3], [9, 9]])
    corners = torch.tensor([[0, 1, 2], [0, 1, 2], [3, 1, 2]])
    barycentric = torch.tensor([[1.0, 0, 0], [1 / 3, 1 / 3, 1 / 3], [1.0, 0, 0]])
    pixels = torch.tensor([[1.0, -2], [2, 1], [9, 9]])
    assert torch.allclose(dense_distance(vertices, corners, barycentric, pixels), torch.tensor([3.0, 0, 0]))


def test_batches_and_gradients():
    g = torch.Generator().manual_seed(0)
    vertices = torch.rand(2, 3, 20, 2, generator=g, dtype=torch.float64, requires_grad=True)
    corners = torch.randint(0, 20, (2, 3, 7, 3), generator=g)
    barycentric = torch.rand(2, 3, 7, 3, generator=g, dtype=torch.float64)
    pixels = torch.rand(2, 3, 7, 2, generator=g, dtype=torch.float64)
    found = dense_distance(vertices, corners, barycentric, pixels)
    one = dense_distance(vertices[1, 2], corners[1, 2], barycentric[1, 2], pixels[1, 2])
    assert torch.allclose(found[1, 2], one)
    assert torch.autograd.gradcheck(lambda v: dense_distance(v, corners, barycentric, pixels).sum(), vertices)
    shared = dense_distance(vertices, corners[0, 0], barycentric[0, 0], pixels[0, 0])
    assert shared.shape == (2, 3, 7)
