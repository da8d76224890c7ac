"""The second-order solver, compiled: one Levenberg-Marquardt loop a person, people spread over the cores.

Same algorithm as `bodyloop.fit.batched` (tested against each other); this one needs no batch to be fast. See
`bodyloop.fit.problem` for the energy and `bodyloop.fit.batched` for the derivation of the Jacobians.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from bodyloop.fit.schedule import (
    ACCEPT_FACTOR,
    DAMPING_MAX,
    DAMPING_MIN,
    DAMPING_START,
    MIN_DEPTH,
    REJECT_FACTOR,
    TOLERANCE,
)
from bodyloop.jit import jit

N_POSE, N_BETAS = 72, 10
SIZE = N_POSE + N_BETAS + 3  # unknowns: global orientation and body pose, betas, translation
_BETAS, _TRANS = N_POSE, N_POSE + N_BETAS
_MAX_EXP = 20.0  # exp(s theta) is capped: a joint two turns round would overflow

_FAST = {
    "nsz",
    "arcp",
    "contract",
    "afn",
    "reassoc",
}  # all of fastmath but the freedom to ignore NaN and infinity
_jit = jit(error_model="numpy", fastmath=_FAST)


class State(NamedTuple):
    """One person's unknowns: root (3, 3), theta (69,), betas (10,), trans (3,). Changed in place."""

    root: np.ndarray
    theta: np.ndarray
    betas: np.ndarray
    trans: np.ndarray


class Posed(NamedTuple):
    """What follows from a state: local and world rotations (24, 3, 3), places (24, 3), point pieces (A, 3)."""

    local: np.ndarray
    world: np.ndarray
    place: np.ndarray
    spots: np.ndarray


class Body(NamedTuple):
    """Rest joints (24, 3), their shape directions (24, 3, 10), parents (24,)."""

    joints: np.ndarray
    joint_dirs: np.ndarray
    parents: np.ndarray


class Points(NamedTuple):
    """The first piece of each point (K + 1,), then of each piece: joint, c, o, d o / d betas, d o / d pose feature."""

    first: np.ndarray
    joint: np.ndarray
    share: np.ndarray
    offset: np.ndarray
    offset_dirs: np.ndarray
    pose_dirs: np.ndarray


class Prior(NamedTuple):
    """The mixture, and which of the 69 numbers bend elbows and knees, with their signs."""

    means: np.ndarray
    factors: np.ndarray
    precisions: np.ndarray
    offsets: np.ndarray
    bend_index: np.ndarray
    bend_sign: np.ndarray


class Person(NamedTuple):
    """One person's evidence in one stage; anchor is (2, 69): the pose to stay near, and its scale."""

    target: np.ndarray
    weight: np.ndarray
    focal: np.ndarray
    anchor: np.ndarray
    depth0: float


class Weights(NamedTuple):
    """Weights of one stage's energy, squared but for sigma; whole is 0 where only the camera and root move."""

    pose: float
    bend: float
    shape: float
    sigma: float
    anchor: float
    depth: float
    whole: float


@_jit
def _rotation(x: float, y: float, z: float, out: np.ndarray) -> None:
    """Rodrigues' formula."""
    angle2 = x * x + y * y + z * z
    angle = math.sqrt(angle2)
    if angle < 1e-4:
        a, b = 1 - angle2 / 6, 0.5 - angle2 / 24
    else:
        a, b = math.sin(angle) / angle, (1 - math.cos(angle)) / angle2
    out[0, 0], out[0, 1], out[0, 2] = 1 - b * (y * y + z * z), b * x * y - a * z, b * x * z + a * y
    out[1, 0], out[1, 1], out[1, 2] = b * x * y + a * z, 1 - b * (x * x + z * z), b * y * z - a * x
    out[2, 0], out[2, 1], out[2, 2] = b * x * z - a * y, b * y * z + a * x, 1 - b * (x * x + y * y)


@_jit
def _right_jacobian(x: float, y: float, z: float, out: np.ndarray) -> None:
    """J with exp(theta + d) = exp(theta) exp(J d) to first order in d."""
    angle2 = x * x + y * y + z * z
    angle = math.sqrt(angle2)
    if angle < 1e-4:
        a, b = 0.5 - angle2 / 24, 1 / 6 - angle2 / 120
    else:
        a, b = (1 - math.cos(angle)) / angle2, (angle - math.sin(angle)) / (angle2 * angle)
    out[0, 0], out[0, 1], out[0, 2] = 1 - b * (y * y + z * z), b * x * y + a * z, b * x * z - a * y
    out[1, 0], out[1, 1], out[1, 2] = b * x * y - a * z, 1 - b * (x * x + z * z), b * y * z + a * x
    out[2, 0], out[2, 1], out[2, 2] = b * x * z + a * y, b * y * z - a * x, 1 - b * (x * x + y * y)


@_jit
def _chain(state, body, posed):
    """Forward kinematics: world rotations and places from the local rotations."""
    joints, joint_dirs, parents = body.joints, body.joint_dirs, body.parents
    betas, trans, local, world, place = state.betas, state.trans, posed.local, posed.world, posed.place
    rest = np.empty((24, 3))
    for j in range(24):
        for c in range(3):
            s = joints[j, c]
            for b in range(N_BETAS):
                s += joint_dirs[j, c, b] * betas[b]
            rest[j, c] = s
    for c in range(3):
        place[0, c] = rest[0, c] + trans[c]
        for d in range(3):
            world[0, c, d] = local[0, c, d]
    for j in range(1, 24):
        p = parents[j]
        x, y, z = rest[j, 0] - rest[p, 0], rest[j, 1] - rest[p, 1], rest[j, 2] - rest[p, 2]
        for c in range(3):
            wx, wy, wz = world[p, c, 0], world[p, c, 1], world[p, c, 2]
            place[j, c] = place[p, c] + wx * x + wy * y + wz * z
            for d in range(3):
                world[j, c, d] = wx * local[j, 0, d] + wy * local[j, 1, d] + wz * local[j, 2, d]


@_jit
def _locals(root, theta, local):
    """Local rotations (24, 3, 3) from the global orientation and the 69 numbers of the body pose."""
    local[0] = root
    for j in range(23):
        _rotation(theta[3 * j], theta[3 * j + 1], theta[3 * j + 2], local[j + 1])


@_jit
def _pieces(state, points, posed):
    """Places of all points' pieces c P_j + R_j o, in the world."""
    joint, share, offset, offset_dirs = points.joint, points.share, points.offset, points.offset_dirs
    pose_dirs, betas = points.pose_dirs, state.betas
    local, world, place, spots = posed.local, posed.world, posed.place, posed.spots
    with_pose = pose_dirs.shape[2] > 0
    feature = np.empty(207)
    if with_pose:
        for j in range(23):
            for c in range(3):
                for d in range(3):
                    feature[9 * j + 3 * c + d] = local[j + 1, c, d] - (1.0 if c == d else 0.0)
    o = np.empty(3)
    for a in range(len(joint)):
        j = joint[a]
        for c in range(3):
            s = offset[a, c]
            for b in range(N_BETAS):
                s += offset_dirs[a, c, b] * betas[b]
            if with_pose:
                for b in range(207):
                    s += pose_dirs[a, c, b] * feature[b]
            o[c] = s
        for c in range(3):
            spots[a, c] = (
                share[a] * place[j, c] + world[j, c, 0] * o[0] + world[j, c, 1] * o[1] + world[j, c, 2] * o[2]
            )


@_jit
def _pose(state, body, points, posed):
    """All that follows from a state."""
    _locals(state.root, state.theta, posed.local)
    _chain(state, body, posed)
    _pieces(state, points, posed)


@_jit
def _prior_energy(theta, prior):
    """Nearest mode and its energy (`GaussianMixture.nearest_mode_energy`)."""
    means, factors, offsets = prior.means, prior.factors, prior.offsets
    best, mode = np.inf, 0
    d = np.empty(69)
    y = np.empty(69)
    for m in range(len(means)):
        for i in range(69):
            d[i] = theta[i] - means[m, i]
            y[i] = 0.0
        for i in range(69):
            row, di = factors[m, i], d[i]
            for j in range(i + 1):
                y[j] += row[j] * di
        s = 0.0
        for i in range(69):
            s += y[i] * y[i]
        value = 0.5 * s - offsets[m]
        if value < best:
            best, mode = value, m
    return best, mode


@_jit
def _energy(state, posed, points, person, prior, lam):
    """E of the present state (see `bodyloop.fit.problem`), and the nearest mode."""
    theta, betas, spots, first = state.theta, state.betas, posed.spots, points.first
    target, weight, focal, anchor = person.target, person.weight, person.focal, person.anchor
    bend_index, bend_sign = prior.bend_index, prior.bend_sign
    sigma2 = lam.sigma * lam.sigma
    total = 0.0
    for k in range(len(target)):
        if weight[k] == 0.0:
            continue
        x, y, z = 0.0, 0.0, 0.0
        for a in range(first[k], first[k + 1]):
            x += spots[a, 0]
            y += spots[a, 1]
            z += spots[a, 2]
        if z < MIN_DEPTH:
            return np.inf, 0
        u = focal[0] * x / z - target[k, 0]
        v = focal[1] * y / z - target[k, 1]
        total += weight[k] * sigma2 * (u * u / (sigma2 + u * u) + v * v / (sigma2 + v * v))
    if lam.whole == 0.0:
        ratio = state.trans[2] / person.depth0 - 1
        return total + lam.depth * ratio * ratio, 0
    pose, mode = _prior_energy(theta, prior)
    total += lam.pose * pose
    for i in range(len(bend_index)):
        total += lam.bend * math.exp(min(2 * bend_sign[i] * theta[bend_index[i]], 2 * _MAX_EXP))
    for b in range(N_BETAS):
        total += lam.shape * betas[b] * betas[b]
    if lam.anchor > 0.0:
        for i in range(69):
            d = (theta[i] - anchor[0, i]) / anchor[1, i]
            total += lam.anchor * d * d
    return total, mode


@_jit
def _normal_equations(state, posed, body, points, person, lam, hessian, gradient):
    """Add the keypoints' half gradient and Gauss-Newton half Hessian (lower triangle)."""
    theta, world, place, spots = state.theta, posed.world, posed.place, posed.spots
    joint_dirs, parents = body.joint_dirs, body.parents
    first, joint, share, offset_dirs = points.first, points.joint, points.share, points.offset_dirs
    target, weight, focal = person.target, person.weight, person.focal
    sigma2, whole = lam.sigma * lam.sigma, lam.whole
    place_dirs = np.empty((24, 3, N_BETAS))
    right = np.empty((24, 3, 3))
    if whole != 0.0:
        place_dirs[0] = joint_dirs[0]
        for j in range(1, 24):
            p = parents[j]
            for c in range(3):
                wx, wy, wz = world[p, c, 0], world[p, c, 1], world[p, c, 2]
                for b in range(N_BETAS):
                    place_dirs[j, c, b] = (
                        place_dirs[p, c, b]
                        + wx * (joint_dirs[j, 0, b] - joint_dirs[p, 0, b])
                        + wy * (joint_dirs[j, 1, b] - joint_dirs[p, 1, b])
                        + wz * (joint_dirs[j, 2, b] - joint_dirs[p, 2, b])
                    )
            _right_jacobian(theta[3 * j - 3], theta[3 * j - 2], theta[3 * j - 1], right[j])
    sums = np.zeros((24, 4))  # per joint: the part of the point that hangs on it, and its share
    touched = np.zeros(24, np.bool_)
    columns = np.empty(SIZE, np.int64)
    row_u, row_v = np.empty(SIZE), np.empty(SIZE)
    turn = np.empty((3, 3))
    point_dirs = np.empty((3, N_BETAS))
    for k in range(len(target)):
        if weight[k] == 0.0:
            continue
        sums[:] = 0.0
        touched[:] = False
        x, y, z = 0.0, 0.0, 0.0
        for a in range(first[k], first[k + 1]):
            sx, sy, sz = spots[a, 0], spots[a, 1], spots[a, 2]
            x += sx
            y += sy
            z += sz
            i = joint[a] if whole != 0.0 else -1
            while i >= 0:
                touched[i] = True
                sums[i, 0] += sx
                sums[i, 1] += sy
                sums[i, 2] += sz
                sums[i, 3] += share[a]
                i = parents[i]
        if whole == 0.0:
            touched[0] = True
            sums[0, 0], sums[0, 1], sums[0, 2], sums[0, 3] = x, y, z, 1.0
        fu, fv = focal[0] / z, focal[1] / z
        xz, yz = x / z, y / z
        u = focal[0] * xz - target[k, 0]
        v = focal[1] * yz - target[k, 1]
        # iteratively reweighted least squares: rho'(r) / 2r
        du, dv = sigma2 / (sigma2 + u * u), sigma2 / (sigma2 + v * v)
        wu, wv = weight[k] * du * du, weight[k] * dv * dv
        n = 0
        for i in range(24):
            if not touched[i]:
                continue
            lx = sums[i, 0] - sums[i, 3] * place[i, 0]
            ly = sums[i, 1] - sums[i, 3] * place[i, 1]
            lz = sums[i, 2] - sums[i, 3] * place[i, 2]
            if lx * lx + ly * ly + lz * lz < 1e-12:
                continue
            for c in range(3):  # axis c of joint i in the world, crossed with the lever
                ax, ay, az = world[i, 0, c], world[i, 1, c], world[i, 2, c]
                turn[0, c] = ay * lz - az * ly
                turn[1, c] = az * lx - ax * lz
                turn[2, c] = ax * ly - ay * lx
            for c in range(3):
                if i == 0:
                    tx, ty, tz = turn[0, c], turn[1, c], turn[2, c]
                else:
                    j0, j1, j2 = right[i, 0, c], right[i, 1, c], right[i, 2, c]
                    tx = turn[0, 0] * j0 + turn[0, 1] * j1 + turn[0, 2] * j2
                    ty = turn[1, 0] * j0 + turn[1, 1] * j1 + turn[1, 2] * j2
                    tz = turn[2, 0] * j0 + turn[2, 1] * j1 + turn[2, 2] * j2
                columns[n] = 3 * i + c
                row_u[n] = fu * (tx - xz * tz)
                row_v[n] = fv * (ty - yz * tz)
                n += 1
        if whole != 0.0:
            point_dirs[:] = 0.0
            for a in range(first[k], first[k + 1]):
                j = joint[a]
                for c in range(3):
                    wx, wy, wz = world[j, c, 0], world[j, c, 1], world[j, c, 2]
                    for b in range(N_BETAS):
                        point_dirs[c, b] += (
                            share[a] * place_dirs[j, c, b]
                            + wx * offset_dirs[a, 0, b]
                            + wy * offset_dirs[a, 1, b]
                            + wz * offset_dirs[a, 2, b]
                        )
            for b in range(N_BETAS):
                columns[n] = _BETAS + b
                row_u[n] = fu * (point_dirs[0, b] - xz * point_dirs[2, b])
                row_v[n] = fv * (point_dirs[1, b] - yz * point_dirs[2, b])
                n += 1
        columns[n], columns[n + 1], columns[n + 2] = _TRANS, _TRANS + 1, _TRANS + 2
        row_u[n], row_u[n + 1], row_u[n + 2] = fu, 0.0, -fu * xz
        row_v[n], row_v[n + 1], row_v[n + 2] = 0.0, fv, -fv * yz
        n += 3
        for a in range(n):
            gu, gv = wu * row_u[a], wv * row_v[a]
            row = hessian[columns[a]]
            gradient[columns[a]] += gu * u + gv * v
            for b in range(a + 1):
                row[columns[b]] += gu * row_u[b] + gv * row_v[b]


@_jit
def _add_priors(state, mode, person, prior, lam, hessian, gradient):
    """Start the system with the terms that do not see the image."""
    theta, betas, anchor = state.theta, state.betas, person.anchor
    means, precisions = prior.means, prior.precisions
    bend_index, bend_sign = prior.bend_index, prior.bend_sign
    if lam.whole == 0.0:
        hessian[:] = 0.0
        gradient[:] = 0.0
        depth0 = person.depth0
        hessian[_TRANS + 2, _TRANS + 2] = lam.depth / (depth0 * depth0)
        gradient[_TRANS + 2] = lam.depth * (state.trans[2] / depth0 - 1) / depth0
        return
    half = 0.5 * lam.pose
    hessian[:3, :3] = 0.0
    gradient[:3] = 0.0
    d = theta - means[mode]
    for i in range(69):
        source, row, s = precisions[mode, i], hessian[3 + i], 0.0
        for j in range(69):
            s += source[j] * d[j]
        for j in range(i + 1):
            row[3 + j] = half * source[j]
        row[0], row[1], row[2] = 0.0, 0.0, 0.0
        gradient[3 + i] = half * s
    for i in range(N_POSE, SIZE):
        for j in range(i + 1):
            hessian[i, j] = 0.0
        gradient[i] = 0.0
    for i in range(len(bend_index)):
        exponent = bend_sign[i] * theta[bend_index[i]]
        square = lam.bend * math.exp(min(2 * exponent, 2 * _MAX_EXP))
        gradient[3 + bend_index[i]] += square * bend_sign[i]
        hessian[3 + bend_index[i], 3 + bend_index[i]] += square
    for b in range(N_BETAS):
        gradient[_BETAS + b] = lam.shape * betas[b]
        hessian[_BETAS + b, _BETAS + b] = lam.shape
    if lam.anchor > 0.0:
        for i in range(69):
            inverse = lam.anchor / (anchor[1, i] * anchor[1, i])
            gradient[3 + i] += inverse * (theta[i] - anchor[0, i])
            hessian[3 + i, 3 + i] += inverse


@_jit
def _cholesky(factor, n):
    """Lower factor in place of a lower triangle, with the inverse of its diagonal; False if not positive.

    Four rows at a time: each earlier row is then read once for four dot products, twice as fast at n = 85
    as one row at a time.
    """
    i = 0
    while i < n:
        four = i + 4 <= n
        if four:
            a, b, c, d = factor[i], factor[i + 1], factor[i + 2], factor[i + 3]
            for j in range(i):
                above = factor[j]
                sa, sb, sc, sd = 0.0, 0.0, 0.0, 0.0
                for k in range(j):
                    sa += a[k] * above[k]
                    sb += b[k] * above[k]
                    sc += c[k] * above[k]
                    sd += d[k] * above[k]
                scale = above[j]
                a[j] = (a[j] - sa) * scale
                b[j] = (b[j] - sb) * scale
                c[j] = (c[j] - sc) * scale
                d[j] = (d[j] - sd) * scale
        end = i + 4 if four else n
        for r in range(i, end):
            row = factor[r]
            for j in range(i if four else 0, r):
                s = 0.0
                for k in range(j):
                    s += row[k] * factor[j, k]
                row[j] = (row[j] - s) * factor[j, j]
            s = 0.0
            for k in range(r):
                s += row[k] * row[k]
            pivot = row[r] - s
            if not pivot > 0.0:
                return False
            row[r] = 1 / math.sqrt(pivot)
        i = end
    return True


@_jit
def _solve(hessian, gradient, damping, free, factor, step):
    """step = -(H + damping diag H)^-1 g over the free unknowns, by Cholesky; False if not positive."""
    n = len(free)
    for i in range(n):
        row, source = factor[i], hessian[free[i]]
        if n == SIZE:
            row[: i + 1] = source[: i + 1]
        else:
            for j in range(i + 1):
                row[j] = source[free[j]]
        row[i] += damping * row[i] + 1e-9
    if not _cholesky(factor, n):
        return False
    for i in range(n):
        row = factor[i]
        s = -gradient[free[i]]
        for k in range(i):
            s -= row[k] * step[k]
        step[i] = s * row[i]
    for i in range(n - 1, -1, -1):
        row = factor[i]
        step[i] *= row[i]
        for k in range(i):
            step[k] -= row[k] * step[i]
    return True


@_jit
def _moved(state, step, whole, turn, new):
    """The state after a step over the free unknowns, into `new`."""
    _rotation(step[0], step[1], step[2], turn)
    new.root[:] = state.root @ turn
    offset = 3
    if whole:
        for i in range(69):
            new.theta[i] = state.theta[i] + step[3 + i]
        for b in range(N_BETAS):
            new.betas[b] = state.betas[b] + step[_BETAS + b]
        offset = _TRANS
    for c in range(3):
        new.trans[c] = state.trans[c] + step[offset + c]


@_jit
def _fit_stage(state, body, points, person, prior, lam, steps):
    """Minimise one stage's energy in place; returns the energy and the number of iterations."""
    whole = lam.whole != 0.0
    hessian, gradient = np.empty((SIZE, SIZE)), np.empty(SIZE)
    factor, step = np.empty((SIZE, SIZE)), np.empty(SIZE)
    turn = np.empty((3, 3))
    posed = Posed(
        np.empty((24, 3, 3)), np.empty((24, 3, 3)), np.empty((24, 3)), np.empty((len(points.joint), 3))
    )
    free = np.arange(SIZE) if whole else np.array([0, 1, 2, _TRANS, _TRANS + 1, _TRANS + 2])
    new = State(state.root.copy(), state.theta.copy(), state.betas.copy(), state.trans.copy())
    _pose(state, body, points, posed)
    energy, mode = _energy(state, posed, points, person, prior, lam)
    if not energy < np.inf:
        return energy, 0
    damping = DAMPING_START
    fresh = True
    done = 0
    while done < steps:
        done += 1
        if fresh:
            _add_priors(state, mode, person, prior, lam, hessian, gradient)
            _normal_equations(state, posed, body, points, person, lam, hessian, gradient)
            fresh = False
        accepted = False
        if _solve(hessian, gradient, damping, free, factor, step):
            _moved(state, step, whole, turn, new)
            _pose(new, body, points, posed)
            new_energy, new_mode = _energy(new, posed, points, person, prior, lam)
            accepted = new_energy < energy
        if accepted:
            small = energy - new_energy < TOLERANCE * energy
            state.root[:], state.theta[:] = new.root, new.theta
            state.betas[:], state.trans[:] = new.betas, new.trans
            energy, mode, fresh = new_energy, new_mode, True
            damping = max(damping * ACCEPT_FACTOR, DAMPING_MIN)
            if small:
                break
        else:
            damping *= REJECT_FACTOR
            if damping > DAMPING_MAX:
                break
    return energy, done


@jit(error_model="numpy", parallel=True)
def fit_people(
    states, body, points, prior, target, weight, torso, focal, anchor, anchor_scale, stages, steps,
    rotations, energies, iterations,
):  # fmt: skip
    """Fit people in parallel, in place; arrays as `bodyloop.fit.solve` lays them out.

    `states` holds all people's unknowns, (B, ...) each. Written are `states`, the local rotations
    (B, 24, 3, 3), the energies (B,) and the iterations (B,).
    """
    for p in prange(len(energies)):
        own = np.empty((2, 69))
        own[0] = anchor[p]
        own[1] = anchor_scale[p]
        state = State(states.root[p], states.theta[p], states.betas[p], states.trans[p])
        total = 0
        energy = np.inf
        for s in range(len(stages)):
            row = stages[s]
            lam = Weights(row[0], row[1], row[2], row[3], row[4], row[5], row[6])
            chosen = weight[p] if lam.whole != 0.0 else torso[p]
            person = Person(target[p], chosen, focal[p], own, state.trans[2])
            energy, count = _fit_stage(state, body, points, person, prior, lam, steps[s])
            total += count
        _locals(state.root, state.theta, rotations[p])
        energies[p] = energy
        iterations[p] = total


@_jit
def _joint_rows(state, posed, body, rows):
    """Derivatives (72, 72) of the joints' places by global orientation and body pose."""
    theta, world, place, parents = state.theta, posed.world, posed.place, body.parents
    right, turn = np.empty((24, 3, 3)), np.empty((3, 3))
    right[0] = np.eye(3)
    for j in range(1, 24):
        _right_jacobian(theta[3 * j - 3], theta[3 * j - 2], theta[3 * j - 1], right[j])
    rows[:] = 0.0
    for j in range(1, 24):
        i = parents[j]
        while i >= 0:
            lx, ly, lz = place[j, 0] - place[i, 0], place[j, 1] - place[i, 1], place[j, 2] - place[i, 2]
            for c in range(3):
                ax, ay, az = world[i, 0, c], world[i, 1, c], world[i, 2, c]
                turn[0, c] = ay * lz - az * ly
                turn[1, c] = az * lx - ax * lz
                turn[2, c] = ax * ly - ay * lx
            for c in range(3):
                for d in range(3):
                    s = 0.0
                    for e in range(3):
                        s += turn[c, e] * right[i, e, d]
                    rows[3 * j + c, 3 * i + d] = s
            i = parents[i]


@jit(error_model="numpy", parallel=True)
def work_out_frames(
    states, body, points, prior, target, weight, focal, anchor, row, energies, figures, hessian, gradient, rows
):  # fmt: skip
    """Energies (N,) of people as they are, and the joints (N, 24, 3) of the mean shape in their pose, written in place.

    Where there is room for them, also the half Gauss-Newton Hessian (N, 85, 85) with the half gradient (N, 85), and the
    derivatives (N, 72, 72) of those joints. `anchor` (N, 2, 69) and `row` are as in `Person` and `Weights`; all else as
    for `fit_people`.
    """
    for p in prange(len(energies)):
        lam = Weights(row[0], row[1], row[2], row[3], row[4], row[5], row[6])
        state = State(states.root[p], states.theta[p], states.betas[p], states.trans[p])
        posed = Posed(
            np.empty((24, 3, 3)), np.empty((24, 3, 3)), np.empty((24, 3)), np.empty((len(points.joint), 3))
        )
        _pose(state, body, points, posed)
        person = Person(target[p], weight[p], focal[p], anchor[p], 1.0)
        energies[p], mode = _energy(state, posed, points, person, prior, lam)
        if len(hessian) > 0:
            _add_priors(state, mode, person, prior, lam, hessian[p], gradient[p])
            _normal_equations(state, posed, body, points, person, lam, hessian[p], gradient[p])
            for i in range(SIZE):
                for j in range(i):
                    hessian[p, j, i] = hessian[p, i, j]
        plain = State(state.root, state.theta, np.zeros(N_BETAS), np.zeros(3))
        _chain(plain, body, posed)
        figures[p] = posed.place
        if len(rows) > 0:
            _joint_rows(plain, posed, body, rows[p])
