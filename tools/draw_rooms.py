"""Draw the rooms of bodyloop and the direction of imports between them, from the code itself.

    python tools/draw_rooms.py            # writes docs/img/rooms.svg

Rooms and their order are those of ``tests/test_architecture.py``, lines are the imports that the modules have. A line
that follows from others is left out: who imports `fit` may import what `fit` does. Each room stands below all that it
imports; layers are ordered so that few lines cross (Sugiyama et al. 1981: by the mean of the neighbours, down and up),
and places within a layer are the nearest to the neighbours' that keep the order.
"""

import sys
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "img" / "rooms.svg"

OPEN = ("errors", "jit", "writing", "network_files", "showing")
"""Rooms that everybody may import; lines to them would hide the others."""
SWEEPS = 24
HEIGHT, GAP, LAYER, MARGIN = 30, 18, 62, 24  # pixels: a box, between boxes, from layer to layer, around all
PACKAGE, MODULE = ("#d7efe9", "#00796b"), ("#eef1f6", "#5c6b80")
"""Fill and outline of rooms that are folders, and of those that are files."""


class Node(NamedTuple):
    """A room, or the point where a long line passes a layer.

    Attributes:
        name: of the room; of a passing line its two ends.
        layer: from 0 at the top.
    """

    name: str
    layer: int

    @property
    def width(self) -> float:
        """Pixels; lines that pass have nearly none."""
        return 4.0 if " " in self.name else 24 + 8.2 * len(self.name)


def imports() -> dict[str, list[str]]:
    """What each room imports of the others, without those that are open to all."""
    sys.path.insert(0, str(ROOT / "tests"))
    from test_architecture import MODULES, ROOMS, room_of, rooms_used

    used: dict[str, set[str]] = {room: set() for room in ROOMS if room not in OPEN}
    for path in MODULES:
        if room_of(path) in used:
            used[room_of(path)] |= rooms_used(path) - {room_of(path)}
    return {room: [other for other in used if other in names] for room, names in used.items()}


def reduced(graph: dict[str, list[str]]) -> dict[str, list[str]]:
    """The graph without lines that follow from others; its rooms come after all that they import."""
    below: dict[str, set[str]] = {}
    for room, others in graph.items():
        below[room] = set(others).union(*(below[other] for other in others))
    return {
        room: [other for other in others if not any(other in below[third] for third in others)]
        for room, others in graph.items()
    }


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Attributes:
        rows: nodes of each layer from left to right.
        lines: from importer to imported, through all layers between them.
        x: pixels of each node's middle.
    """

    rows: list[list[Node]]
    lines: list[list[Node]]
    x: dict[Node, float]


def laid_out(graph: dict[str, list[str]]) -> Layout:
    """Layers, their order and their places; the same for the same graph."""
    layer: dict[str, int] = {}
    for room, others in graph.items():
        layer[room] = 1 + max((layer[other] for other in others), default=-1)
    rows: list[list[Node]] = [[] for _ in range(1 + max(layer.values()))]
    for room, number in layer.items():
        rows[number].append(Node(room, number))
    lines, near = [], dict[Node, list[Node]]()
    for room, others in graph.items():
        for other in others:
            passed = [Node(f"{room} {other}", number) for number in range(layer[room] - 1, layer[other], -1)]
            for node in passed:
                rows[node.layer].append(node)
            line = [Node(room, layer[room]), *passed, Node(other, layer[other])]
            lines.append(line)
            for first, second in pairwise(line):
                near.setdefault(first, []).append(second)
                near.setdefault(second, []).append(first)
    best = min(_orders(rows, near), key=lambda order: _crossings(order, lines))
    return Layout(best, lines, _places(best, near))


def _orders(rows: list[list[Node]], near: dict[Node, list[Node]]) -> list[list[list[Node]]]:
    """Orders of the layers that sweeps down and up go through."""
    found = [[list(row) for row in rows]]
    for sweep in range(SWEEPS):
        order = [list(row) for row in found[-1]]
        step = 1 if sweep % 2 == 0 else -1
        for number in range(len(rows))[::step]:
            share = {node: i / len(row) for row in order for i, node in enumerate(row)}
            ahead = {
                node: [share[other] for other in near.get(node, []) if (other.layer - number) * step < 0]
                for node in order[number]
            }
            order[number].sort(key=lambda node: mean(ahead[node] or [share[node]]))
        found.append(order)
    return found


def _crossings(order: list[list[Node]], lines: list[list[Node]]) -> int:
    """How many pairs of lines cross."""
    place = {node: i for row in order for i, node in enumerate(row)}
    pieces: dict[int, set[tuple[int, int]]] = {}
    for line in lines:
        for low, high in pairwise(line):
            pieces.setdefault(low.layer, set()).add((place[low], place[high]))
    return sum((a - c) * (b - d) < 0 for layer in pieces.values() for a, b in layer for c, d in layer) // 2


def _places(rows: list[list[Node]], near: dict[Node, list[Node]]) -> dict[Node, float]:
    """Pixels of each node: towards the mean of its neighbours, boxes apart."""
    x = {node: 0.0 for row in rows for node in row}
    for row in rows:
        x |= _apart(row, dict.fromkeys(row, 0.0))
    for _ in range(SWEEPS):
        for row in rows:
            x |= _apart(row, {node: mean([x[other] for other in near.get(node, [node])]) for node in row})
    return x


def _apart(row: list[Node], wanted: dict[Node, float]) -> dict[Node, float]:
    """The places nearest to the wanted ones with the boxes in their order (least squares, by pooling)."""
    ahead = [0.0]
    for left, right in pairwise(row):
        ahead.append(ahead[-1] + (left.width + right.width) / 2 + GAP)
    pools: list[tuple[float, int]] = []
    for node, offset in zip(row, ahead, strict=True):
        value, count = wanted[node] - offset, 1
        while pools and pools[-1][0] > value:
            before, size = pools.pop()
            value, count = (before * size + value * count) / (size + count), size + count
        pools.append((value, count))
    flat = [value for value, count in pools for _ in range(count)]
    return {node: value + offset for node, value, offset in zip(row, flat, ahead, strict=True)}


def drawing() -> str:
    """The picture as SVG."""
    layout = laid_out(reduced(imports()))
    left = min(x - node.width / 2 for node, x in layout.x.items()) - MARGIN
    width = max(x + node.width / 2 for node, x in layout.x.items()) + MARGIN - left
    height = 2 * MARGIN + HEIGHT + LAYER * (len(layout.rows) - 1)

    def at(node: Node) -> tuple[float, float]:
        return layout.x[node] - left, MARGIN + HEIGHT / 2 + LAYER * node.layer

    shapes = [_curve([at(node) for node in line]) for line in layout.lines]
    shapes += [
        _box(node.name, *at(node), node.width) for row in layout.rows for node in row if " " not in node.name
    ]
    shapes += [
        f'<text x="{MARGIN}" y="{MARGIN + 18 * line + 12}" class="note">{text}</text>'
        for line, text in enumerate(("open to all rooms:", ", ".join(OPEN[:3]) + ",", ", ".join(OPEN[3:])))
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="rooms of bodyloop and the imports between them">\n'
        "<style>text{font:14px ui-monospace,Menlo,Consolas,monospace;text-anchor:middle;dominant-baseline:central;"
        "fill:#1d2733}.note{font:13px sans-serif;text-anchor:start;fill:#5c6b80}"
        "path{fill:none;stroke:#8fa0b3;stroke-width:1.4}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0,1 L7,4 L0,7" /></marker></defs>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )


def _box(name: str, x: float, y: float, width: float) -> str:
    folder = (ROOT / "src" / "bodyloop" / name).is_dir()
    fill, line = PACKAGE if folder else MODULE
    return (
        f'<rect x="{x - width / 2:.1f}" y="{y - HEIGHT / 2:.1f}" width="{width:.1f}" height="{HEIGHT}" rx="6" '
        f'fill="{fill}" stroke="{line}"/><text x="{x:.1f}" y="{y:.1f}">{escape(name)}{"/" if folder else ""}</text>'
    )


def _curve(points: list[tuple[float, float]]) -> str:
    """A line upwards, straight where it passes a layer."""
    path = f"M{points[0][0]:.1f},{points[0][1] - HEIGHT / 2:.1f}"
    for number, (before, after) in enumerate(pairwise(points)):
        end = after[1] + HEIGHT / 2
        middle = (before[1] - HEIGHT / 2 + end) / 2
        path += f" C{before[0]:.1f},{middle:.1f} {after[0]:.1f},{middle:.1f} {after[0]:.1f},{end:.1f}"
        if number < len(points) - 2:
            path += f" V{after[1] - HEIGHT / 2:.1f}"
    return f'<path d="{path}" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    PICTURE.write_text(drawing())
    print(f"written to {PICTURE}")
