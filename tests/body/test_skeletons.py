import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bodyloop.body import SKELETONS, SMPL_FLIP, BodyModel, convert, get_skeleton

NAMES = st.sampled_from(sorted(SKELETONS))


@pytest.mark.parametrize(
    ("name", "count"),
    [("coco17", 17), ("openpose25", 25), ("mediapipe33", 33), ("spin49", 49), ("h36m17", 17), ("lsp14", 14),
     ("mpii16", 16), ("smpl24", 24)],
)  # fmt: skip
def test_sizes(name: str, count: int):
    assert len(get_skeleton(name)) == count


@given(NAMES)
def test_flip_is_its_own_inverse_and_swaps_sides(name: str):
    skeleton = SKELETONS[name]
    assert [skeleton.flip[i] for i in skeleton.flip] == list(range(len(skeleton)))
    for i, j in enumerate(skeleton.flip):
        assert ("left" in skeleton.keypoints[i]) == ("right" in skeleton.keypoints[j])


def test_published_flips():
    assert get_skeleton("smpl24").flip == SMPL_FLIP
    assert get_skeleton("spin24").flip == (
        5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13, 14, 15, 16, 17, 18, 19, 21, 20, 23, 22,
    )  # fmt: skip
    assert get_skeleton("spin49").flip[:25] == (
        0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21,
    )  # fmt: skip


def test_spins_published_maps_to_its_24_joints():
    published = {
        "coco17": (19, 20, 21, 22, 23, 9, 8, 10, 7, 11, 6, 3, 2, 4, 1, 5, 0),
        "mpii16": (0, 1, 2, 3, 4, 5, 14, 15, 12, 13, 6, 7, 8, 9, 10, 11),
        "lsp14": tuple(range(14)),
        "h36m17": (14, 3, 4, 5, 2, 1, 0, 16, 12, 17, 18, 9, 10, 11, 8, 7, 6),
    }
    spin = get_skeleton("spin24").keypoints
    for name, places in published.items():
        assert get_skeleton(name).keypoints == tuple(spin[i] for i in places)


@given(NAMES, NAMES)
def test_conversion_there_and_back_keeps_the_common_points(first: str, second: str):
    a, b = SKELETONS[first], SKELETONS[second]
    points = torch.randn(3, len(a), 2)
    there, mask = convert(points, None, a, b)
    back, common = convert(there, mask, b, a)
    for i, name in enumerate(a.keypoints):
        shared = name in b.keypoints
        assert bool((common[:, i] == float(shared)).all())
        if shared and a.keypoints.count(name) == 1:
            assert torch.equal(back[:, i], points[:, i])


def test_the_more_certain_copy_wins():
    spin = get_skeleton("spin49")
    nose = [i for i, n in enumerate(spin.keypoints) if n == "nose"]
    points, mask = torch.zeros(49, 2), torch.zeros(49)
    points[nose[0]], points[nose[1]] = 1.0, 2.0
    mask[nose[0]], mask[nose[1]] = 0.3, 0.9
    there, confidence = convert(points, mask, spin, get_skeleton("coco17"))
    assert there[0].tolist() == [2, 2]
    assert float(confidence[0]) == pytest.approx(0.9)


def test_messages_help():
    with pytest.raises(KeyError, match="known: coco17"):
        get_skeleton("coco18")
    with pytest.raises(KeyError, match="it has nose"):
        get_skeleton("coco17").index("pelvis")
    with pytest.raises(ValueError, match="has 17 keypoints, got 16"):
        convert(torch.zeros(16, 2), None, SKELETONS["coco17"], SKELETONS["lsp14"])


@given(NAMES)
def test_the_builtin_body_knows_every_landmark(body: BodyModel, name: str):
    points, known = body.keypoints(SKELETONS[name])
    assert known.all()
    assert len(points) == len(SKELETONS[name])
