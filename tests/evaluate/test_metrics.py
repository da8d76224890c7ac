import numpy as np
import torch

from bodyloop.evaluate.metrics import coco_head_size, mpjpe, pa_mpjpe, pckh, pve
from bodyloop.geometry import axis_angle_to_rotmat

G = torch.Generator().manual_seed(0)
A = torch.randn(4, 24, 3, generator=G, dtype=torch.float64)
B = A + torch.randn(4, 24, 3, generator=G, dtype=torch.float64) * 0.05


def test_mpjpe_against_a_slow_twin():
    slow = []
    for a, b in zip(A.numpy(), B.numpy(), strict=True):
        slow.append(np.mean([np.linalg.norm((a[j] - a[0]) - (b[j] - b[0])) for j in range(24)]) * 1000)
    assert np.allclose(mpjpe(A, B).numpy(), slow)


def test_mpjpe_ignores_translation_and_pa_ignores_similarity():
    turn = axis_angle_to_rotmat(torch.tensor([0.4, 0.2, -1.0], dtype=torch.float64))
    moved = 1.3 * A @ turn.T + 5
    assert torch.allclose(mpjpe(A + 3, A), torch.zeros(4, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(pa_mpjpe(moved, A), torch.zeros(4, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(pa_mpjpe(moved, B), pa_mpjpe(A, B))
    assert (pa_mpjpe(A, B) <= mpjpe(A, B)).all()


def test_a_millimetre_is_a_millimetre():
    off = A.clone()
    off[:, 1:, 0] += 0.001
    assert torch.allclose(mpjpe(off, A), torch.full((4,), 23 / 24, dtype=torch.float64))
    assert torch.allclose(pve(A + 0.001, A, A[:, 0], A[:, 0]), torch.full((4,), 3**0.5, dtype=torch.float64))


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
