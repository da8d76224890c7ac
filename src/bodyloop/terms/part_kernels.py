"""The compiled search of `bodyloop.terms.part_losses`. Imported on first use, since numba takes a second to load."""

import numpy as np

from bodyloop.jit import jit


@jit()
def find_partners(places, labels, order, maps, vertex, pixel):
    """Fill `vertex` (B, M * M) and `pixel` (B, N) with the nearest partners of one's own part, else -1.

    Every pixel is compared with every vertex of its part: for some hundred vertices and maps of some thousand pixels
    that is fewer steps than building a tree.

    Args:
        places: (B, N, 2) vertices in crop coordinates.
        labels: (N,) rising part of the vertices order[0], order[1] ...
        order: (N,) vertices sorted by part.
        maps: (B, M, M) part + 1 of each pixel.
    """
    people, count, _ = places.shape
    side = maps.shape[1]
    first = np.full(257, count, np.int64)
    for at in range(count - 1, -1, -1):
        first[labels[at]] = at
    for part in range(255, -1, -1):
        first[part] = min(first[part], first[part + 1])
    best = np.empty(count, np.float32)
    for person in range(people):
        best[:] = np.inf
        pixel[person, :] = -1
        for row in range(side):
            y = np.float32((2.0 * row + 1.0) / side - 1.0)
            for column in range(side):
                x = np.float32((2.0 * column + 1.0) / side - 1.0)
                number = row * side + column
                part = int(maps[person, row, column]) - 1
                least, found = np.float32(np.inf), -1
                if part >= 0:
                    for at in range(first[part], first[part + 1]):
                        own = order[at]
                        dx, dy = places[person, own, 0] - x, places[person, own, 1] - y
                        distance = dx * dx + dy * dy
                        if distance < least:
                            least, found = distance, own
                        if distance < best[own]:
                            best[own] = distance
                            pixel[person, own] = number
                vertex[person, number] = found
