"""Surface evidence of one person in the second-order fit: dense keypoints, and parts to be aligned.

Both become further points of the `FitProblem`. A dense keypoint is a point of the mesh with a target and nothing
more. Part alignment (Zanfir et al. 2020, eq. 7) sums distances to the nearest partner; with the partners of the
current body held fixed, each distance |r| is r^2 / (2 |r_now|) up to a constant, so each vertex gets one target, the
weighted mean of its partners, and the fit goes on in rounds as in iterated closest points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, BodyPoints
from bodyloop.body.atlas import Atlas
from bodyloop.body.parts import partition, vertex_parts
from bodyloop.evidence import DenseKeypoints
from bodyloop.fit.problem import FitProblem
from bodyloop.geometry import Camera
from bodyloop.terms.parts import PartTargets, nearest_vertices

VERTICES = 300
"""Vertices of the body that part alignment moves: spread evenly, every part has some."""
PIXELS = 1500
"""Pixels of a person's map that attract them, about: larger maps are thinned."""
LEAST_PX = 1.0
"""Crop pixels; a distance counts as at least this, as a map is not exact to less than its pixels."""


@dataclass(frozen=True)
class Surface:
    """What is known of one person's surface.

    Attributes:
        corners: (N, 3) vertex indices of the dense keypoints; none: (0, 3).
        barycentric: (N, 3).
        pixels: (N, 2) where they are seen, image pixels.
        confidence: (N,).
        targets: the map of parts, None without one.
        parts: name of its partition (`bodyloop.body.parts.PARTITIONS`).
        origin: (2,) image pixel of the map's pixel (0, 0).
        scale: image pixels per pixel of the map.
    """

    corners: Tensor
    barycentric: Tensor
    pixels: Tensor
    confidence: Tensor
    targets: PartTargets | None = None
    parts: str = "densepose"
    origin: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0

    def __len__(self) -> int:
        """Number of dense keypoints."""
        return len(self.corners)

    def __bool__(self) -> bool:
        """Whether anything is known."""
        return len(self) > 0 or self.targets is not None

    @classmethod
    def none(cls) -> "Surface":
        """Nothing known."""
        return cls(torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, 3), torch.zeros(0, 2), torch.zeros(0))

    @classmethod
    def from_dense(cls, dense: DenseKeypoints, atlas: Atlas) -> "Surface":
        """Dense keypoints, looked up in the atlas of the body that will be fitted (Rong et al. 2019, eq. 3)."""
        corners, barycentric = atlas.locate(dense.part, dense.uv[:, 0], dense.uv[:, 1])
        return cls(corners, barycentric, dense.pixels, dense.weight)

    def with_parts(
        self,
        labels: Tensor,
        parts: str = "densepose",
        origin: tuple[float, float] = (0.0, 0.0),
        scale: float = 1.0,
    ) -> "Surface":
        """With a map (H, W) of parts: 0 background, k + 1 the k-th part of the partition.

        Raises:
            KeyError: an unknown partition.
            ValueError: labels outside it.
        """
        shown = int((labels > 0).sum())
        stride = max(1, round((shown / PIXELS) ** 0.5))
        targets = PartTargets.of(labels.long(), len(partition(parts).parts), stride, maps=False)
        return Surface(
            self.corners, self.barycentric, self.pixels, self.confidence, targets, parts, origin, scale
        )

    def dense_points(self, body: BodyModel) -> BodyPoints:
        """The dense keypoints as points of the body."""
        return body.mesh_points(self.corners, self.barycentric)

    def dense_targets(self, problem: FitProblem, camera: Camera) -> Tensor:
        """Where they are seen (N, 2), in the problem's crop pixels."""
        center = camera.center.reshape(-1, 2)[0].to(problem.target)
        return (self.pixels.to(problem.target) - center) * problem.scale[0]

    def pulled(self, at: Tensor, labels: Tensor, px: float) -> tuple[Tensor, Tensor]:
        """One round of part alignment, for projected vertices (V, 2) in image pixels and their parts (V,).

        Args:
            at, labels: the vertices.
            px: crop pixels per image pixel.

        Returns:
            target (V, 2) in image pixels, the weighted mean of a vertex's partners, and weight (V,), the energy's
            second derivative: the sum of 1 / (2 |r|) over partners, |r| in crop pixels.
        """
        assert self.targets is not None, "asked for with a map alone"
        targets, origin = self.targets.to(at), at.new_tensor(self.origin)
        own = (at - origin) / self.scale
        vertex, partner = nearest_vertices(own, labels, targets), targets.nearest_pixels(own, labels)
        seen, shown = vertex >= 0, partner >= 0
        share = len(at) / max(
            int(seen.sum()), 1
        )  # both directions weigh alike, however many pixels there are
        pairs = (
            (vertex[seen], targets.pixels[seen], share),
            (shown.nonzero()[:, 0], targets.pixels[partner[shown]], 1.0),
        )
        total, weight = torch.zeros_like(own), torch.zeros_like(own[:, 0])
        for who, where, count in pairs:
            distance = (own[who] - where).norm(dim=-1) * self.scale * px
            pull = count / (2 * distance.clamp_min(LEAST_PX))
            total = total.index_add(0, who, pull[:, None] * where)
            weight = weight.index_add(0, who, pull)
        return total / weight.clamp_min(1e-9)[:, None] * self.scale + origin, weight


def aligned(
    surfaces: Sequence[Surface], problem: FitProblem, body: BodyModel, camera: Camera, bodies: Bodies
) -> tuple[BodyPoints, Tensor, Tensor]:
    """Vertices, and their targets (B, V, 2) in crop pixels and weights (B, V) that align the parts of B bodies."""
    parts = {surface.parts for surface in surfaces}
    if len(parts) != 1:
        raise ValueError(
            f"people fitted together need maps of the same parts, got {', '.join(sorted(parts))}"
        )
    points, labels = _vertices(body, parts.pop())
    camera = camera.expand(len(problem)).to(problem.target)
    at = camera.project(body.points(bodies, points))
    pulls = [s.pulled(at[i], labels, float(problem.scale[i])) for i, s in enumerate(surfaces)]
    target = torch.stack([p[0] for p in pulls]) - camera.center[:, None]
    return points, target * problem.scale[:, None, None], torch.stack([p[1] for p in pulls])


@lru_cache(maxsize=8)
def _vertices(body: BodyModel, parts: str) -> tuple[BodyPoints, Tensor]:
    """`VERTICES` points spread over the body, each the farthest from those before it, and their parts (V,)."""
    chosen = body.spread_vertices(VERTICES)
    corners = chosen[:, None].expand(-1, 3)
    barycentric = body.v_template.new_tensor([1.0, 0, 0]).expand(len(chosen), 3)
    return body.mesh_points(corners, barycentric), vertex_parts(body, parts)[chosen]
