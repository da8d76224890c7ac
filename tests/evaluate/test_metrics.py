"""Each metric against a slow float64 twin in plain loops, against cases known by hand, and its laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.evaluate.metrics import (
    AUC_MM,
    acceleration_error,
    auc,
    coco_head_size,
    joint_errors,
    mpjpe,
    pa_mpjpe,
    pa_mpjpe_axes,
    pa_pve,
    pck,
    pckh,
    pve,
    pve_t,
)
from bodyloop.geometry import axis_angle_to_rotmat

G = torch.Generator().manual_seed(0)
A = torch.randn(4, 24, 3, generator=G, dtype=torch.float64)
B = A + torch.randn(4, 24, 3, generator=G, dtype=torch.float64) * 0.05
SEEN = torch.rand(4, 24, generator=G) < 0.7
SEEN[:, 0] = True


def slow_procrustes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a (J, 3) moved onto b: the rotation by Horn's quaternions (1987), whose best is an eigenvector."""
    x, y = a - a.mean(0), b - b.mean(0)
    s = np.zeros((3, 3))
    for p, q in zip(x, y, strict=True):
        for i in range(3):
            for j in range(3):
                s[i, j] += p[i] * q[j]
    n = np.array(
        [
            [s[0, 0] + s[1, 1] + s[2, 2], s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]],
            [s[1, 2] - s[2, 1], s[0, 0] - s[1, 1] - s[2, 2], s[0, 1] + s[1, 0], s[2, 0] + s[0, 2]],
            [s[2, 0] - s[0, 2], s[0, 1] + s[1, 0], s[1, 1] - s[0, 0] - s[2, 2], s[1, 2] + s[2, 1]],
            [s[0, 1] - s[1, 0], s[2, 0] + s[0, 2], s[1, 2] + s[2, 1], s[2, 2] - s[0, 0] - s[1, 1]],
        ]
    )
    w, i, j, k = np.linalg.eigh(n)[1][:, -1]
    turn = np.array(
        [
            [1 - 2 * (j * j + k * k), 2 * (i * j - k * w), 2 * (i * k + j * w)],
            [2 * (i * j + k * w), 1 - 2 * (i * i + k * k), 2 * (j * k - i * w)],
            [2 * (i * k - j * w), 2 * (j * k + i * w), 1 - 2 * (i * i + j * j)],
        ]
    )
    turned = np.array([turn @ p for p in x])
    scale = sum(float(p @ q) for p, q in zip(turned, y, strict=True)) / sum(float(p @ p) for p in x)
    return scale * turned + b.mean(0)


def slow_mean(a: np.ndarray, b: np.ndarray) -> float:
    return 1000 * sum(math.dist(p, q) for p, q in zip(a, b, strict=True)) / len(a)


def close(found: Tensor, slow: list[float] | list[list[float]]) -> bool:
    return np.allclose(found.numpy(), slow, rtol=1e-9, atol=1e-9)


def similar(points: Tensor, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    turn = axis_angle_to_rotmat(torch.randn(3, generator=g, dtype=torch.float64) * 2)
    scale = 0.5 + torch.rand(1, generator=g, dtype=torch.float64)
    return scale * points @ turn.T + torch.randn(3, generator=g, dtype=torch.float64)


def test_joint_errors_against_slow_twins():
    pairs = list(zip(A.numpy(), B.numpy(), strict=True))
    assert close(mpjpe(A, B, None), [slow_mean(a, b) for a, b in pairs])
    assert close(mpjpe(A, B), [slow_mean(a - a[0], b - b[0]) for a, b in pairs])
    assert close(mpjpe(A, B, 7), [slow_mean(a - a[7], b - b[7]) for a, b in pairs])
    assert close(pa_mpjpe(A, B), [slow_mean(slow_procrustes(a, b), b) for a, b in pairs])
    axes = [1000 * np.abs(slow_procrustes(a, b) - b).mean(0) for a, b in pairs]
    assert np.allclose(pa_mpjpe_axes(A, B).numpy(), axes)


def test_masked_joints_are_as_if_they_were_not_there():
    nonsense = torch.where(SEEN[..., None], A, torch.nan), torch.where(SEEN[..., None], B, 1e6)
    kept = [(a[s].numpy(), b[s].numpy()) for a, b, s in zip(A, B, SEEN, strict=True)]
    assert close(mpjpe(*nonsense, 0, SEEN), [slow_mean(a - a[0], b - b[0]) for a, b in kept])
    assert close(mpjpe(*nonsense, None, SEEN), [slow_mean(a, b) for a, b in kept])
    assert close(pa_mpjpe(*nonsense, SEEN), [slow_mean(slow_procrustes(a, b), b) for a, b in kept])
    axes = [1000 * np.abs(slow_procrustes(a, b) - b).mean(0) for a, b in kept]
    assert np.allclose(pa_mpjpe_axes(*nonsense, SEEN).numpy(), axes)
    errors = joint_errors(*nonsense, "similarity", seen=SEEN)
    assert torch.equal(errors.isnan(), ~SEEN)


def test_nothing_known_is_nan():
    nothing, two, rootless = torch.zeros(3, 4, 24, dtype=torch.bool)
    two[:, :2] = True
    rootless[:, 5:] = True
    for measure in (
        mpjpe(A, B, 0, nothing),
        mpjpe(A, B, None, nothing),
        pa_mpjpe(A, B, nothing),
        pa_mpjpe(A, B, two),
    ):
        assert measure.isnan().all()
    assert pa_mpjpe_axes(A, B, two).isnan().all()
    assert mpjpe(A, B, 0, rootless).isnan().all()
    assert mpjpe(A, B, 0, two).isfinite().all()
    assert pck(torch.full((2, 3), torch.nan)).isnan().all()
    assert auc(torch.full((2, 3), torch.nan)).isnan().all()


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_alignments_take_away_what_they_say(seed: int):
    zero = torch.zeros(4, dtype=torch.float64)
    assert torch.allclose(mpjpe(A + seed, A), zero, atol=1e-9)
    assert torch.allclose(pa_mpjpe(similar(A, seed), A), zero, atol=1e-6)
    assert torch.allclose(pa_mpjpe(similar(A, seed), B), pa_mpjpe(A, B))
    assert torch.allclose(pa_mpjpe(similar(A, seed), B, SEEN), pa_mpjpe(A, B, SEEN))
    assert torch.allclose(pa_pve(similar(A, seed), B), pa_mpjpe(A, B))


def test_alignment_helps_and_axes_add_up():
    assert (pa_mpjpe(A, B) <= mpjpe(A, B)).all()
    axes, whole = pa_mpjpe_axes(A, B), pa_mpjpe(A, B)
    assert (axes.sum(-1) >= whole).all()
    assert (axes.amax(-1) <= whole).all()


def test_procrustes_does_not_mirror():
    mirrored = A * torch.tensor([-1.0, 1, 1], dtype=torch.float64)
    assert (pa_mpjpe(mirrored, A) > 100).all()


def test_a_root_that_is_no_joint():
    roots = torch.stack([A[:, :2].mean(1), B[:, :2].mean(1)])
    found = joint_errors(A[:, 2:], B[:, 2:], "root", roots).mean(-1)
    slow = [
        slow_mean(a[2:] - a[:2].mean(0), b[2:] - b[:2].mean(0))
        for a, b in zip(A.numpy(), B.numpy(), strict=True)
    ]
    assert close(found, slow)


def test_a_millimetre_is_a_millimetre():
    off = A.clone()
    off[:, 1:, 0] += 0.001
    assert torch.allclose(mpjpe(off, A), torch.full((4,), 23 / 24, dtype=torch.float64))
    assert torch.allclose(mpjpe(off + 1, A + 1, None), torch.full((4,), 23 / 24, dtype=torch.float64))
    assert torch.allclose(pve(A + 0.001, A, A[:, 0], A[:, 0]), torch.full((4,), 3**0.5, dtype=torch.float64))


def test_any_leading_dimensions():
    a, b = A.reshape(2, 2, 24, 3), B.reshape(2, 2, 24, 3)
    for one, many in (
        (mpjpe(A, B), mpjpe(a, b)),
        (pa_mpjpe(A, B, SEEN), pa_mpjpe(a, b, SEEN.reshape(2, 2, 24))),
        (pck(joint_errors(A, B)), pck(joint_errors(a, b))),
        (auc(joint_errors(A, B)), auc(joint_errors(a, b))),
    ):
        assert torch.equal(one.reshape(2, 2), many)
    assert torch.allclose(pa_mpjpe(A[0], B[0]), pa_mpjpe(A, B)[0])
    assert mpjpe(A[:0], B[:0]).shape == (0,)


def test_shapes_have_to_agree():
    with pytest.raises(ValueError, match="one shape"):
        mpjpe(A, B[:, :5])
    with pytest.raises(ValueError, match="seen"):
        pa_mpjpe(A, B, SEEN[:, :5])
    with pytest.raises(ValueError, match="three frames"):
        acceleration_error(A[:2], B[:2])


def test_the_shape_error_is_that_of_the_t_pose(body: BodyModel):
    found, truth = torch.randn(2, 3, 10, generator=torch.Generator().manual_seed(1)).unbind(0)
    rest = Bodies.rest(3)
    meshes = [
        body.vertices(Bodies(rest.rotations, betas, rest.translation)).double().numpy()
        for betas in (found, truth)
    ]
    slow = [slow_mean(a[::97], b[::97]) for a, b in zip(*meshes, strict=True)]
    thin = (found - truth)[:, None, None] * body.shapedirs[::97]
    assert np.allclose((1000 * thin.sum(-1).norm(dim=-1).mean(-1)).numpy(), slow, rtol=1e-4)
    full = [1000 * np.linalg.norm(a - b, axis=1).mean() for a, b in zip(*meshes, strict=True)]
    assert np.allclose(pve_t(found, truth, body).numpy(), full, rtol=1e-4)
    assert (pve_t(found, found, body) == 0).all()


def test_acceleration_against_a_slow_twin():
    g = torch.Generator().manual_seed(2)
    a, b = torch.randn(2, 9, 5, 3, generator=g, dtype=torch.float64).unbind(0)
    seen = torch.tensor([True, True, True, True, False, True, True, True, False])
    x, y = a.numpy(), b.numpy()
    slow = [
        np.mean(
            [
                math.dist(x[t + 1, j] - 2 * x[t, j] + x[t - 1, j], y[t + 1, j] - 2 * y[t, j] + y[t - 1, j])
                for j in range(5)
            ]
        )
        for t in range(1, 8)
    ]
    assert close(acceleration_error(a, b), 1000 * np.mean(slow))
    assert close(acceleration_error(a, b, fps=30), 900 * 1000 * np.mean(slow))
    assert close(acceleration_error(a, b, seen), 1000 * np.mean([slow[0], slow[1], slow[5]]))
    assert acceleration_error(a, b, ~seen).isnan()


def test_steady_motion_has_no_acceleration():
    steady = A[:1] + torch.arange(8.0, dtype=torch.float64)[:, None, None] * 0.1
    assert acceleration_error(steady, A[:1].expand(8, 24, 3)) < 1e-9
    bent = steady.clone()
    bent[4, :, 0] += 0.001
    assert abs(float(acceleration_error(bent, steady)) - (1 + 2 + 1) / 6) < 1e-9


def test_pck_by_hand():
    errors = torch.tensor([0.0, 149.9, 150, 151, torch.inf, torch.nan])
    assert float(pck(errors)) == pytest.approx(2 / 5), "150 mm is a miss, the unknown joint does not count"
    assert float(pck(errors, 151)) == pytest.approx(3 / 5)
    assert float(pck(errors, 0)) == 0


def test_auc_by_hand_and_by_a_slow_twin():
    assert len(AUC_MM) == 31
    assert float(auc(torch.zeros(5))) == pytest.approx(30 / 31), "nothing is nearer than 0"
    assert float(auc(torch.tensor([150.0, torch.inf]))) == 0
    assert float(auc(torch.tensor([72.0]))) == pytest.approx(16 / 31), "75, 80, ..., 150"
    errors = joint_errors(3 * A, 3 * B)
    slow = [np.mean([sum(e < 5 * k for e in row) / 24 for k in range(31)]) for row in errors.tolist()]
    assert close(auc(errors), slow)


@given(st.lists(st.floats(0, 300), min_size=2, max_size=6), st.floats(0, 1))
@settings(deadline=None)
def test_nearer_is_never_worse(errors: list[float], closer: float):
    far = torch.tensor(errors, dtype=torch.float64)
    near = far * closer
    assert pck(near) >= pck(far)
    assert auc(near) >= auc(far)
    assert 0 <= auc(far) <= pck(far), "the last threshold of AUC is PCK's"
    assert pck(far, 100) <= pck(far, 200)


def test_pckh_by_hand():
    truth = torch.zeros(1, 4, 2)
    found = torch.tensor([[[0.0, 4], [0, 6], [3, 4], [100, 0]]])
    seen = torch.tensor([[True, True, True, False]])
    assert float(pckh(found, truth, seen, torch.tensor([10.0]))) == np.float32(2 / 3)


def test_head_size_is_ears_or_a_tenth_of_the_height():
    keypoints = torch.zeros(2, 17, 2)
    keypoints[:, 3, 0] = 30
    boxes = torch.tensor([[0.0, 0, 50, 200], [0, 0, 50, 200]])
    seen = torch.ones(2, 17, dtype=torch.bool)
    seen[1, 4] = False
    assert coco_head_size(keypoints, seen, boxes).tolist() == [30, 20]
