"""From maps of a photo to each person's surface."""

from dataclasses import replace

import numpy as np
import torch

from bodyloop.annotate import surfaces_of
from bodyloop.annotate.surfaces import LONGEST_PX
from bodyloop.body.atlas import builtin_atlas
from bodyloop.evidence import Evidence, IuvMap, PartMap
from drawn_iuv import drawn, standing

ATLAS = builtin_atlas()


def beside(left: IuvMap, right: IuvMap, numbered: bool = False) -> IuvMap:
    """Two maps in one, and the people's numbers 3 and 1 if asked."""
    part, uv = np.concatenate([left.part, right.part], 1), np.concatenate([left.uv, right.uv], 1)
    width = left.size[0]
    number = np.where(np.arange(part.shape[1]) < width, 3, 1) * np.ones((len(part), 1), int)
    return IuvMap(part, uv, instance=np.where(part > 0, number, -1) if numbered else None)


def two(gap: float) -> Evidence:
    """The drawn person twice, the second `gap` pixels to the right."""
    one = standing()
    return Evidence.from_keypoints(
        one.skeleton,
        torch.cat([one.keypoints, one.keypoints + torch.tensor([gap, 0.0])]),
        torch.cat([one.confidence, one.confidence]),
        labels=("left", "right"),
    )


def test_a_lone_person_has_the_whole_map():
    surfaces, notes = surfaces_of(standing(), drawn(), PartMap.from_iuv(drawn()), ATLAS)
    (surface,) = surfaces
    assert notes == []
    assert 100 <= len(surface) <= 150
    rows, columns = surface.pixels[:, 1].long(), surface.pixels[:, 0].long()
    assert (drawn().part[rows, columns] > 0).all()
    assert surface.targets is not None
    assert surface.parts == "densepose"


def test_parts_are_where_they_are_in_the_photo():
    labels = PartMap.from_iuv(drawn())
    (surface,), _ = surfaces_of(standing(), None, labels, None)
    assert surface.targets is not None
    assert len(surface) == 0
    height, width = surface.targets.nearest.shape[1:]
    assert max(height, width) <= LONGEST_PX
    for k in range(14):
        first, last = surface.targets.first[k : k + 2].tolist()
        x, y = (surface.targets.pixels[first:last] * surface.scale + torch.tensor(surface.origin)).T.long()
        assert (labels.labels[y, x] == k + 1).all()


def test_seeds_draw():
    one, same, other = (
        surfaces_of(standing(), drawn(), None, ATLAS, seed)[0][0].pixels for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_people_are_told_apart_by_their_numbers():
    people = beside(drawn(), drawn(), numbered=True)
    surfaces, notes = surfaces_of(two(240), people, PartMap.from_iuv(people), ATLAS)
    assert notes == []
    assert surfaces[0].pixels[:, 0].max() < 240 <= surfaces[1].pixels[:, 0].min()
    assert surfaces[0].origin[0] < 240 <= surfaces[1].origin[0]


def test_people_are_told_apart_by_their_boxes():
    people = beside(drawn(), drawn())
    surfaces, notes = surfaces_of(two(240), people, None, ATLAS)
    assert surfaces[0].pixels[:, 0].max() < 240 <= surfaces[1].pixels[:, 0].min()
    surfaces, notes = surfaces_of(two(60), beside(drawn(), drawn()), None, ATLAS)
    assert any("several people's boxes" in note for note in notes)


def test_who_is_not_on_the_map_gets_nothing():
    alone = beside(drawn(), drawn().without(np.ones(drawn().part.shape, bool)))
    surfaces, notes = surfaces_of(two(240), alone, PartMap.from_iuv(alone), ATLAS)
    assert [bool(s) for s in surfaces] == [True, False]
    assert notes == ["person right: the map shows nothing of them"] * 2


def test_limbs_of_the_other_side_are_left_out():
    swapped = drawn().part.copy()
    arms = {15: 16, 16: 15, 17: 18, 18: 17, 19: 20, 20: 19, 21: 22, 22: 21, 3: 4, 4: 3}
    for old, new in arms.items():
        swapped[drawn().part == old] = new
    wrong = replace(drawn(), part=swapped)
    (raw,), notes = surfaces_of(standing(), wrong, None, ATLAS, refine=False)
    assert notes == []
    (refined,), notes = surfaces_of(standing(), wrong, None, ATLAS)
    assert any("contradict" in note for note in notes)

    def on_arms(pixels: torch.Tensor) -> int:
        part = swapped[pixels[:, 1].long(), pixels[:, 0].long()]
        return int(np.isin(part, [i for i in arms if i > 4]).sum())

    assert on_arms(raw.pixels) > 0
    assert on_arms(refined.pixels) == 0


def test_a_map_of_a_box_is_placed():
    box = (100.0, 50.0, 220.0, 210.0)
    placed = replace(drawn(), box=box)
    one = standing()
    keypoints = (one.keypoints + 0.5) * 0.5 + torch.tensor(box[:2])
    evidence = Evidence.from_keypoints(one.skeleton, keypoints, one.confidence)
    (surface,), _ = surfaces_of(evidence, placed, None, ATLAS)
    inside = (surface.pixels > torch.tensor(box[:2])) & (surface.pixels < torch.tensor(box[2:]))
    assert inside.all()
