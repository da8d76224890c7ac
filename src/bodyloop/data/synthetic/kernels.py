"""The compiled loops of the renderer. Imported on first use, since numba takes a second to load.

Colours are linear RGB, places are in the world (y up, metres) unless a name says "rest" (the mean body's T-pose,
where clothes are cut) or "camera".
"""

import numpy as np

from bodyloop.jit import jit

compiled = jit(error_model="numpy", fastmath={"contract", "arcp", "nsz", "reassoc"})
"""Division by zero gives infinity, as in numpy; sums may be taken in another order, but infinities stay."""

SKIN, HAIR, TOP, BOTTOM, SHOE, SOLE, SOCK, EYE, IRIS, LIPS, TRIM = range(11)
PLAIN, STRIPES, BARS, CHECKS, BLOTCHES, DOTS, PRINT, WEAVE = range(8)
BOX, BALL, ROOM = range(3)
FLAT, GRAIN, PLANKS, TILES, WINDOWS, BANDS = range(6)


GRID = np.random.Generator(np.random.Philox(8)).integers(0, 256, (32, 32, 32)).astype(np.uint8)
"""Random bytes that all noise is made of: one look-up is several times faster than hashing."""


@compiled
def _hash(i, j, k, seed):
    """A number in [0, 1] of three whole numbers; it repeats after 32 of each."""
    return GRID[(i + seed) & 31, (j + (seed >> 5)) & 31, (k + (seed >> 10)) & 31] / 255.0


@compiled
def noise(x, y, z, seed):
    """Smooth value noise in [0, 1]; features are about one unit wide, and it repeats after 32."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    u, v, w = x - i, y - j, z - k
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    i, j, k = i + seed, j + (seed >> 5), k + (seed >> 10)
    i, j, k, p, q, r = i & 31, j & 31, k & 31, (i + 1) & 31, (j + 1) & 31, (k + 1) & 31
    a = GRID[i, j, k] * (1 - u) + GRID[p, j, k] * u
    b = GRID[i, q, k] * (1 - u) + GRID[p, q, k] * u
    c = GRID[i, j, r] * (1 - u) + GRID[p, j, r] * u
    d = GRID[i, q, r] * (1 - u) + GRID[p, q, r] * u
    return ((a * (1 - v) + b * v) * (1 - w) + (c * (1 - v) + d * v) * w) / 255.0


@compiled
def _slope(x, y, z, seed):
    """Gradient of `noise`."""
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    u, v, w = x - i, y - j, z - k
    du, dv, dw = 6 * u * (1 - u), 6 * v * (1 - v), 6 * w * (1 - w)
    u, v, w = u * u * (3 - 2 * u), v * v * (3 - 2 * v), w * w * (3 - 2 * w)
    i, j, k = i + seed, j + (seed >> 5), k + (seed >> 10)
    i, j, k, p, q, r = i & 31, j & 31, k & 31, (i + 1) & 31, (j + 1) & 31, (k + 1) & 31
    a0, a1, b0, b1 = (
        GRID[i, j, k] / 255.0,
        GRID[p, j, k] / 255.0,
        GRID[i, q, k] / 255.0,
        GRID[p, q, k] / 255.0,
    )
    c0, c1, d0, d1 = (
        GRID[i, j, r] / 255.0,
        GRID[p, j, r] / 255.0,
        GRID[i, q, r] / 255.0,
        GRID[p, q, r] / 255.0,
    )
    a, b, c, d = a0 + (a1 - a0) * u, b0 + (b1 - b0) * u, c0 + (c1 - c0) * u, d0 + (d1 - d0) * u
    along = ((a1 - a0) * (1 - v) + (b1 - b0) * v) * (1 - w) + ((c1 - c0) * (1 - v) + (d1 - d0) * v) * w
    return du * along, dv * ((b - a) * (1 - w) + (d - c) * w), dw * ((c - a) * (1 - v) + (d - b) * v)


@compiled
def _rgb(color):
    """A record's colour as a tuple."""
    return color[0], color[1], color[2]


@compiled
def _mix(a, b, t):
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t


@compiled
def _scaled(a, s):
    return a[0] * s, a[1] * s, a[2] * s


@compiled
def vertex_normals(vertices, faces, normals):
    """Unit normals (V, 3) of vertices (V, 3), written; faces weigh by their area."""
    normals[:] = 0.0
    for f in range(faces.shape[0]):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = (
            vertices[j, 0] - vertices[i, 0],
            vertices[j, 1] - vertices[i, 1],
            vertices[j, 2] - vertices[i, 2],
        )
        bx, by, bz = (
            vertices[k, 0] - vertices[i, 0],
            vertices[k, 1] - vertices[i, 1],
            vertices[k, 2] - vertices[i, 2],
        )
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for corner in (i, j, k):
            normals[corner, 0] += nx
            normals[corner, 1] += ny
            normals[corner, 2] += nz
    for v in range(normals.shape[0]):
        size = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + 1e-20
        normals[v, 0] /= size
        normals[v, 1] /= size
        normals[v, 2] /= size


@compiled
def _head(x, y, z, look, place):
    """What the surface is made of above the neck."""
    side = abs(x)
    if place.eye_y > 0.0 and z > place.eye_z - 0.03:
        ex, ey = side - place.eye_x, y - place.eye_y
        if ex * ex + 4.0 * ey * ey < 0.014 * 0.014:
            return IRIS if ex * ex + ey * ey < 0.0065 * 0.0065 else EYE
        if abs(ey - 0.021 + 4.0 * ex * ex) < 0.0045 and abs(ex) < 0.022:
            return HAIR
        if abs(y - place.mouth_y) < 0.008 and side < 0.024:
            return LIPS
    wobble = 0.016 * (noise(40 * x, 40 * y, 40 * z, look.seed) - 0.5)
    share = min(max((z - place.ear_z + 0.02) / (0.62 * (place.eye_z - place.ear_z) + 0.02), 0.0), 1.0)
    line = look.hair_back + (look.hair_front - look.hair_back) * share
    if y + wobble > line:
        return HAIR
    if look.beard > 0.0 and y < place.mouth_y + 0.022 and z > place.ear_z + 0.03 and y > place.chin_y:
        return HAIR
    return SKIN


@compiled
def material(x, y, z, look, place):
    """What the surface is made of at a place of the rest body."""
    side = abs(x)
    wobble = 0.008 * (noise(25 * x, 25 * y, 25 * z, look.seed + 1) - 0.5)
    if y > place.arm_y and side > place.shoulder_x:
        if side + wobble < look.sleeve:
            return TRIM if side > look.sleeve - look.cuff else TOP
        return SKIN
    if y > place.chin_y:
        return _head(x, y, z, look, place)
    if y > look.shirt_hem + wobble:
        front = max(0.0, 1.0 - side / 0.075) if z > place.neck_z else 0.0
        reach = np.sqrt(x * x + 0.3 * (z - place.neck_z) ** 2)
        open_by = y - look.neck + look.v_depth * front
        if open_by > 0.0 and reach < look.collar:
            return _head(x, y, z, look, place)
        if look.vest > 0.0 and side > place.shoulder_x - look.vest and y > place.arm_y:
            return SKIN
        collar = open_by > -look.cuff and reach < look.collar + look.cuff
        return TRIM if collar or y < look.shirt_hem + look.band else TOP
    if y < look.shoe_top:
        return SOLE if y < place.floor_y + look.sole_height else SHOE
    if y > look.trouser_hem + wobble:
        return BOTTOM
    if y < look.sock_top:
        return SOCK
    return SKIN


@compiled
def clothe(rest, fill, vertices, normals, looks, places, out):
    """Push vertices (V, 3) outwards to where cloth and hair lie.

    Args:
        rest: (V, 3) places on the rest body.
        fill: (V,) metres that a taut cloth would stand off the skin (hollows), 0 on bumps.
        vertices, normals: (V, 3) of the posed skin.
        looks, places: one record each (`looks.record`).
        out: (V, 3), written.
    """
    look, place = looks[0], places[0]
    for v in range(rest.shape[0]):
        x, y, z = rest[v, 0], rest[v, 1], rest[v, 2]
        kind = material(x, y, z, look, place)
        off = 0.0
        if kind in (TOP, TRIM):
            low = max(0.0, 1.0 - (y - look.shirt_hem) / 0.25) if abs(x) < place.shoulder_x else 0.0
            fold = noise(14 * x, 9 * y, 14 * z, look.seed + 2)
            off = look.top_thick * (0.55 + 0.9 * fold) + look.looseness * fill[v]
            off += look.flare * low * (0.4 + noise(9 * x, 3 * y, 9 * z, look.seed + 3))
        elif kind == BOTTOM:
            down = min(max((place.hip_y - y) / (place.hip_y - place.ankle_y), 0.0), 1.0)
            fold = noise(13 * x, 8 * y, 13 * z, look.seed + 4)
            off = (look.bottom_thick + look.wide * down) * (0.55 + 0.9 * fold) + look.looseness * fill[v]
        elif kind in (SHOE, SOLE):
            off = look.shoe_thick + 1.3 * fill[v]  # no toes
        elif kind == SOCK:
            off = 0.003
        elif kind == HAIR and y > place.eye_y + 0.03:
            off = look.hair_thick * (0.5 + noise(22 * x, 22 * y, 22 * z, look.seed + 5))
        elif kind == HAIR:
            off = 0.3 * look.hair_thick if z < place.ear_z else 0.003
        for axis in range(3):
            out[v, axis] = vertices[v, axis] + off * normals[v, axis]


@compiled
def _pattern(x, y, z, first, second, kind, scale, look, place):
    """A garment's colour at a place of the rest body; `scale` is the width of a repeat in metres."""
    arm = y > place.arm_y and abs(x) > place.shoulder_x
    along, across = (x, y) if arm else (y, x + z)
    if kind == STRIPES:
        return second if along / scale - np.floor(along / scale) < 0.45 else first
    if kind == BARS:
        return second if across / scale - np.floor(across / scale) < 0.35 else first
    if kind == CHECKS:
        a = along / scale - np.floor(along / scale) < 0.5
        b = across / scale - np.floor(across / scale) < 0.5
        return _mix(first, second, 0.5 * a + 0.5 * b)
    if kind == BLOTCHES:
        value = noise(x / scale, y / scale, z / scale, look.seed + 6)
        value = 0.65 * value + 0.35 * noise(3 * x / scale, 3 * y / scale, 3 * z / scale, look.seed + 7)
        return _mix(first, second, min(max((value - 0.42) * 6.0, 0.0), 1.0))
    if kind == DOTS:
        a, b = along / scale - np.floor(along / scale) - 0.5, across / scale - np.floor(across / scale) - 0.5
        return second if a * a + b * b < 0.07 else first
    if kind == PRINT and not arm:
        a, b = x / 0.11, (y - place.chest_y) / (0.05 + scale)
        if z > 0.02 and a * a + b * b < 1.0 and noise(45 * x, 45 * y, 0.0, look.seed + 8) > 0.38:
            return second
    if kind == WEAVE:
        return _mix(first, second, 0.6 * noise(160 * x, 60 * y, 160 * z, look.seed + 9))
    return first


@compiled
def _surface(x, y, z, kind, look, place):
    """Colour, shine and height of folds of the surface."""
    if kind in (TOP, BOTTOM, TRIM):
        if kind == TOP:
            color = _pattern(
                x, y, z, _rgb(look.top), _rgb(look.top_other), look.top_pattern, look.top_scale, look, place
            )
        elif kind == TRIM:
            color = _rgb(look.trim)
        else:
            color = _pattern(
                x,
                y,
                z,
                _rgb(look.bottom),
                _rgb(look.bottom_other),
                look.bottom_pattern,
                look.bottom_scale,
                look,
                place,
            )
            if look.belt > 0.0 and y > look.waist_line - 0.03 and y < look.waist_line:
                color = _rgb(look.shoe)
        # Darker in the folds' valleys; cloth is never quite even.
        even = 0.86 + 0.28 * noise(17 * x, 11 * y, 17 * z, look.seed + 10)
        return _scaled(color, even), 0.0, 1.0
    if kind == HAIR:
        strand = 0.6 + 0.8 * noise(150 * x, 30 * y, 150 * z, look.seed + 11)
        return _scaled(_rgb(look.hair), strand), 0.12, 0.5
    if kind == SHOE:
        return _rgb(look.shoe), 0.15, 0.2
    if kind == SOLE:
        return _rgb(look.sole), 0.0, 0.0
    if kind == SOCK:
        return _rgb(look.sock), 0.0, 0.3
    if kind == EYE:
        return (0.75, 0.73, 0.7), 0.3, 0.0
    if kind == IRIS:
        return _rgb(look.iris), 0.4, 0.0
    red = 0.25 * noise(18 * x, 18 * y, 18 * z, look.seed + 12) - 0.1
    skin = (look.skin[0] * (1 + red), look.skin[1], look.skin[2])
    if kind == LIPS:
        return (skin[0] * 0.85, skin[1] * 0.55, skin[2] * 0.6), 0.2, 0.0
    return skin, 0.1, 0.0


@compiled
def splat(points, projection, depth):
    """Depth (S, S) of world points (V, 3) under a projection (3, 4), each a square of three pixels; written."""
    p = projection
    for v in range(points.shape[0]):
        x, y, z = points[v, 0], points[v, 1], points[v, 2]
        away = p[2, 0] * x + p[2, 1] * y + p[2, 2] * z + p[2, 3]
        column = int((p[0, 0] * x + p[0, 1] * y + p[0, 2] * z + p[0, 3]) / away + 0.5)
        row = int((p[1, 0] * x + p[1, 1] * y + p[1, 2] * z + p[1, 3]) / away + 0.5)
        for i in range(max(row - 1, 0), min(row + 2, depth.shape[0])):
            for j in range(max(column - 1, 0), min(column + 2, depth.shape[1])):
                depth[i, j] = min(depth[i, j], away)


@compiled
def lit_share(px, py, pz, shadow, bias):
    """Share of the lamp that reaches a place, softened over `shadow.spread` pixels of the lamp's map.

    Only what is nearer to the lamp by `bias` metres throws shade.
    """
    p = shadow.projection
    z = p[2, 0] * px + p[2, 1] * py + p[2, 2] * pz + p[2, 3]
    if z <= 0.0:
        return 1.0
    u = (p[0, 0] * px + p[0, 1] * py + p[0, 2] * pz + p[0, 3]) / z
    v = (p[1, 0] * px + p[1, 1] * py + p[1, 2] * pz + p[1, 3]) / z
    height, width = shadow.depth.shape
    margin = 2 * shadow.spread
    if u < -margin or v < -margin or u > width - 1 + margin or v > height - 1 + margin:
        return 1.0
    lit = 0.0
    for tap in range(5):
        i, j = (0, -1, 1, -1, 1)[tap], (0, -1, -1, 1, 1)[tap]
        column, row = int(u + i * shadow.spread + 0.5), int(v + j * shadow.spread + 0.5)
        hidden = 0 <= row < height and 0 <= column < width and shadow.depth[row, column] < z - bias
        lit += 0.0 if hidden else 0.2
    return lit


@compiled
def _light(color, nx, ny, nz, lit, light):
    """Colour of a matt surface under the lamp and the hemisphere of sky and ground."""
    d = light.direction
    key = max(0.0, (nx * d[0] + ny * d[1] + nz * d[2] + light.wrap) / (1.0 + light.wrap)) * lit
    up = 0.5 + 0.5 * ny
    fill = _mix(_rgb(light.ground), _rgb(light.sky), up)
    return (
        color[0] * (light.key[0] * key + fill[0]),
        color[1] * (light.key[1] * key + fill[1]),
        color[2] * (light.key[2] * key + fill[2]),
    )


@compiled
def shade(
    face_id,
    barycentric,
    depth,
    faces,
    first,
    rest,
    normals,
    lens,
    eye,
    turn,
    looks,
    places,
    lights,
    shadow,
    out,
):
    """Colour every sample that sees one person.

    Args:
        face_id, barycentric, depth: (H, W), (H, W, 3), (H, W) of all people together.
        faces: (F, 3) of one person.
        first: number of this person's first face.
        rest, normals: (V, 3) places on the rest body, and normals in the world.
        lens: fx, fy, cx, cy.
        eye: (3,) the camera's place.
        turn: (3, 3) camera to world.
        looks, places: one record each (`looks.record`).
        lights: one record of `scenes.Light`.
        shadow: see `shadows.Shadow`.
        out: (H, W, 3) float32; this person's samples are written.
    """
    look, place, light = looks[0], places[0], lights[0]
    for row in range(face_id.shape[0]):
        dy = (row - lens[3]) / lens[1]
        for column in range(face_id.shape[1]):
            f = face_id[row, column] - first
            if f < 0 or f >= faces.shape[0]:
                continue
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            a, b, c = barycentric[row, column, 0], barycentric[row, column, 1], barycentric[row, column, 2]
            x = a * rest[i, 0] + b * rest[j, 0] + c * rest[k, 0]
            y = a * rest[i, 1] + b * rest[j, 1] + c * rest[k, 1]
            z = a * rest[i, 2] + b * rest[j, 2] + c * rest[k, 2]
            nx = a * normals[i, 0] + b * normals[j, 0] + c * normals[k, 0]
            ny = a * normals[i, 1] + b * normals[j, 1] + c * normals[k, 1]
            nz = a * normals[i, 2] + b * normals[j, 2] + c * normals[k, 2]
            kind = material(x, y, z, look, place)
            color, shine, folds = _surface(x, y, z, kind, look, place)
            if folds > 0.0:
                amount = look.folds * folds
                sx, sy, sz = _slope(24 * x, 12 * y, 24 * z, look.seed + 13)
                nx, ny, nz = nx - amount * sx, ny - 0.6 * amount * sy, nz - amount * sz
            size = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
            nx, ny, nz = nx / size, ny / size, nz / size
            dx = (column - lens[2]) / lens[0]
            t = depth[row, column]
            wx = turn[0, 0] * dx + turn[0, 1] * dy + turn[0, 2]
            wy = turn[1, 0] * dx + turn[1, 1] * dy + turn[1, 2]
            wz = turn[2, 0] * dx + turn[2, 1] * dy + turn[2, 2]
            lit = lit_share(
                eye[0] + t * wx + 0.01 * nx,
                eye[1] + t * wy + 0.01 * ny,
                eye[2] + t * wz + 0.01 * nz,
                shadow,
                shadow.bias,
            )
            near_ground = 1.0 - 0.35 * np.exp(-max(eye[1] + t * wy, 0.0) / 0.12)
            red, green, blue = _light(_scaled(color, near_ground), nx, ny, nz, lit, light)
            if shine > 0.0:
                away = np.sqrt(wx * wx + wy * wy + wz * wz)
                hx = light.direction[0] - wx / away
                hy = light.direction[1] - wy / away
                hz = light.direction[2] - wz / away
                half = np.sqrt(hx * hx + hy * hy + hz * hz) + 1e-9
                gloss = shine * lit * max(0.0, (nx * hx + ny * hy + nz * hz) / half) ** 18
                red += gloss * light.key[0]
                green += gloss * light.key[1]
                blue += gloss * light.key[2]
            out[row, column, 0] = red
            out[row, column, 1] = green
            out[row, column, 2] = blue


@compiled
def _texture(u, v, w, first, second, kind, scale, seed):
    """Colour of a thing at a place (u, v) of its surface and w along its normal."""
    a, b = u / scale, v / scale
    if kind == FLAT:
        return _mix(first, second, 0.25 * noise(0.7 * a, 0.7 * b, w / scale, seed))
    if kind == GRAIN:
        grain = noise(3 * a, 3 * b, 3 * w / scale, seed)
        rough = 0.5 * noise(0.8 * a, 0.8 * b, w / scale, seed + 1) + 0.3 * grain
        return _mix(first, second, rough + 0.2 * noise(17 * a, 17 * b, w, seed + 2))
    if kind == PLANKS:
        plank = np.floor(a)
        tone = _hash(int(plank), int(np.floor(b / 6 + _hash(int(plank), 0, 0, seed))), 1, seed)
        seam = 0.5 if a - plank < 0.03 else 0.0
        return _scaled(_mix(first, second, 0.6 * tone + 0.3 * noise(9 * a, 0.8 * b, 0.0, seed)), 1 - seam)
    if kind == TILES:
        i, j = np.floor(a), np.floor(b)
        seam = 0.35 if a - i < 0.04 or b - j < 0.04 else 0.0
        return _scaled(_mix(first, second, 0.9 * _hash(int(i), int(j), 2, seed)), 1 - seam)
    if kind == WINDOWS:
        i, j = np.floor(a), np.floor(b)
        if 0.25 < a - i < 0.75 and 0.3 < b - j < 0.8:
            return _scaled(second, 0.5 + 0.7 * _hash(int(i), int(j), 3, seed))
        return first
    band = a + 0.3 * (noise(3 * a, 3 * b, 0.0, seed) - 0.5)
    return first if band - np.floor(band) < 0.5 else second


@compiled
def _slab(o, d, half):
    """Where a ray enters and leaves -half .. half of one axis."""
    if abs(d) < 1e-12:
        return (-1e30, 1e30) if abs(o) <= half else (1e30, -1e30)
    scale = 1.0 / d
    middle, reach = -o * scale, half * abs(scale)
    return middle - reach, middle + reach


@compiled
def _meet_box(ox, oy, oz, dx, dy, dz, hx, hy, hz, inside):
    """Distance to a box along a ray in the box's axes, and the face's axis; for a room the far side counts."""
    x_in, x_out = _slab(ox, dx, hx)
    y_in, y_out = _slab(oy, dy, hy)
    z_in, z_out = _slab(oz, dz, hz)
    near, far = max(x_in, y_in, z_in), min(x_out, y_out, z_out)
    if near > far or far <= 0.0:
        return -1.0, 0
    if inside:
        return far, 0 if far == x_out else (1 if far == y_out else 2)
    return near, 0 if near == x_in else (1 if near == y_in else 2)


@compiled
def _meet_ball(ox, oy, oz, dx, dy, dz, hx, hy, hz):
    """Distance to an ellipsoid along a ray in its axes."""
    ax, ay, az = ox / hx, oy / hy, oz / hz
    bx, by, bz = dx / hx, dy / hy, dz / hz
    a, b, c = bx * bx + by * by + bz * bz, ax * bx + ay * by + az * bz, ax * ax + ay * ay + az * az - 1.0
    under = b * b - a * c
    return (-b - np.sqrt(under)) / a if under > 0.0 else -1.0


@compiled
def _near_body(px, py, pz, blobs):
    """Share of the sky that the body takes from a place on the ground: few balls (B, 4) stand for it."""
    free = 1.0
    if blobs.shape[0] and (blobs[0, 0] - px) ** 2 + (blobs[0, 2] - pz) ** 2 > 3.0:
        return free
    for b in range(blobs.shape[0]):
        x, y, z, r = blobs[b, 0] - px, blobs[b, 1] - py, blobs[b, 2] - pz, blobs[b, 3]
        square = x * x + y * y + z * z
        if square > 0.7 or y < 0.0:
            continue
        free *= 1.0 - min(0.75, y * r * r / (square * np.sqrt(square) + 1e-6))
    return free


@compiled
def cast(lens, eye, turn, solids, grounds, sky, backdrop, lights, shadow, blobs, color, depth):
    """Colour and depth of everything but people, one ray a pixel.

    Args:
        lens, eye, turn: as for `shade`.
        solids: (N, 18), see `scenes.Solid`.
        grounds: one record of `scenes.Ground`, which is at y = 0.
        sky: ((3,), (3,)) colours above and at the horizon.
        backdrop: (H, W, 3) picture where nothing is hit, or (0, 0, 3) for the sky.
        lights, shadow: as for `shade`.
        blobs: (B, 4) centres and radii of balls that take light from the ground, the pelvis first.
        color: (H, W, 3) float32, written.
        depth: (H, W) float32, written; infinity where nothing is hit.
    """
    ground, light = grounds[0], lights[0]
    for row in range(depth.shape[0]):
        dy = (row - lens[3]) / lens[1]
        for column in range(depth.shape[1]):
            dx = (column - lens[2]) / lens[0]
            wx = turn[0, 0] * dx + turn[0, 1] * dy + turn[0, 2]
            wy = turn[1, 0] * dx + turn[1, 1] * dy + turn[1, 2]
            wz = turn[2, 0] * dx + turn[2, 1] * dy + turn[2, 2]
            best, which, axis = np.inf, -2, 1
            if ground.there and wy < -1e-9:
                best, which = -eye[1] / wy, -1
            for s in range(solids.shape[0]):
                cos, sin = solids[s, 7], solids[s, 8]
                px, py, pz = eye[0] - solids[s, 1], eye[1] - solids[s, 2], eye[2] - solids[s, 3]
                ox, oz = cos * px + sin * pz, cos * pz - sin * px
                ux, uz = cos * wx + sin * wz, cos * wz - sin * wx
                hx, hy, hz = solids[s, 4], solids[s, 5], solids[s, 6]
                side = 0
                if solids[s, 0] == BALL:
                    t = _meet_ball(ox, py, oz, ux, wy, uz, hx, hy, hz)
                else:
                    t, side = _meet_box(ox, py, oz, ux, wy, uz, hx, hy, hz, solids[s, 0] == ROOM)
                if 0.05 < t < best:
                    best, which, axis = t, s, side
            depth[row, column] = best
            if which == -2:
                if backdrop.shape[0]:
                    shown = (backdrop[row, column, 0], backdrop[row, column, 1], backdrop[row, column, 2])
                else:
                    slope = wy / np.sqrt(wx * wx + wy * wy + wz * wz)
                    shown = _mix(sky[1], sky[0], min(max(slope * 2.0, 0.0), 1.0))
                    cloud = noise(3 * wx / (abs(wy) + 0.2), 5 * wz / (abs(wy) + 0.2), 0.0, 77)
                    shown = _mix(shown, (1.0, 1.0, 1.0), max(0.0, cloud - 0.55))
            else:
                x, y, z = eye[0] + best * wx, eye[1] + best * wy, eye[2] + best * wz
                shown = _thing(x, y, z, wx, wy, wz, which, axis, solids, ground, light, shadow, blobs)
                if not backdrop.shape[0]:
                    shown = _mix(shown, sky[1], 1.0 - np.exp(-ground.haze * best))
            color[row, column, 0] = shown[0]
            color[row, column, 1] = shown[1]
            color[row, column, 2] = shown[2]


@compiled
def _thing(x, y, z, wx, wy, wz, which, axis, solids, ground, light, shadow, blobs):
    """Colour of the ground (which = -1) or of a solid at a place, under the light."""
    lit = lit_share(x, y, z, shadow, 0.02)
    if which < 0:
        color = _texture(
            x, z, 0.0, _rgb(ground.first), _rgb(ground.second), ground.texture, ground.scale, ground.seed
        )
        return _light(_scaled(color, _near_body(x, y, z, blobs)), 0.0, 1.0, 0.0, lit, light)
    solid = solids[which]
    first, second = (solid[9], solid[10], solid[11]), (solid[12], solid[13], solid[14])
    cos, sin = solid[7], solid[8]
    px, py, pz = x - solid[1], y - solid[2], z - solid[3]
    ux, uz = cos * px + sin * pz, cos * pz - sin * px
    texture, scale, seed = int(solid[15]), solid[16], int(solid[17])
    if solid[0] == BALL:
        nx, ny, nz = ux / solid[4] ** 2, py / solid[5] ** 2, uz / solid[6] ** 2
        rough = noise(ux / scale, py / scale, uz / scale, seed) - 0.5
        color = _mix(first, second, min(max(0.5 + 1.6 * rough, 0.0), 1.0))
        size = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
        nx, ny, nz = nx / size + rough, ny / size + rough, nz / size + rough
    else:
        nx, ny, nz = 0.0, 0.0, 0.0
        if axis == 0:
            color = _texture(uz, py, ux, first, second, texture, scale, seed)
            nx = 1.0
        elif axis == 1:
            color = _texture(ux, uz, py, first, second, texture if solid[0] != ROOM else FLAT, scale, seed)
            ny = 1.0
        else:
            color = _texture(ux, py, uz, first, second, texture, scale, seed)
            nz = 1.0
        if solid[0] == ROOM and axis != 1 and y < 0.09:
            color = _scaled(second, 0.8)  # skirting board
    nx, nz = cos * nx - sin * nz, cos * nz + sin * nx
    if nx * wx + ny * wy + nz * wz > 0.0:
        nx, ny, nz = -nx, -ny, -nz
    if solid[0] == ROOM:  # darker towards the corners, as rooms are
        corner = min(solid[4] - abs(ux), solid[6] - abs(uz)) if axis == 1 else min(solid[5] - py, y)
        color = _scaled(color, 1.0 - 0.3 * np.exp(-max(corner, 0.0) / 0.5))
    return _light(color, nx, ny, nz, lit, light)


@compiled
def compose(face_id, depth, person, scene, scene_depth, slack, exposure, out):
    """Picture (H, W, 3) in [0, 1], gamma included, of samples (f H, f W) of people in a scene (H, W).

    A sample shows the person unless something of the scene is nearer by more than `slack` metres.
    """
    height, width = scene_depth.shape
    factor = face_id.shape[0] // height
    share = 1.0 / (factor * factor)
    for row in range(height):
        for column in range(width):
            red, green, blue = 0.0, 0.0, 0.0
            for i in range(factor * row, factor * row + factor):
                for j in range(factor * column, factor * column + factor):
                    if face_id[i, j] >= 0 and depth[i, j] < scene_depth[row, column] + slack:
                        red += person[i, j, 0]
                        green += person[i, j, 1]
                        blue += person[i, j, 2]
                    else:
                        red += scene[row, column, 0]
                        green += scene[row, column, 1]
                        blue += scene[row, column, 2]
            out[row, column, 0] = np.sqrt(min(red * share * exposure[0], 1.0))
            out[row, column, 1] = np.sqrt(min(green * share * exposure[1], 1.0))
            out[row, column, 2] = np.sqrt(min(blue * share * exposure[2], 1.0))
