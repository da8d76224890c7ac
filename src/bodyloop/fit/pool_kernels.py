"""The compiled search through a pool of candidates. Imported on first use, since numba takes a second to load."""

import numpy as np

from bodyloop.jit import jit

NEAREST = np.float32(0.1)
"""Metres; a candidate with a keypoint nearer to the camera is none."""
FAR = np.float32(1e12)
"""Its error."""


CHECK = 3
"""Keypoints after which it is seen whether a pose can still be of use under any orientation."""


@jit(fastmath=True, error_model="numpy")
def search(joints, which, turns, rays, spread, weight, focal, threshold, count, errors):  # type: ignore[no-untyped-def]
    """Errors of the poses under the orientations, as far as they matter; one person.

    Errors above the threshold matter if they are among the `count` lowest, and are put out as FAR where they are not:
    most are dropped after some keypoints. The translation is linear in the pose's points, with the same numbers for all
    poses. The orientations are the inner loop, whose numbers lie side by side, so that a processor takes eight at a
    time.

    Args:
        joints: (N, P, 3) float32, the poses' keypoints, unturned.
        which: (K,) int64, those that are seen; the ones that tell most come first.
        turns: (9, R or more) float32, the rows of the orientations' matrices, padded.
        rays: (K, 2) float32, the 2D keypoints as rays (x, y) at z = 1.
        spread: (K, 2) float32, the rays from their weighted mean.
        weight: (K,) float32 from 0; those of 0 cost nothing.
        focal: (2,) float32.
        threshold: float32.
        count: how many are wanted at least.
        errors: (N, R) float32, written: weighted squares in the focal length's unit.
    """
    zero, one = np.float32(0), np.float32(1)
    points, lanes = rays.shape[0], turns.shape[1]
    total, inertia = zero, zero
    mean_a, mean_b = rays[0, 0] - spread[0, 0], rays[0, 1] - spread[0, 1]
    for k in range(points):
        total += weight[k]
        inertia += weight[k] * (spread[k, 0] ** 2 + spread[k, 1] ** 2)
    fx, fy = focal[0] ** 2, focal[1] ** 2
    to_place = np.empty((points, 9, lanes), np.float32)
    for k in range(points):
        w, a, b = weight[k], rays[k, 0], rays[k, 1]
        for i in range(3):
            for r in range(lanes):
                p, q = turns[i, r] - a * turns[6 + i, r], turns[3 + i, r] - b * turns[6 + i, r]
                depth = w * (spread[k, 0] * p + spread[k, 1] * q) / inertia
                to_place[k, i, r] = mean_a * depth - w * p / total
                to_place[k, 3 + i, r] = mean_b * depth - w * q / total
                to_place[k, 6 + i, r] = depth
    best = np.full(count, FAR, np.float32)
    bound = FAR
    tx = np.empty(lanes, np.float32)
    ty, tz, error, nearest = np.empty_like(tx), np.empty_like(tx), np.empty_like(tx), np.empty_like(tx)
    for n in range(joints.shape[0]):
        for r in range(lanes):
            tx[r], ty[r], tz[r], error[r], nearest[r] = zero, zero, zero, zero, FAR
        for k in range(points):
            jx, jy, jz = joints[n, which[k], 0], joints[n, which[k], 1], joints[n, which[k], 2]
            for r in range(lanes):
                tx[r] += to_place[k, 0, r] * jx + to_place[k, 1, r] * jy + to_place[k, 2, r] * jz
                ty[r] += to_place[k, 3, r] * jx + to_place[k, 4, r] * jy + to_place[k, 5, r] * jz
                tz[r] += to_place[k, 6, r] * jx + to_place[k, 7, r] * jy + to_place[k, 8, r] * jz
        lowest, k = zero, 0
        while k < points and lowest <= bound:
            end = min(k + CHECK, points)
            while k < end:
                w, a, b = weight[k], rays[k, 0], rays[k, 1]
                jx, jy, jz = joints[n, which[k], 0], joints[n, which[k], 1], joints[n, which[k], 2]
                for r in range(lanes):
                    depth = turns[6, r] * jx + turns[7, r] * jy + turns[8, r] * jz + tz[r]
                    near = one / depth
                    x = turns[0, r] * jx + turns[1, r] * jy + turns[2, r] * jz + tx[r]
                    y = turns[3, r] * jx + turns[4, r] * jy + turns[5, r] * jz + ty[r]
                    off_x, off_y = x * near - a, y * near - b
                    error[r] += w * (fx * off_x * off_x + fy * off_y * off_y)
                    nearest[r] = min(nearest[r], depth)
                k += 1
            lowest = FAR
            for r in range(lanes):
                lowest = min(lowest, error[r])
        if lowest > bound:
            errors[n] = FAR
            continue
        for r in range(errors.shape[1]):
            errors[n, r] = error[r] if nearest[r] > NEAREST else FAR
            if errors[n, r] < best[0]:
                best[0] = errors[n, r]
                best = np.sort(best)[::-1]
                bound = max(best[0], threshold)
