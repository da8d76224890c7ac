"""Build the UV atlas of the built-in body, and write its card.

    python tools/build_atlas.py

What comes out: ``builtin_atlas.npz`` beside the body, with ``vertices`` (T,) the body vertex of each atlas
vertex, ``uv`` (T, 2), ``corners`` (F, 3) atlas vertices of each face, in the order of the body's faces, and
``charts`` (F,) from 1 to 24 in DensePose's numbering; and a card with the figures (suffix ``.md``).

How, on the right half of the body, the left being its mirror image:

1. Faces get DensePose's 14 parts from the skinning weights, and each part is cut where its smoothed normals
   turn away: torso and legs front / back, arms inside / outside (down / up in the T-pose), hands palm / back,
   feet sole / top, the head left / right at the body's middle.
2. What is not connected to the largest component of its piece, or hangs on it by one vertex, goes to the
   neighbours, so that every piece is a topological disk. Eyeballs and the inside of the mouth, which are
   surfaces of their own, become pieces of the head's charts.
3. Each piece's boundary goes by arc length onto a strictly convex curve (``|x|^4 + |y|^4 = 1``), and each
   inner vertex to a weighted mean of its neighbours with positive weights. Such a map is injective (Tutte
   1963; Floater, "One-to-one piecewise linear mappings over triangulations", 2003). The weights start as mean
   value coordinates (Floater 2003) and are then divided by the stretch of the neighbour that they pull to, as
   long as that lowers the whole stretch (Yoshizawa, Belyaev, Seidel, "A fast and simple stretch-minimizing
   mesh parameterization", 2004).
4. Pieces are laid into the unit square of their chart side by side.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from bodyloop.body import builtin_body
from bodyloop.body.atlas import CHART_FLIP, CHART_NAMES, PART_OF_CHART, Atlas
from bodyloop.body.parts import PARTITIONS, face_parts
from bodyloop.writing import write_atomic

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

OUT = Path(__file__).parents[1] / "src" / "bodyloop" / "body" / "assets" / "builtin_atlas.npz"
GAP = 0.02  # between the pieces of a chart

RIGHT, UP, FRONT = np.eye(3) * [[-1], [1], [1]]  # the person's right is -x


@dataclass(frozen=True)
class Cut:
    """How the right side's part falls into pieces, and how these lie in their charts.

    Attributes:
        axis: direction whose sign, on normals smoothed over `scale` metres, decides: negative, positive.
        pieces: (chart, slot) of the negative side and of the positive one.
        upward: direction on the body that V grows along, as well as the piece allows.
    """

    axis: Array
    scale: float
    pieces: tuple[tuple[int, int], tuple[int, int]]
    upward: Array


CUTS = {
    "torso": Cut(FRONT, 0.03, ((1, 0), (2, 0)), UP),
    "right_hand": Cut(UP, 0.003, ((3, 0), (3, 1)), RIGHT),
    "right_foot": Cut(UP + 0.7 * FRONT, 0.006, ((6, 0), (6, 1)), FRONT),
    "right_upper_leg": Cut(FRONT, 0.03, ((7, 0), (9, 0)), UP),
    "right_lower_leg": Cut(FRONT, 0.03, ((11, 0), (13, 0)), UP),
    "right_upper_arm": Cut(UP, 0.02, ((16, 0), (18, 0)), -RIGHT),
    "right_lower_arm": Cut(UP, 0.02, ((20, 0), (22, 0)), -RIGHT),
    "head": Cut(FRONT, 0.0, ((23, 0), (23, 0)), UP),
}
MOUTH, EYE_BACK, EYE_FRONT = (23, 1), (23, 2), (23, 3)

HALVES = {0: (0.0, 0.5 - GAP / 2, 0.0, 1.0), 1: (0.5 + GAP / 2, 1.0, 0.0, 1.0)}
HEAD = {
    0: (0.0, 1.0, 0.0, 0.9 - GAP),
    1: (0.0, 0.3, 0.9, 1.0),
    2: (0.35, 0.65, 0.9, 1.0),
    3: (0.7, 1.0, 0.9, 1.0),
}
LAYOUT = {3: HALVES, 6: HALVES, 23: HEAD}
"""U from, U to, V from, V to of each slot of a chart of several pieces."""


@dataclass(frozen=True)
class Surface:
    """The mean body's mesh with what the steps below need."""

    points: Array  # (V, 3)
    faces: Ints  # (F, 3)
    sides: Ints  # (E, 2) faces on both sides of each edge
    lengths: Array  # (E,) of the edges
    mirror: Ints  # (F,) the face on the other side
    component: Ints  # (F,) connected component, 0 the largest

    @property
    def crosses(self) -> Array:
        """(F, 3) normals times twice the area."""
        a, b, c = (self.points[self.faces[:, i]] for i in range(3))
        return np.cross(b - a, c - a)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(F,) whether a face lies on the person's right; no face crosses the middle."""
        return self.points[self.faces].mean(1)[:, 0] < 0


def read_surface() -> Surface:
    body = builtin_body()
    points, faces = body.v_template.double().numpy(), body.faces.numpy()
    basis = np.concatenate([points[..., None], 10 * body.shapedirs.double().numpy()], 2)
    image = basis * np.array([-1.0, 1, 1])[:, None]
    distance, partner = cKDTree(basis.reshape(len(points), -1)).query(image.reshape(len(points), -1))
    assert distance.max() < 1e-5, "the body is not symmetric"
    number = {tuple(face): i for i, face in enumerate(np.sort(faces, 1).tolist())}
    mirror = np.array([number[tuple(face)] for face in np.sort(partner[faces], 1).tolist()])

    ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1)
    face = np.tile(np.arange(len(faces)), 3)
    order = np.lexsort(ends.T)
    first, second = order[::2], order[1::2]
    assert (ends[first] == ends[second]).all(), "the surface is not closed"
    sides = np.stack([face[first], face[second]], 1)
    lengths = np.linalg.norm(points[ends[first, 0]] - points[ends[first, 1]], axis=1)
    component = components(sides, np.ones(len(sides), bool), len(faces))
    by_size = np.argsort(np.argsort(-np.bincount(component), kind="stable"))
    return Surface(points, faces, sides, lengths, mirror, by_size[component])


def components(sides: Ints, joined: NDArray[np.bool_], count: int) -> Ints:
    """Component (F,) of each face, walking over the joined edges only."""
    a, b = sides[joined].T
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def smoothed_normals(surface: Surface, scale: float) -> Array:
    """(F, 3) normals after heat flow over `scale` metres on the graph of neighbouring faces."""
    crosses = surface.crosses
    a, b = surface.sides.T
    centers = surface.points[surface.faces].mean(1)
    weight = scale**2 * surface.lengths / np.linalg.norm(centers[a] - centers[b], axis=1)
    count = len(crosses)
    links = coo_array((weight, (a, b)), shape=(count, count)).tocsr()
    links = links + links.T
    mass = np.linalg.norm(crosses, axis=1) / 2
    return splu((diags_array(mass + links.sum(0)) - links).tocsc()).solve(crosses / 2)


def first_labels(surface: Surface) -> Ints:
    """Piece (F,) of each face as 4 chart + slot, by part and by direction of the smoothed normals."""
    body = builtin_body()
    parts, names = face_parts(body, "densepose").numpy(), PARTITIONS["densepose"].parts
    labels = np.full(len(parts), -1)
    for name, cut in CUTS.items():
        mine = parts == names.index(name)
        positive = smoothed_normals(surface, cut.scale) @ cut.axis > 0
        for side, (chart, slot) in enumerate(cut.pieces):
            labels[mine & (positive == bool(side))] = 4 * chart + slot
    inner = surface.component > 0
    assert (parts[inner] == names.index("head")).all(), "a loose component outside of the head"
    front = surface.crosses @ FRONT > 0
    # The inside of the mouth crosses the middle; each eyeball lies on one side.
    for part in range(1, surface.component.max() + 1):
        faces = surface.component == part
        crosses_middle = surface.right[faces].any() and not surface.right[faces].all()
        for where, (chart, slot) in ((front, EYE_FRONT), (~front, EYE_BACK)):
            chart, slot = MOUTH if crosses_middle else (chart, slot)
            labels[faces & where] = 4 * chart + slot
    return labels


def mirrored(surface: Surface, labels: Ints) -> Ints:
    """Labels whose left side is the mirror image of their right side."""
    charts = np.array([0, *CHART_FLIP])[labels // 4] * 4 + labels % 4
    return np.where(surface.right, labels, charts[surface.mirror])


def into_disks(surface: Surface, labels: Ints) -> Ints:
    """Move faces between pieces until each is connected, smooth in outline and hangs together by edges."""
    for turn in range(50):
        before = labels
        # Where three pieces meet a face can shorten the outlines for ever: smooth a few times only.
        for stray in (teeth, islands, pinched) if turn < 6 else (islands, pinched):
            labels = mirrored(surface, given_away(surface, labels, stray(surface, labels)))
        if (labels == before).all() and turn >= 6:
            return labels
    raise SystemExit("the pieces do not settle")


def given_away(surface: Surface, labels: Ints, stray: NDArray[np.bool_]) -> Ints:
    """Stray faces take the label with which they share the longest border, those at the rim first."""
    labels, stray = labels.copy(), stray.copy()
    while stray.any():
        gain = np.zeros((len(labels), 101))
        for a, b in (surface.sides.T, surface.sides[:, ::-1].T):
            use = stray[a] & ~stray[b] & (labels[a] != labels[b])
            np.add.at(gain, (a[use], labels[b[use]]), surface.lengths[use])
        rim = stray & (gain.max(1) > 0)
        if not rim.any():
            break
        labels[rim] = gain[rim].argmax(1)
        stray &= ~rim
    return labels


def teeth(surface: Surface, labels: Ints) -> NDArray[np.bool_]:
    """(F,) faces with more of their border outside of their piece than inside, no two of them neighbours."""
    a, b = surface.sides.T
    signed = np.where(labels[a] != labels[b], surface.lengths, -surface.lengths)
    gain = np.bincount(a, signed, len(labels)) + np.bincount(b, signed, len(labels))
    tooth = gain > 1e-9
    both = tooth[a] & tooth[b]
    loses = np.where(gain[a[both]] > gain[b[both]], b[both], a[both])
    tooth[loses] = False
    return tooth


def islands(surface: Surface, labels: Ints) -> NDArray[np.bool_]:
    """(F,) faces outside of the largest component of their piece."""
    a, b = surface.sides.T
    part = components(surface.sides, labels[a] == labels[b], len(labels))
    area = np.bincount(part, np.linalg.norm(surface.crosses, axis=1))
    stray = np.ones(len(labels), bool)
    for label in np.unique(labels):
        mine = np.unique(part[labels == label])
        stray[part == mine[area[mine].argmax()]] = False
    return stray


def pinched(surface: Surface, labels: Ints) -> NDArray[np.bool_]:
    """(F,) faces whose fan around a vertex touches the rest of their piece in that vertex only."""
    stray = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        start, _ = boundary_edges(surface.faces[mine])
        at, count = np.unique(start, return_counts=True)
        for vertex in at[count > 1]:
            fan = mine[(surface.faces[mine] == vertex).any(1)]
            inside = np.isin(surface.sides, fan).all(1)
            share = (surface.faces[surface.sides[inside]] == vertex).any(2).all(1)
            part = components(surface.sides[inside][share], np.ones(share.sum(), bool), len(labels))[fan]
            kept = np.bincount(part).argmax()
            stray[fan[part != kept]] = True
    return stray


def boundary_edges(faces: Ints) -> tuple[Ints, Ints]:
    """Start and end of the directed edges that have no opposite."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    big = int(faces.max()) + 1
    open_ = ~np.isin(edges[:, 0] * big + edges[:, 1], edges[:, 1] * big + edges[:, 0])
    return edges[open_, 0], edges[open_, 1]


def boundary_loop(faces: Ints, count: int) -> Ints:
    """The boundary of a disk, counter-clockwise seen from outside.

    Raises:
        ValueError: if the faces are no disk.
    """
    start, end = boundary_edges(faces)
    follow = dict(zip(start.tolist(), end.tolist(), strict=True))
    edges = np.unique(
        np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), 1), axis=0
    )
    loop = [int(start[0])] if len(start) else []
    while loop and follow[loop[-1]] != loop[0]:
        loop.append(follow[loop[-1]])
    euler = count - len(edges) + len(faces)
    if not (len(loop) == len(start) == len(follow) and euler == 1):
        raise ValueError(f"no disk: {len(start)} boundary edges, a loop of {len(loop)}, Euler number {euler}")
    return np.array(loop)


def squircle(share: Array) -> Array:
    """Points (N, 2) of ``|x|^4 + |y|^4 = 1`` at shares of its length, counter-clockwise from its top."""
    angle = np.linspace(0, 2 * np.pi, 20001) + np.pi / 2
    curve = np.stack([np.cos(angle), np.sin(angle)], 1)
    curve /= (curve**4).sum(1, keepdims=True) ** 0.25
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    exact = np.interp(share % 1.0, along / along[-1], angle)
    points = np.stack([np.cos(exact), np.sin(exact)], 1)
    return points / (points**4).sum(1, keepdims=True) ** 0.25


def boundary_places(points: Array, loop: Ints, upward: Array, outward: Array) -> Array:
    """Places (B, 2) of the loop on the squircle, turned so that the piece stands upright in it."""
    ring = points[loop]
    step = np.linalg.norm(np.roll(ring, -1, 0) - ring, axis=1)
    share = np.concatenate([[0.0], np.cumsum(step)[:-1]]) / step.sum()
    rightward = np.cross(upward, outward)
    middle = np.flatnonzero(np.abs(ring[:, 0]) < 1e-6)
    if len(middle) == 2:  # symmetric pieces stay so: the highest vertex of the body's middle is on top
        return squircle(share - share[middle[(ring[middle] @ upward).argmax()]])
    view = np.stack([ring @ rightward, ring @ upward], 1)
    weight = (step + np.roll(step, 1)) / 2
    view -= (weight @ view) / weight.sum()
    offsets = np.linspace(0, 1, 512, endpoint=False)
    fit = [(weight * (view * squircle(share - offset)).sum(1)).sum() for offset in offsets]
    return squircle(share - offsets[int(np.argmax(fit))])


def mean_value_weights(points: Array, faces: Ints) -> csr_array:
    """Floater's mean value coordinates before normalising: positive, entry (i, j) pulls i to j."""
    rows, columns, values = [], [], []
    for k in range(3):
        i, j, other = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        a, b = points[j] - points[i], points[other] - points[i]
        tangent = np.linalg.norm(np.cross(a, b), axis=1) / (
            np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + (a * b).sum(1)
        )
        for neighbour, arm in ((j, a), (other, b)):
            rows.append(i)
            columns.append(neighbour)
            values.append(tangent / np.linalg.norm(arm, axis=1))
    index = np.concatenate(rows), np.concatenate(columns)
    return coo_array((np.concatenate(values), index), shape=(len(points),) * 2).tocsr()


def embedded(weights: csr_array, loop: Ints, places: Array) -> Array:
    """UV (N, 2): the loop at its places, all others at the weighted mean of their neighbours."""
    uv = np.zeros((weights.shape[0], 2))
    uv[loop] = places
    inner = np.setdiff1d(np.arange(len(uv)), loop)
    if len(inner):
        rows = weights[inner]
        total = diags_array(rows.sum(1))
        uv[inner] = splu((total - rows[:, inner]).tocsc()).solve(rows[:, loop] @ places)
    return uv


def stretches(p: Array, q: Array) -> tuple[Array, Array]:
    """L2 stretch (F,) of faces from UV (F, 3, 2) to the body (F, 3, 3) (Sander et al. 2001), and their areas there."""
    (s1, t1), (s2, t2), (s3, t3) = (q[:, i].T for i in range(3))
    area2 = (s2 - s1) * (t3 - t1) - (s3 - s1) * (t2 - t1)
    area2 = np.where(area2 > 0, area2, 1e-300)[:, None]
    along_u = (
        p[:, 0] * (t2 - t3)[:, None] + p[:, 1] * (t3 - t1)[:, None] + p[:, 2] * (t1 - t2)[:, None]
    ) / area2
    along_v = (
        p[:, 0] * (s3 - s2)[:, None] + p[:, 1] * (s1 - s3)[:, None] + p[:, 2] * (s2 - s1)[:, None]
    ) / area2
    area = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1) / 2
    return np.sqrt(((along_u**2).sum(1) + (along_v**2).sum(1)) / 2), area


def disk_uv(points: Array, faces: Ints, upward: Array) -> Array:
    """UV (N, 2) in [-1, 1] of a disk: the embedding with the least stretch on the way."""
    loop = boundary_loop(faces, len(points))
    cross = np.cross(
        points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]
    ).sum(0)
    outward = cross - upward * (cross @ upward)
    places = boundary_places(points, loop, upward, outward / np.linalg.norm(outward))
    weights = mean_value_weights(points, faces)
    best, least = np.zeros((len(points), 2)), np.inf
    # A face with all corners on the curve is a sliver whatever the weights: it must not decide.
    free = faces[~np.isin(faces, loop).all(1)]
    for _ in range(60):
        uv = embedded(weights, loop, places)
        stretch, area = stretches(points[free], uv[free])
        whole = float((area * stretch**2).sum())
        if not whole < least:
            break
        best, least = uv, whole
        share = np.bincount(free.ravel(), np.repeat(area, 3), len(points))
        total = np.bincount(free.ravel(), np.repeat(area * stretch**2, 3), len(points))
        squared = np.divide(total, share, out=np.ones(len(points)), where=share > 0)
        weights = weights @ diags_array((squared / squared.mean()) ** -0.25)
    return best


def build(surface: Surface, labels: Ints) -> dict[str, np.ndarray]:
    """All arrays of the file."""
    uv = np.full((len(labels), 3, 2), np.nan)
    upward = {4 * chart + slot: cut.upward for cut in CUTS.values() for chart, slot in cut.pieces}
    for label in np.unique(labels[surface.right]):
        chart, slot = divmod(int(label), 4)
        mine = np.flatnonzero(labels == label)
        ids, local = np.unique(surface.faces[mine], return_inverse=True)
        local = local.reshape(-1, 3)
        try:
            square = disk_uv(surface.points[ids], local, upward.get(label, UP))
        except ValueError as error:
            raise SystemExit(f"chart {chart}, piece {slot}: {error}") from None
        u0, u1, v0, v1 = LAYOUT.get(chart, {0: (0.0, 1.0, 0.0, 1.0)})[slot]
        uv[mine] = ((square + 1) / 2 * [u1 - u0, v1 - v0] + [u0, v0])[local]
    left = np.flatnonzero(np.isnan(uv[:, 0, 0]))
    other = surface.mirror[left]
    # The mirror image of a corner is at the mirrored place; corners come in the opposite order.
    image = surface.points[surface.faces[other]] * [-1.0, 1, 1]
    gap = np.linalg.norm(surface.points[surface.faces[left]][:, :, None] - image[:, None], axis=-1)
    corner = gap.argmin(2)
    uv[left] = np.take_along_axis(uv[other], corner[..., None], 1) * [-1, 1] + [1, 0]
    table = np.stack([surface.faces, *np.moveaxis(uv.astype(np.float32), 2, 0)], -1).reshape(-1, 3)
    table = np.concatenate([np.repeat(labels // 4, 3)[:, None], table], 1)
    rows, corners = np.unique(table, axis=0, return_inverse=True)
    return {
        "vertices": rows[:, 1].astype(np.uint16),
        "uv": rows[:, 2:].astype(np.float32),
        "corners": corners.reshape(-1, 3).astype(np.uint16),
        "charts": (labels // 4).astype(np.uint8),
    }


def _millimetres_off(surface: Surface, atlas: Atlas, iuv: torch.Tensor, points: Array) -> Array:
    """Distance (N,) between points (N, 3) of the mean body and where their IUV (N, 3) leads back to."""
    vertices, weights = (x.numpy() for x in atlas.locate(*iuv.T))
    back = (surface.points[vertices] * weights[..., None]).sum(1)
    return np.asarray(1e3 * np.linalg.norm(back - points, axis=1))


def card(surface: Surface, labels: Ints, arrays: dict[str, np.ndarray], size: int) -> str:
    """The card's text, measured on the arrays as they are in the file."""
    atlas = Atlas.from_shared_corners(
        *(torch.from_numpy(arrays[key].astype(np.int64 if key != "uv" else np.float32)) for key in arrays)
    )
    iuv = atlas.vertex_iuv()
    at_vertices = _millimetres_off(surface, atlas, iuv, surface.points)
    rng = np.random.default_rng(0)
    face, share = rng.integers(0, len(labels), 200_000), rng.dirichlet(np.ones(3), 200_000)
    uv = torch.from_numpy(np.einsum("nc,ncd->nd", share, atlas.uv.double().numpy()[face]).astype(np.float32))
    anywhere = np.einsum("nc,ncd->nd", share, surface.points[surface.faces[face]])
    iuv = torch.cat([atlas.charts[face, None].float(), uv], 1)
    at_points = _millimetres_off(surface, atlas, iuv, anywhere)
    stretch, area = stretches(surface.points[surface.faces], atlas.uv.double().numpy())
    a, b, c = atlas.uv.double().numpy().transpose(1, 0, 2)
    uv_area = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert (uv_area > 0).all(), "a face is flipped"
    moved = np.array([0, *PART_OF_CHART])[labels // 4] != face_parts(builtin_body(), "densepose").numpy() + 1
    lines = [
        "# The built-in body's IUV atlas",
        "",
        "Charts in DensePose's numbering on the built-in body; U and V are our own. Made by",
        "`python tools/build_atlas.py`, which also wrote this card. Licence: as the built-in body.",
        "",
        f"- {len(labels):,} faces, {len(arrays['uv']):,} vertices after cutting at the seams, {size:,} bytes.",
        f"- Vertex to IUV and back: at most {at_vertices.max():.1g} mm off; 200,000 points of random faces, U and V in "
        f"single precision: at most {at_points.max():.1g} mm.",
        f"- Smallest face in UV: area {uv_area.min():.1g} (positive: none is flipped).",
        f"- {moved.mean():.2%} of the faces went to a neighbouring part for the sake of the charts' outlines.",
        "",
        "One step of an 8-bit map, 1/255 in U and V, in mm on the mean body (root of the mean square over directions):",
        "",
        "| chart | name | faces | median over the area | 99 % of the area below |",
        "|---|---|---|---|---|",
    ]
    for chart, name in enumerate(CHART_NAMES, 1):
        mine = np.flatnonzero(labels // 4 == chart)
        order = mine[np.argsort(stretch[mine])]
        share = np.cumsum(area[order]) / area[order].sum()
        middle, high = (1e3 / 255 * stretch[order[np.searchsorted(share, q)]] for q in (0.5, 0.99))
        lines.append(f"| {chart} | {name} | {len(mine)} | {middle:.1f} | {high:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, default=OUT)
    options = parser.parse_args()
    surface = read_surface()
    labels = into_disks(surface, mirrored(surface, first_labels(surface)))
    arrays = build(surface, labels)
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    text = card(surface, labels, arrays, len(data.getvalue()))
    write_atomic(options.out, data.getvalue())
    write_atomic(options.out.with_suffix(".md"), text.encode())
    print(text)


if __name__ == "__main__":
    main()
