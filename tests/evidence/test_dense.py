from dataclasses import replace

import numpy as np
import pytest
import torch

from bodyloop.evidence import DenseKeypoints, IuvMap, disturbed, sample_dense, swapped_limbs, thinned
from drawn_iuv import drawn


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def middle_points(n):
    return DenseKeypoints(
        torch.rand(n, 2, generator=seeded()),
        torch.ones(n, dtype=torch.int64),
        torch.full((n, 2), 0.5),
        torch.ones(n),
    )


def equal(a, b):
    names = ("pixels", "part", "uv", "weight")
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in names)


@pytest.mark.parametrize("by_part", [False, True])
def test_samples_are_distinct_pixels_of_the_map(by_part):
    iuv = drawn()
    points = sample_dense(iuv, seeded(), 500, by_part)
    x, y = points.pixels.long().numpy().T
    assert len(points) == 500 == len(set(zip(x.tolist(), y.tolist(), strict=True)))
    assert np.array_equal(iuv.part[y, x], points.part.numpy())
    assert np.array_equal(iuv.uv[y, x], points.uv.numpy())
    assert (points.weight == 1).all()


@pytest.mark.parametrize("by_part", [False, True])
def test_seeds(by_part):
    a, b, c = (sample_dense(drawn(), seeded(s), by_part=by_part) for s in (3, 3, 4))
    assert equal(a, b)
    assert not torch.equal(a.pixels[:50], c.pixels[:50])


def test_as_many_as_annotators_click():
    counts = {len(sample_dense(drawn(), seeded(s))) for s in range(200)}
    assert min(counts) >= 100
    assert max(counts) <= 150
    assert len(counts) > 40


def test_all_pixels_have_the_same_chance():
    iuv = drawn()
    seen = np.zeros(iuv.part.shape)
    for seed in range(400):
        x, y = sample_dense(iuv, seeded(seed), 150).pixels.long().numpy().T
        seen[y, x] += 1
    for part in np.unique(iuv.part[iuv.foreground]):
        area = (iuv.part == part).sum() / iuv.foreground.sum()
        share = seen[iuv.part == part].sum() / seen.sum()
        assert abs(share - area) < 5 * np.sqrt(area / seen.sum())


def test_all_parts_have_the_same_share_by_part():
    iuv = drawn()
    parts = len(np.unique(iuv.part)) - 1
    counts = np.bincount(sample_dense(iuv, seeded(), 10 * parts + 3, by_part=True).part)
    assert sorted(counts[counts > 0].tolist()) == [10] * (parts - 3) + [11] * 3
    few = iuv.part.copy()
    few[np.nonzero(few == 23)[0][5:], np.nonzero(few == 23)[1][5:]] = 0
    counts = np.bincount(sample_dense(replace(iuv, part=few), seeded(), 10 * parts, by_part=True).part)
    assert counts[23] == 5
    assert counts.sum() == 10 * parts


def test_small_and_empty_maps():
    part = np.zeros((8, 8), np.uint8)
    iuv = IuvMap(part, np.zeros((8, 8, 2)))
    assert len(sample_dense(iuv, seeded())) == 0
    part = part.copy()
    part[2, 3:6] = 7
    points = sample_dense(IuvMap(part, np.zeros((8, 8, 2)), (9.5, 19.5, 25.5, 35.5)), seeded())
    assert sorted(points.pixels.tolist()) == [[16.5, 24.5], [18.5, 24.5], [20.5, 24.5]]
    assert len(sample_dense(drawn(), seeded(), 0)) == 0
    for count in (-1, (5, 4)):
        with pytest.raises(ValueError, match="count"):
            sample_dense(drawn(), seeded(), count)


@pytest.mark.parametrize("sigma", [5.0, 10.0, 20.0, 40.0])
def test_noise_has_its_size(sigma):
    points = middle_points(20000)
    noisy = disturbed(points, sigma, seeded())
    change = (noisy.uv - points.uv) * 255
    assert float(change.std()) == pytest.approx(sigma, rel=0.02)
    assert abs(float(change.mean())) < 4 * sigma / 200
    assert abs(float(np.corrcoef(change.numpy().T)[0, 1])) < 0.03
    assert torch.equal(noisy.part, points.part)
    assert torch.equal(noisy.pixels, points.pixels)
    assert equal(noisy, disturbed(points, sigma, seeded()))


def test_noise_is_clipped():
    noisy = disturbed(middle_points(2000), 400, seeded())
    assert float(noisy.uv.min()) == 0
    assert float(noisy.uv.max()) == 1
    assert equal(disturbed(middle_points(9), 0, seeded()), middle_points(9))
    for sigma in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="sigma"):
            disturbed(middle_points(2), sigma, seeded())


def test_thinning():
    points = sample_dense(drawn(), seeded(), 120)
    sets = [{tuple(p) for p in thinned(points, seeded(1), share=s).pixels.tolist()} for s in (0, 0.1, 0.6, 1)]
    assert [len(s) for s in sets] == [0, 12, 72, 120]
    assert sets[0] < sets[1] < sets[2] < sets[3]
    assert equal(thinned(points, seeded(1), share=0.1), thinned(points, seeded(1), count=12))
    assert equal(thinned(points, seeded(1), count=1000), points)
    assert not equal(thinned(points, seeded(1), count=12), thinned(points, seeded(2), count=12))
    for options in ({}, {"share": 0.5, "count": 5}, {"share": 1.5}, {"share": float("nan")}, {"count": -1}):
        with pytest.raises(ValueError, match="share"):
            thinned(points, seeded(), **options)


def test_every_point_has_the_same_chance_to_stay():
    points = replace(middle_points(50), pixels=torch.arange(100.0).reshape(50, 2))
    kept = torch.zeros(50)
    for seed in range(1000):
        kept[(thinned(points, seeded(seed), share=0.3).pixels[:, 0] / 2).long()] += 1
    assert (kept / 1000 - 0.3).abs().max() < 5 * np.sqrt(0.21 / 1000)


@pytest.mark.parametrize("limbs", [("arm",), ("leg",), ("foot", "hand"), ("arm", "lower_arm"), ()])
def test_swapping_twice_gives_the_map_back(limbs):
    iuv = drawn()
    swapped, wrong = swapped_limbs(iuv, seeded(), limbs, 1.0)
    assert wrong.any() == bool(limbs)
    assert np.array_equal(wrong, swapped.part != iuv.part)
    assert np.array_equal(swapped.foreground, iuv.foreground)
    back, again = swapped_limbs(swapped, seeded(), limbs, 1.0)
    assert np.array_equal(back.part, iuv.part)
    assert np.array_equal(again, wrong)


def test_one_side_alone_leaves_two_limbs_of_one_side():
    iuv = drawn()
    seen = set()
    for seed in range(20):
        swapped, _ = swapped_limbs(iuv, seeded(seed), ("foot",), 1.0, both_sides=False)
        seen.add(tuple(np.unique(swapped.part[np.isin(iuv.part, (5, 6))]).tolist()))
    assert seen == {(5,), (6,)}


def test_the_chance_of_a_swap():
    iuv = drawn()
    fates = [swapped_limbs(iuv, seeded(s), chance=0.3)[1] for s in range(300)]
    for part in (10, 18):
        share = np.mean([wrong[iuv.part == part].all() for wrong in fates])
        assert abs(share - 0.3) < 5 * np.sqrt(0.21 / 300)
    assert not swapped_limbs(iuv, seeded(), chance=0.0)[1].any()


@pytest.mark.parametrize("options", [{"limbs": ("wing",)}, {"chance": 1.1}, {"chance": float("nan")}])
def test_wrong_swaps_are_refused(options):
    with pytest.raises(ValueError, match="limbs must be"):
        swapped_limbs(drawn(), seeded(), **options)


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": torch.zeros(3, 2)},
        {"part": torch.ones(2)},
        {"part": torch.tensor([0, 1])},
        {"part": torch.tensor([1, 25])},
        {"uv": torch.full((2, 2), 1.1)},
        {"uv": torch.full((2, 2), torch.nan)},
        {"pixels": torch.full((2, 2), torch.inf)},
        {"weight": torch.tensor([1.0, -1.0])},
    ],
)
def test_wrong_points_are_refused(change):
    with pytest.raises(ValueError, match="dense keypoints need"):
        replace(middle_points(2), **change)


def test_points_in_another_precision():
    points = middle_points(3).to(torch.float64)
    assert points.uv.dtype == points.pixels.dtype == points.weight.dtype == torch.float64
    assert points.part.dtype == torch.int64
    assert len(points[:2]) == 2
    assert len(points[torch.tensor([True, False, True])]) == 2
