"""The compiled loops of `bodyloop.data.crop_batches`. Imported on first use, since numba takes a second to load."""

import numpy as np

from bodyloop.jit import jit


@jit(fastmath=True)
def sample_pictures(pictures, back, gains, out):
    """Fill `out` (B, 3, R, R), in [0, 1], from pictures (B, S, S, 3) uint8, bilinearly, black outside.

    Args:
        back: (B, 2, 3) float32 from pixels of `out` (x, y, 1) to those of the pictures.
        gains: (B, 3) float32 of the colours.
    """
    people, side = len(pictures), pictures.shape[1]
    resolution = out.shape[2]
    one = np.float32(1)
    for person in range(people):
        picture, m = pictures[person], back[person]
        red, green, blue = gains[person, 0] / 255, gains[person, 1] / 255, gains[person, 2] / 255
        ax, ay = m[0, 0], m[1, 0]
        for row in range(resolution):
            bx, by = m[0, 1] * np.float32(row) + m[0, 2], m[1, 1] * np.float32(row) + m[1, 2]
            for column in range(resolution):
                x, y = ax * np.float32(column) + bx, ay * np.float32(column) + by
                a = b = c = np.float32(0)
                if -1 < x < side and -1 < y < side:
                    left, top = int(x + one) - 1, int(y + one) - 1
                    right, below = x - np.float32(left), y - np.float32(top)
                    # Of pixels beyond the edge the weight is 0, and the nearest one is read in their place.
                    w0 = one - right if left >= 0 else np.float32(0)
                    w1 = right if left + 1 < side else np.float32(0)
                    h0 = one - below if top >= 0 else np.float32(0)
                    h1 = below if top + 1 < side else np.float32(0)
                    u0, u1 = max(left, 0), min(left + 1, side - 1)
                    v0, v1 = max(top, 0), min(top + 1, side - 1)
                    p, q, r, s = h0 * w0, h0 * w1, h1 * w0, h1 * w1
                    a = p * picture[v0, u0, 0] + q * picture[v0, u1, 0] + r * picture[v1, u0, 0]
                    a += s * picture[v1, u1, 0]
                    b = p * picture[v0, u0, 1] + q * picture[v0, u1, 1] + r * picture[v1, u0, 1]
                    b += s * picture[v1, u1, 1]
                    c = p * picture[v0, u0, 2] + q * picture[v0, u1, 2] + r * picture[v1, u0, 2]
                    c += s * picture[v1, u1, 2]
                out[person, 0, row, column] = min(a * red, one)
                out[person, 1, row, column] = min(b * green, one)
                out[person, 2, row, column] = min(c * blue, one)


@jit(fastmath=True)
def sample_labels(maps, back, tables, out):
    """Fill `out` (B, T, T) with the labels of the nearest pixels of maps (B, M, M) uint8, 0 outside.

    Args:
        back: (B, 2, 3) float32 from pixels of `out` (x, y, 1) to those of the maps.
        tables: (B, 256) what each label becomes.
    """
    people, side, _ = maps.shape
    size = out.shape[1]
    half = np.float32(0.5)
    for person in range(people):
        m, labels, table = back[person], maps[person], tables[person]
        for row in range(size):
            bx, by = m[0, 1] * np.float32(row) + m[0, 2] + half, m[1, 1] * np.float32(row) + m[1, 2] + half
            for column in range(size):
                x, y = m[0, 0] * np.float32(column) + bx, m[1, 0] * np.float32(column) + by
                inside = 0 <= x < side and 0 <= y < side
                out[person, row, column] = table[labels[int(y), int(x)]] if inside else 0


@jit(fastmath=True)
def sample_iuv(maps, back, out):
    """Fill `out` (B, 3, T, T) with I, U, V of the nearest pixels of maps (B, 3, M, M) uint8, 0 outside.

    I stays a whole number; U and V come from 255ths.
    """
    people, _, side, _ = maps.shape
    size = out.shape[2]
    half, step = np.float32(0.5), np.float32(1 / 255)
    for person in range(people):
        m, iuv = back[person], maps[person]
        for row in range(size):
            bx, by = m[0, 1] * np.float32(row) + m[0, 2] + half, m[1, 1] * np.float32(row) + m[1, 2] + half
            for column in range(size):
                x, y = m[0, 0] * np.float32(column) + bx, m[1, 0] * np.float32(column) + by
                i = u = v = np.float32(0)
                if 0 <= x < side and 0 <= y < side:
                    r, c = int(y), int(x)
                    i = np.float32(iuv[0, r, c])
                    u, v = iuv[1, r, c] * step, iuv[2, r, c] * step
                out[person, 0, row, column] = i
                out[person, 1, row, column] = u
                out[person, 2, row, column] = v
