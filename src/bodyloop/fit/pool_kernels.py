"""The compiled search through a pool of candidates. Imported on first use, since numba takes a second to load."""

import numpy as np

from bodyloop.jit import jit

NEAREST = np.float32(0.1)
"""Metres; a candidate with a keypoint nearer to the camera is none."""
FAR = np.float32(1e12)
"""Its error."""


@jit(fastmath=True, error_model="numpy")
def search(joints, turns, rays, spread, weight, focal, errors):  # type: ignore[no-untyped-def]
    """Errors of all poses under all orientations; one person.

    The orientations are the inner loop, whose numbers lie side by side, so that a processor takes eight at a time.

    Args:
        joints: (N, K, 3) float32, the poses' keypoints, unturned.
        turns: (9, R) float32, the rows of the orientations' matrices.
        rays: (K, 2) float32, the 2D keypoints as rays (x, y) at z = 1.
        spread: (K, 2) float32, the rays from their weighted mean.
        weight: (K,) float32 from 0; those of 0 cost nothing.
        focal: (2,) float32.
        errors: (N, R) float32, written: weighted squares in the focal length's unit.
    """
    zero, one = np.float32(0), np.float32(1)
    count, lanes = rays.shape[0], turns.shape[1]
    total, inertia = zero, zero
    mean_a, mean_b = rays[0, 0] - spread[0, 0], rays[0, 1] - spread[0, 1]
    for k in range(count):
        total += weight[k]
        inertia += weight[k] * (spread[k, 0] ** 2 + spread[k, 1] ** 2)
    for_place, for_depth = one / total, one / inertia
    fx, fy = focal[0] ** 2, focal[1] ** 2
    x = np.empty((count, lanes), np.float32)
    y, z = np.empty_like(x), np.empty_like(x)
    tx = np.empty(lanes, np.float32)
    ty, tz, error, nearest = np.empty_like(tx), np.empty_like(tx), np.empty_like(tx), np.empty_like(tx)
    for n in range(joints.shape[0]):
        for r in range(lanes):
            tx[r], ty[r], tz[r], error[r], nearest[r] = zero, zero, zero, zero, FAR
        for k in range(count):
            w, a, b = weight[k], rays[k, 0], rays[k, 1]
            da, db = spread[k, 0], spread[k, 1]
            jx, jy, jz = joints[n, k, 0], joints[n, k, 1], joints[n, k, 2]
            for r in range(lanes):
                px = turns[0, r] * jx + turns[1, r] * jy + turns[2, r] * jz
                py = turns[3, r] * jx + turns[4, r] * jy + turns[5, r] * jz
                pz = turns[6, r] * jx + turns[7, r] * jy + turns[8, r] * jz
                x[k, r], y[k, r], z[k, r] = px, py, pz
                p, q = px - a * pz, py - b * pz
                tx[r] += w * p
                ty[r] += w * q
                tz[r] += w * (da * p + db * q)
        for r in range(lanes):
            tz[r] *= for_depth
            tx[r] = mean_a * tz[r] - tx[r] * for_place
            ty[r] = mean_b * tz[r] - ty[r] * for_place
        for k in range(count):
            w, a, b = weight[k], rays[k, 0], rays[k, 1]
            for r in range(lanes):
                depth = z[k, r] + tz[r]
                near = one / depth
                off_x, off_y = (x[k, r] + tx[r]) * near - a, (y[k, r] + ty[r]) * near - b
                error[r] += w * (fx * off_x * off_x + fy * off_y * off_y)
                nearest[r] = min(nearest[r], depth)
        for r in range(lanes):
            errors[n, r] = error[r] if nearest[r] > NEAREST else FAR
