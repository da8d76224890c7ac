"""Surface evidence of one person in the second-order fit: dense keypoints, and parts to be aligned.

Both become further points of the `FitProblem`. A dense keypoint is a point of the mesh with a target and nothing
more. Part alignment (Zanfir et al. 2020, eq. 7) sums distances to the nearest partner; with the partners of the
current body held fixed, each distance |r| is r^2 / (2 |r_now|) up to a constant, so each vertex gets one target, the
weighted mean of its partners, and the fit goes on in rounds as in iterated closest points.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, BodyPoints
from bodyloop.body.parts import partition, vertex_parts
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
        return len(self.corners)

    @classmethod
    def none(cls) -> "Surface":
        """Nothing known."""
        return cls(torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, 3), torch.zeros(0, 2), torch.zeros(0))

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
        targets = PartTargets.of(labels.long(), len(partition(parts).parts), stride)
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

    def aligned(
        self, problem: FitProblem, body: BodyModel, camera: Camera, bodies: Bodies
    ) -> tuple[BodyPoints, Tensor, Tensor]:
        """Vertices, their targets (V, 2) in crop pixels and weights (V,) that align the parts of a body, one round.

        The weights sum to the energy's second derivative: sum of 1 / (2 |r|) over partners, in crop pixels.
        """
        assert self.targets is not None, "asked for with a map alone"
        like = problem.target
        points, labels = _vertices(body, self.parts)
        targets = self.targets.to(like)
        factor = float(problem.scale[0]) * self.scale
        origin = like.new_tensor(self.origin)
        pixels = camera.expand(1).to(like).project(body.points(bodies[:1].to(like), points))[0]
        at = (pixels - origin) / self.scale
        total, weight = torch.zeros_like(at), torch.zeros_like(at[:, 0])
        vertex = nearest_vertices(at, labels, targets)
        partner = targets.nearest_pixels(at, labels)
        seen, shown = vertex >= 0, partner >= 0
        share = len(at) / max(
            int(seen.sum()), 1
        )  # both directions weigh alike, however many pixels there are
        pairs = (
            (vertex[seen], targets.pixels[seen], share),
            (shown.nonzero()[:, 0], targets.pixels[partner[shown]], 1.0),
        )
        for who, where, factor_of in pairs:
            pull = factor_of / (2 * ((at[who] - where).norm(dim=-1) * factor).clamp_min(LEAST_PX))
            total = total.index_add(0, who, pull[:, None] * where)
            weight = weight.index_add(0, who, pull)
        mean = total / weight.clamp_min(1e-9)[:, None]
        center = camera.center.reshape(-1, 2)[0].to(like)
        return points, (mean * self.scale + origin - center) * problem.scale[0], weight


@lru_cache(maxsize=8)
def _vertices(body: BodyModel, parts: str) -> tuple[BodyPoints, Tensor]:
    """`VERTICES` points spread over the body, each the farthest from those before it, and their parts (V,)."""
    chosen = body.spread_vertices(VERTICES)
    corners = chosen[:, None].expand(-1, 3)
    barycentric = body.v_template.new_tensor([1.0, 0, 0]).expand(len(chosen), 3)
    return body.mesh_points(corners, barycentric), vertex_parts(body, parts)[chosen]
