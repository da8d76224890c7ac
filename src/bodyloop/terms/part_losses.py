"""Semantic part alignment of a batch of people, on maps of low resolution: the loss that networks learn from.

The same terms as `part_alignment` (Zanfir et al. 2020, eq. 7) for B people at once, in crop coordinates, and as means:
over each person's pixels and vertices, then over people.
"""

import torch
from torch import Tensor

from bodyloop.terms.losses import UNKNOWN_PART, crop_coordinates, known_mean


def part_loss(points: Tensor, labels: Tensor, maps: Tensor, known: Tensor, resolution: int) -> Tensor:
    """Mean distance from pixels to the nearest vertex of their part, plus that from vertices to the nearest pixel.

    Parts that show no pixel, or that no vertex belongs to, charge nothing. The nearest partner is found without
    gradients, and the distance to it is differentiated.

    Args:
        points: (B, N, 2) projected vertices, crop pixels.
        labels: (N,) part of each, 0 to P - 1.
        maps: (B, M, M) uint8 of the crop, of any resolution: 0 background, k + 1 for part k, `UNKNOWN_PART`.
        known: (B,) bool, whether a person has a map.
        resolution: of the crop.
    """
    places = crop_coordinates(points, resolution)
    maps = torch.where(known[:, None, None] & (maps != UNKNOWN_PART), maps, 0)
    vertex, pixel = part_partners(places.detach(), labels, maps)
    side = maps.shape[-1]
    middles = crop_coordinates(torch.arange(side, device=places.device, dtype=places.dtype), side)
    grid = torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1).flatten(0, 1)
    people = torch.arange(len(places), device=places.device)[:, None]
    forward = _mean_each((places[people, vertex.clamp_min(0)] - grid).norm(dim=-1), vertex >= 0)
    backward = _mean_each((places - grid[pixel.clamp_min(0)]).norm(dim=-1), pixel >= 0)
    there = (vertex >= 0).any(1)
    return known_mean(forward + backward, there)


def _mean_each(values: Tensor, used: Tensor) -> Tensor:
    """Mean (B,) of the used among values (B, N); 0 where there are none."""
    return torch.where(used, values, 0.0).sum(1) / used.sum(1).clamp_min(1)


def part_partners(places: Tensor, labels: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest partner of each pixel and of each vertex, -1 where its part has none.

    Args:
        places: (B, N, 2) vertices in crop coordinates.
        labels: (N,) part of each, from 0.
        maps: (B, M, M) uint8, k + 1 for part k.

    Returns:
        of every pixel, row by row, the vertex (B, M * M), and of every vertex the pixel (B, N).
    """
    if places.device.type != "cpu":
        return tensor_partners(places, labels, maps)
    from bodyloop.terms.part_kernels import find_partners

    batch, side = len(places), maps.shape[-1]
    vertex = torch.empty(batch, side * side, dtype=torch.int64)
    pixel = torch.empty(batch, places.shape[1], dtype=torch.int64)
    order = torch.argsort(labels, stable=True)
    arrays = (
        places.float().contiguous(),
        labels[order].contiguous(),
        order,
        maps.contiguous(),
        vertex,
        pixel,
    )
    find_partners(*(a.numpy() for a in arrays))
    return vertex, pixel


def tensor_partners(places: Tensor, labels: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """`part_partners` by tensor operations, for a GPU: person by person, every pixel beside every vertex."""
    side = maps.shape[-1]
    middles = crop_coordinates(torch.arange(side, device=places.device, dtype=places.dtype), side)
    grid = torch.stack(torch.meshgrid(middles, middles, indexing="xy"), -1).flatten(0, 1)
    vertex, pixel = list[Tensor](), list[Tensor]()
    for own, shown in zip(places, maps.flatten(1).long() - 1, strict=True):
        apart = torch.where(shown[:, None] == labels, torch.cdist(grid, own), torch.inf)
        for found, dim in ((vertex, 1), (pixel, 0)):
            least, where = apart.min(dim)
            found.append(torch.where(least < torch.inf, where, -1))
    return torch.stack(vertex), torch.stack(pixel)
