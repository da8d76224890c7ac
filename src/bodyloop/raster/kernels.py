"""The compiled loops of the z-buffer. Imported on first use, since numba takes a second to load.

Everything is computed in float64 pixels. Projected vertices are snapped to 1/65536 pixel, so that the edge
functions of triangles up to 1024 pixels wide are exact. Longer edges are always evaluated from the same one
of their two ends, so the two faces that share an edge get the same number with opposite signs. Together with
the top-left rule, a pixel on a shared edge belongs to exactly one of the two faces.
"""

import numpy as np

from bodyloop.jit import jit

SNAP = 65536.0
TINY = 1e-300  # below any edge function but zero
LOW = np.uint32(0xFFFF)


@jit()
def _edge(ax, ay, bx, by):  # type: ignore[no-untyped-def]
    """Edge a -> b of a clockwise face (as seen, y down) as (origin x, y, direction x, y, least value inside).

    The edge function of p is ``dx (py - oy) - dy (px - ox)``. The origin is the same end for both directions
    of the edge, so that they give opposite numbers exactly. Pixels on the edge belong to a top or left edge.
    """
    dx, dy = bx - ax, by - ay
    least = 0.0 if dy < 0.0 or (dy == 0.0 and dx > 0.0) else TINY
    if dy > 0.0 or (dy == 0.0 and dx > 0.0):
        return ax, ay, dx, dy, least
    return bx, by, dx, dy, least


@jit()
def _fill(a, b, c, face, inverse_depth, face_id, cull):  # type: ignore[no-untyped-def]
    """Draw one face whose corners (x, y, 1/z) lie in front of the near plane."""
    height, width = face_id.shape
    ax, ay, aw = a
    bx, by, bw = b
    cx, cy, cw = c
    x_low = np.ceil(max(min(ax, bx, cx), 0.0))
    x_high = np.floor(min(max(ax, bx, cx), width - 1.0))
    y_low = np.ceil(max(min(ay, by, cy), 0.0))
    y_high = np.floor(min(max(ay, by, cy), height - 1.0))
    if x_low > x_high or y_low > y_high:
        return
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == 0.0 or (cull and area > 0.0):
        return
    if area < 0.0:
        bx, by, bw, cx, cy, cw = cx, cy, cw, bx, by, bw
    pox, poy, pdx, pdy, p_least = _edge(bx, by, cx, cy)
    qox, qoy, qdx, qdy, q_least = _edge(cx, cy, ax, ay)
    rox, roy, rdx, rdy, r_least = _edge(ax, ay, bx, by)
    scale = 1.0 / abs(area)
    aw, bw, cw = aw * scale, bw * scale, cw * scale
    x_first, x_end = int(x_low), int(x_high) + 1
    for row in range(int(y_low), int(y_high) + 1):
        y = float(row)
        p_row, q_row, r_row = pdx * (y - poy), qdx * (y - qoy), rdx * (y - roy)
        for column in range(x_first, x_end):
            x = float(column)
            p = p_row - pdy * (x - pox)
            q = q_row - qdy * (x - qox)
            r = r_row - rdy * (x - rox)
            if p >= p_least and q >= q_least and r >= r_least:
                w = np.float32(p * aw + q * bw + r * cw)
                if w > inverse_depth[row, column]:
                    inverse_depth[row, column] = w
                    face_id[row, column] = face


@jit()
def _screen(x, y, z, fx, fy, cx, cy):  # type: ignore[no-untyped-def]
    """Snapped pixel place and inverse depth of a camera-frame point."""
    w = 1.0 / z
    return (
        np.rint((fx * x * w + cx) * SNAP) / SNAP,
        np.rint((fy * y * w + cy) * SNAP) / SNAP,
        w,
    )


@jit()
def _cut(inside, outside, near, fx, fy, cx, cy):  # type: ignore[no-untyped-def]
    """Screen place where the edge from a corner inside to one outside meets the near plane."""
    t = (inside[2] - near) / (inside[2] - outside[2])
    x = inside[0] + t * (outside[0] - inside[0])
    y = inside[1] + t * (outside[1] - inside[1])
    return _screen(x, y, near, fx, fy, cx, cy)


@jit()
def _clip_and_fill(p, q, r, near, lens, face, inverse_depth, face_id, cull):  # type: ignore[no-untyped-def]
    """Draw a face that crosses the near plane: one or two triangles of it lie in front."""
    fx, fy, cx, cy = lens
    count = (p[2] >= near) + (q[2] >= near) + (r[2] >= near)
    if count == 0:
        return
    while (p[2] >= near) != (count == 1):  # turn, keeping the order, until the odd corner out is first
        p, q, r = q, r, p
    if count == 1:
        a = _screen(p[0], p[1], p[2], fx, fy, cx, cy)
        b = _cut(p, q, near, fx, fy, cx, cy)
        c = _cut(p, r, near, fx, fy, cx, cy)
        _fill(a, b, c, face, inverse_depth, face_id, cull)
        return
    a = _cut(q, p, near, fx, fy, cx, cy)
    b = _screen(q[0], q[1], q[2], fx, fy, cx, cy)
    c = _screen(r[0], r[1], r[2], fx, fy, cx, cy)
    d = _cut(r, p, near, fx, fy, cx, cy)
    _fill(a, b, c, face, inverse_depth, face_id, cull)
    _fill(a, c, d, face, inverse_depth, face_id, cull)


@jit()
def _project(vertices, lens, near, size, screen, cell):  # type: ignore[no-untyped-def]
    """Place and inverse depth of vertices, -1 for those before the near plane; returns whether there are none.

    `cell` gets, for vertices that are there, the first row and column of pixels not above and not left of the place,
    in 16 bits each; those outside the image share the nearest.
    """
    fx, fy, cx, cy = lens
    rows, columns = min(size[0], 65535), min(size[1], 65535)
    all_in_front = True
    for i in range(vertices.shape[0]):
        z = np.float64(vertices[i, 2])
        if z >= near:
            x, y, w = _screen(np.float64(vertices[i, 0]), np.float64(vertices[i, 1]), z, fx, fy, cx, cy)
            screen[i, 0], screen[i, 1], screen[i, 2] = x, y, w
            column = np.uint32(min(max(np.ceil(x), 0.0), float(columns)))
            row = np.uint32(min(max(np.ceil(y), 0.0), float(rows)))
            cell[i] = row << np.uint32(16) | column
        else:
            screen[i, 2] = -1.0
            all_in_front = False
    return all_in_front


@jit()
def draw_mesh(vertices, faces, lens, near, cull, face_id, barycentric, depth):  # type: ignore[no-untyped-def]
    """Draw one mesh.

    Args:
        vertices: (V, 3) finite, camera frame, metres.
        faces: (F, 3) valid indices.
        lens: fx, fy, cx, cy in pixels.
        near: metres; nothing nearer is drawn.
        cull: whether faces seen from behind (clockwise as seen) are left out.
        face_id: (H, W) int32, written.
        barycentric: (H, W, 3) float32, written.
        depth: (H, W) float32, written.
    """
    screen = np.empty((vertices.shape[0], 3))
    cell = np.empty(vertices.shape[0], np.uint32)
    all_in_front = _project(vertices, lens, near, face_id.shape, screen, cell)
    face_id[:] = -1
    depth[:] = 0.0  # inverse depth until the last loop
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        if all_in_front:
            # Corners between the same two rows or columns of pixel centres enclose none of them: those that lie on the
            # later one are right or bottom ends, which the top-left rule leaves out.
            differ = (cell[i] ^ cell[j]) | (cell[i] ^ cell[k])
            if differ & LOW == 0 or differ >> 16 == 0:
                continue
        if screen[i, 2] > 0.0 and screen[j, 2] > 0.0 and screen[k, 2] > 0.0:
            a = (screen[i, 0], screen[i, 1], screen[i, 2])
            b = (screen[j, 0], screen[j, 1], screen[j, 2])
            c = (screen[k, 0], screen[k, 1], screen[k, 2])
            _fill(a, b, c, f, depth, face_id, cull)
        elif screen[i, 2] > 0.0 or screen[j, 2] > 0.0 or screen[k, 2] > 0.0:
            p = (np.float64(vertices[i, 0]), np.float64(vertices[i, 1]), np.float64(vertices[i, 2]))
            q = (np.float64(vertices[j, 0]), np.float64(vertices[j, 1]), np.float64(vertices[j, 2]))
            r = (np.float64(vertices[k, 0]), np.float64(vertices[k, 1]), np.float64(vertices[k, 2]))
            _clip_and_fill(p, q, r, near, lens, f, depth, face_id, cull)
    _resolve(vertices, faces, lens, face_id, barycentric, depth)


@jit()
def _resolve(vertices, faces, lens, face_id, barycentric, depth):  # type: ignore[no-untyped-def]
    """Barycentrics and depth of every covered pixel from its ray.

    The ray d meets the plane of (p, q, r) at weights proportional to d.(q x r), d.(r x p), d.(p x q), which
    needs no division by a corner's depth and so serves faces that cross the near plane too.
    """
    fx, fy, cx, cy = lens
    for row in range(face_id.shape[0]):
        dy = (row - cy) / fy
        for column in range(face_id.shape[1]):
            f = face_id[row, column]
            if f < 0:
                barycentric[row, column, :] = 0.0
                depth[row, column] = np.inf
                continue
            dx = (column - cx) / fx
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            pz, qz, rz = (
                np.float64(vertices[i, 2]),
                np.float64(vertices[j, 2]),
                np.float64(vertices[k, 2]),
            )
            # Corners relative to the ray: with d = (dx, dy, 1) the triple product is a 2D cross product.
            px, py = vertices[i, 0] - dx * pz, vertices[i, 1] - dy * pz
            qx, qy = vertices[j, 0] - dx * qz, vertices[j, 1] - dy * qz
            rx, ry = vertices[k, 0] - dx * rz, vertices[k, 1] - dy * rz
            u, v, w = qx * ry - qy * rx, rx * py - ry * px, px * qy - py * qx
            if u + v + w < 0.0:
                u, v, w = -u, -v, -w
            # Snapping and rounding can put a pixel on the rim outside by a trace.
            u, v, w = max(u, 0.0), max(v, 0.0), max(w, 0.0)
            total = u + v + w
            if total > 0.0:
                u, v, w = u / total, v / total, w / total
                depth[row, column] = u * pz + v * qz + w * rz
            else:  # seen exactly edge-on: depth from the z-buffer, attributes from the first corner
                depth[row, column] = 1.0 / depth[row, column]
                u = 1.0
            barycentric[row, column, 0] = u
            barycentric[row, column, 1] = v
            barycentric[row, column, 2] = w


@jit()
def gather(face_id, barycentric, faces, table, count, image):  # type: ignore[no-untyped-def]
    """Interpolate attributes where something is hit, one pass over the pixels.

    Args:
        face_id, barycentric: (B, P) and (B, P, 3).
        faces: (F, 3).
        table: (V, C) or (B V, C) float32.
        count: rows of the table between one mesh and the next, 0 if they share it.
        image: (B, P, C) float32; hit pixels are written.
    """
    for mesh in range(face_id.shape[0]):
        for pixel in range(face_id.shape[1]):
            f = face_id[mesh, pixel]
            if f < 0:
                continue
            i, j, k = (
                faces[f, 0] + mesh * count,
                faces[f, 1] + mesh * count,
                faces[f, 2] + mesh * count,
            )
            u, v, w = barycentric[mesh, pixel, 0], barycentric[mesh, pixel, 1], barycentric[mesh, pixel, 2]
            for c in range(table.shape[1]):
                image[mesh, pixel, c] = u * table[i, c] + v * table[j, c] + w * table[k, c]
