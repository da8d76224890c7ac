"""An IUV atlas: DensePose's surface coordinates of a body's mesh, and the way back to the surface.

I is a chart 1 to 24 in DensePose's numbering (Guler, Neverova, Kokkinos, "DensePose", 2018); U and V are
places in [0, 1] within it. `Atlas.locate` is the map phi of Rong et al., "Delving Deep into Hybrid
Annotations for 3D Human Recovery in the Wild", 2019, eq. 3.
"""

import io
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from typing import Any

import numpy as np
import torch
from torch import Tensor

CHART_NAMES = (
    "torso back", "torso front", "right hand", "left hand", "left foot", "right foot", "right upper leg back",
    "left upper leg back", "right upper leg front", "left upper leg front", "right lower leg back",
    "left lower leg back", "right lower leg front", "left lower leg front", "left upper arm inside",
    "right upper arm inside", "left upper arm outside", "right upper arm outside", "left lower arm inside",
    "right lower arm inside", "left lower arm outside", "right lower arm outside", "head right", "head left",
)  # fmt: skip
"""Names of charts 1 to 24, in order."""

CHART_FLIP = (1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23)
"""Charts 1 to 24 in a mirror."""

PART_OF_CHART = (1, 1, 2, 3, 4, 5, 6, 7, 6, 7, 8, 9, 8, 9, 10, 11, 10, 11, 12, 13, 12, 13, 14, 14)
"""DensePose's part 1 to 14 of charts 1 to 24 (the partition ``densepose`` of `bodyloop.body.parts`, plus 1)."""


@dataclass(frozen=True, eq=False)
class ChartMirror:
    """Where points of the surface lie in an atlas when the body is seen in a mirror.

    Attributes:
        tables: (24, S, S, 2) the mirrored U, V by chart, V and U; None for an atlas whose charts mirror each other
            exactly, U becoming 1 - U, as those of the built-in body do.
    """

    tables: Tensor | None = None

    def __call__(self, part: Tensor, uv: Tensor) -> tuple[Tensor, Tensor]:
        """Mirrored coordinates.

        Args:
            part: (...) whole numbers, I; 0, the background, stays.
            uv: (..., 2) U, V in [0, 1].
        """
        flip = torch.tensor((0, *CHART_FLIP), dtype=part.dtype, device=part.device)
        mirrored = torch.stack([1 - uv[..., 0], uv[..., 1]], -1)
        if self.tables is not None:
            tables = self.tables.to(uv)
            # As DensePose reads its tables: the place is cut off, not rounded.
            place = (uv * (tables.shape[1] - 1)).long()
            mirrored = tables[(part.long() - 1).clamp_min(0), place[..., 1], place[..., 0]]
        return flip[part.long()], torch.where(part[..., None] > 0, mirrored, uv)


@dataclass(frozen=True, eq=False)
class Atlas:
    """Charts of a body's surface.

    Attributes:
        faces: (F, 3) int64 vertices of the body.
        charts: (F,) int64 chart I of each face, 1 to 24.
        uv: (F, 3, 2) float32 place of each face's corners in its chart, in [0, 1].
    """

    faces: Tensor
    charts: Tensor
    uv: Tensor

    def __post_init__(self) -> None:
        count = len(self.faces)
        shapes = tuple(self.faces.shape), tuple(self.charts.shape), tuple(self.uv.shape)
        if shapes != ((count, 3), (count,), (count, 3, 2)):
            raise ValueError(f"Atlas needs faces (F, 3), charts (F,), uv (F, 3, 2), got {shapes}")
        if count and not (self.charts.min() >= 1 and self.charts.max() <= 24):
            raise ValueError(f"charts are 1 to 24, got {int(self.charts.min())} to {int(self.charts.max())}")

    @classmethod
    def from_shared_corners(cls, vertices: Tensor, uv: Tensor, corners: Tensor, charts: Tensor) -> "Atlas":
        """From a mesh that is cut at the seams, as files keep it.

        Args:
            vertices: (T,) the body's vertex of each vertex of the cut mesh.
            uv: (T, 2).
            corners: (F, 3) faces of the cut mesh.
            charts: (F,).
        """
        corners = corners.long()
        return cls(vertices.long()[corners], charts.long(), uv.float()[corners])

    def locate(self, i: Any, u: Any, v: Any) -> tuple[Tensor, Tensor]:
        """Surface points of IUV coordinates: phi of Rong et al. 2019, eq. 3.

        A point that no face of its chart contains goes to the nearest point of the chart. Where faces of a
        chart overlap (never in the built-in atlas), any that contains the point is taken.

        Args:
            i: (...) chart I, whole numbers 1 to 24; tensor, array or number.
            u: (...) finite.
            v: (...) finite.

        Returns:
            The body's vertices (..., 3) int64, and their weights (..., 3) float32, which are non-negative and
            sum to 1: the point is the weighted sum of the vertices. On the device of `u`, if it is a tensor.

        Raises:
            ValueError: if the shapes differ, or counting the points whose I is no chart of this atlas (0 is
                DensePose's background) or whose U or V is not finite.
        """
        from bodyloop.body.atlas_kernels import locate

        device = u.device if isinstance(u, Tensor) else None
        i, u, v = (torch.as_tensor(x).detach().cpu() for x in (i, u, v))
        if not i.shape == u.shape == v.shape:
            raise ValueError(
                f"I, U, V need one shape, got {tuple(i.shape)}, {tuple(u.shape)}, {tuple(v.shape)}"
            )
        charts = i.long().reshape(-1)
        present = torch.zeros(25, dtype=torch.bool)
        present[self.charts.cpu()] = True
        known = (charts >= 1) & (charts <= 24) & (charts == i.reshape(-1))
        known = known & present[charts.clamp(0, 24)]
        if not known.all():
            raise ValueError(
                f"{int((~known).sum())} of {len(charts)} points have an I that is no chart of this atlas (whole "
                "numbers 1 to 24); leave out the background, I = 0, first"
            )
        places = torch.stack([u.reshape(-1), v.reshape(-1)], -1).double()
        finite = places.isfinite().all(-1)
        if not finite.all():
            raise ValueError(
                f"{int((~finite).sum())} of {len(charts)} points have a U or V that is not finite"
            )
        face = np.empty(len(charts), np.int64)
        weights = np.empty((len(charts), 3), np.float32)
        locate(charts.numpy(), places.numpy(), *self._grid, face, weights)
        vertices = self.faces.cpu()[torch.from_numpy(face)]
        shape = (*i.shape, 3)
        return vertices.reshape(shape).to(device), torch.from_numpy(weights).reshape(shape).to(device)

    @cached_property
    def _grid(self) -> tuple[np.ndarray, ...]:
        """What the compiled look-up reads, made at the first one."""
        from bodyloop.body.atlas_kernels import build_grid

        return build_grid(self.charts.cpu().numpy(), self.uv.double().cpu().numpy())

    def vertex_iuv(self) -> Tensor:
        """One (I, U, V) of every vertex (V, 3) float32: that of the lowest chart it is in.

        V is the highest vertex of a face plus 1; vertices of no face get 0, 0, 0.
        """
        count = int(self.faces.max()) + 1 if len(self.faces) else 0
        vertex, chart = self.faces.flatten(), self.charts.repeat_interleave(3)
        order = torch.argsort(chart * count + vertex, stable=True).flip(0)
        iuv = torch.cat([chart[:, None].to(self.uv), self.uv.flatten(0, 1)], 1)
        out = iuv.new_zeros(count, 3)
        # Sorted by falling chart, so that each vertex's last entry is its lowest chart.
        first = torch.zeros(count, dtype=torch.long, device=order.device)
        position = torch.arange(len(order), device=order.device)
        first = first.scatter_reduce(0, vertex[order], position, "amax")
        used = torch.unique(vertex)
        out[used] = iuv[order[first[used]]]
        return out

    def to(self, device: torch.device | str) -> "Atlas":
        """The same atlas on another device (look-ups run on the CPU in any case)."""
        return Atlas(self.faces.to(device), self.charts.to(device), self.uv.to(device))


@lru_cache(maxsize=1)
def builtin_atlas() -> Atlas:
    """The atlas of the built-in body, its faces in the body's order (see ``assets/builtin_atlas.md``)."""
    data = resources.files("bodyloop.body").joinpath("assets/builtin_atlas.npz").read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {
            key: torch.from_numpy(file[key] if key == "uv" else file[key].astype(np.int64))
            for key in file.files
        }
    return Atlas.from_shared_corners(**arrays)
