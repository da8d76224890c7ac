"""The compiled look-up of `Atlas.locate`. Imported on first use, since numba takes a second to load.

Each chart's unit square is a grid of cells. A cell lists the faces whose bounding box meets it; and, unless
all of it is covered, the open edges that can be the nearest to one of its points. What lies in no face is
nearest to an open edge: one that no face continues on the other side.
"""

import numpy as np

from bodyloop.jit import jit

SLACK = 1e-9  # a point on an edge shall not fall between two faces


def build_grid(charts: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, ...]:
    """Tables for `locate` from charts (F,) and uv (F, 3, 2) float64.

    Returns:
        affine (F, 6) rows of the maps from (u, v) to the first two weights; uv; cells (25, 2): for each chart
        cells per side and the number of its first cell; starts (C + 1,) and their faces; edge starts
        (C + 1,) and their open edges, as 3 face + corner where the edge starts.
    """
    faces_of = np.bincount(charts, minlength=25)
    side = np.clip(2 * np.sqrt(faces_of), 1, 256).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(side**2)])
    cells = np.stack([side, first[:-1]], 1)
    corner = uv - uv[:, 2:]
    area = corner[:, 0, 0] * corner[:, 1, 1] - corner[:, 0, 1] * corner[:, 1, 0]
    flat = area == 0  # contains nothing
    scale = np.where(flat, np.nan, 1 / np.where(flat, 1, area))
    a, b = corner[:, 0], corner[:, 1]
    rows = np.stack([b[:, 1], -b[:, 0], -a[:, 1], a[:, 0]], 1) * scale[:, None]
    origin = uv[:, 2]
    shift = -np.stack([(rows[:, :2] * origin).sum(1), (rows[:, 2:] * origin).sum(1)], 1)
    affine = np.column_stack([rows[:, :2], shift[:, 0], rows[:, 2:], shift[:, 1]])
    counts = np.zeros(first[-1] + 1, np.int64)
    list_faces(charts, uv, cells, counts, np.empty(0, np.int64))
    starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    members = np.empty(starts[-1], np.int64)
    list_faces(charts, uv, cells, starts[:-1].copy(), members)
    edges = open_edges(charts, uv, area)
    counts[:] = 0
    list_edges(charts, uv, cells, edges, counts, np.empty(0, np.int64))
    edge_starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
    edge_members = np.empty(edge_starts[-1], np.int64)
    list_edges(charts, uv, cells, edges, edge_starts[:-1].copy(), edge_members)
    return affine, uv, cells, starts, members, edge_starts, edge_members


def open_edges(charts: np.ndarray, uv: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Edges (E,) as 3 face + corner, sorted by chart, that bound what the chart's faces cover.

    Faces are turned counter-clockwise first, so that a fold counts as a border too.
    """
    face, corner = np.divmod(np.arange(3 * len(charts)), 3)
    start, end = uv[face, corner], uv[face, (corner + 1) % 3]
    turned = (area < 0)[face, None]
    start, end = np.where(turned, end, start), np.where(turned, start, end)
    places, number = np.unique(np.concatenate([start, end]), axis=0, return_inverse=True)
    number = number.reshape(2, -1) + charts[face] * len(places)
    big = 25 * len(places)
    forth, back = number[0] * big + number[1], number[1] * big + number[0]
    full = (area != 0)[face]
    open_ = np.flatnonzero(~np.isin(forth, back[full]))
    return open_[np.argsort(charts[face[open_]], kind="stable")]


@jit()
def cell_range(low, high, side):  # type: ignore[no-untyped-def]
    """First and last of the cells that an interval meets; what lies outside counts to the outermost."""
    begin = min(max(int(np.floor(low * side - 1e-6)), 0), side - 1)
    return begin, min(max(int(np.floor(high * side + 1e-6)), 0), side - 1)


@jit()
def list_faces(charts, uv, cells, at, members):  # type: ignore[no-untyped-def]
    """Count the faces of each cell in `at`, or, with room in `members`, write them from `at` on."""
    for f in range(charts.shape[0]):
        side, first = cells[charts[f], 0], cells[charts[f], 1]
        x = uv[f, :, 0]
        y = uv[f, :, 1]
        x0, x1 = cell_range(x.min(), x.max(), side)
        y0, y1 = cell_range(y.min(), y.max(), side)
        for row in range(y0, y1 + 1):
            for column in range(x0, x1 + 1):
                cell = first + row * side + column
                if members.shape[0]:
                    members[at[cell]] = f
                at[cell] += 1


@jit()
def to_segment(px, py, ax, ay, bx, by):  # type: ignore[no-untyped-def]
    """Squared distance from p to the segment ab, and the share of b at its nearest point."""
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    t = 0.0
    if length > 0.0:
        t = min(max(((px - ax) * dx + (py - ay) * dy) / length, 0.0), 1.0)
    ex, ey = ax + t * dx - px, ay + t * dy - py
    return ex * ex + ey * ey, t


@jit()
def list_edges(charts, uv, cells, edges, at, members):  # type: ignore[no-untyped-def]
    """As `list_faces` for the open edges that are nearest to some point of a cell.

    The outermost cells hold the points outside of the unit square as well, and so all edges.
    """
    begin = 0
    while begin < edges.shape[0]:
        chart = charts[edges[begin] // 3]
        end = begin
        while end < edges.shape[0] and charts[edges[end] // 3] == chart:
            end += 1
        side, first = cells[chart, 0], cells[chart, 1]
        distance = np.empty(end - begin)
        for row in range(side):
            for column in range(side):
                cell = first + row * side + column
                px, py = (column + 0.5) / side, (row + 0.5) / side
                for k in range(begin, end):
                    f, c = edges[k] // 3, edges[k] % 3
                    d = (c + 1) % 3
                    square, _ = to_segment(px, py, uv[f, c, 0], uv[f, c, 1], uv[f, d, 0], uv[f, d, 1])
                    distance[k - begin] = np.sqrt(square)
                # The nearest edge of any point of the cell is at most a cell's diagonal farther from its middle.
                reach = distance.min() + 1.4143 / side
                if row == 0 or column == 0 or row == side - 1 or column == side - 1:
                    reach = np.inf
                for k in range(begin, end):
                    if distance[k - begin] <= reach:
                        if members.shape[0]:
                            members[at[cell]] = edges[k]
                        at[cell] += 1
        begin = end


@jit()
def locate(charts, places, affine, uv, cells, starts, members, edge_starts, edge_members, face, weights):  # type: ignore[no-untyped-def]
    """Write the face (N,) and its corners' weights (N, 3) of points in charts (N,) at places (N, 2)."""
    for n in range(charts.shape[0]):
        u, v = places[n, 0], places[n, 1]
        side, first = cells[charts[n], 0], cells[charts[n], 1]
        column = int(min(max(u * side, 0.0), side - 1.0))
        row = int(min(max(v * side, 0.0), side - 1.0))
        cell = first + row * side + column
        found = False
        for k in range(starts[cell], starts[cell + 1]):
            f = members[k]
            a = affine[f, 0] * u + affine[f, 1] * v + affine[f, 2]
            b = affine[f, 3] * u + affine[f, 4] * v + affine[f, 5]
            c = 1.0 - a - b
            if a >= -SLACK and b >= -SLACK and c >= -SLACK:
                a, b, c = max(a, 0.0), max(b, 0.0), max(c, 0.0)
                total = a + b + c
                face[n] = f
                weights[n, 0], weights[n, 1], weights[n, 2] = a / total, b / total, c / total
                found = True
                break
        if found:
            continue
        least, best, share = np.inf, -1, 0.0
        for k in range(edge_starts[cell], edge_starts[cell + 1]):
            f, c = edge_members[k] // 3, edge_members[k] % 3
            d = (c + 1) % 3
            square, t = to_segment(u, v, uv[f, c, 0], uv[f, c, 1], uv[f, d, 0], uv[f, d, 1])
            if square < least:
                least, best, share = square, edge_members[k], t
        f, c = best // 3, best % 3
        face[n] = f
        weights[n, :] = 0.0
        weights[n, c] = 1.0 - share
        weights[n, (c + 1) % 3] = share
