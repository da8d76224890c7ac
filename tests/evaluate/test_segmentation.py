"""Part maps compared: slow twins in plain loops, cases known by hand, laws."""

import numpy as np
import pytest
import torch
from torch import Tensor

from bodyloop.body import BodyModel, face_parts
from bodyloop.body.parts import PARTITIONS
from bodyloop.evaluate.segmentation import Confusion, confusion, draw_parts
from bodyloop.geometry import Camera
from bodyloop.raster import part_map, rasterize
from made_up import random_bodies

PARTS = ("a", "b", "c")
CAMERA = Camera.from_focal(120, 48, 56)


def random_maps(seed: int = 0, people: int = 3, parts: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Found, true, and what is ignored, (people, 9, 11); the second person has no part c at all."""
    g = torch.Generator().manual_seed(seed)
    found, truth = torch.randint(-1, parts, (2, people, 9, 11), generator=g).unbind(0)
    if parts == 3 and people > 1:
        found[1], truth[1] = found[1].clamp_max(1), truth[1].clamp_max(1)
    return found, truth, torch.rand(people, 9, 11, generator=g) < 0.2


class SlowCounts:
    """True and false positives and false negatives by class, one pixel after the other."""

    def __init__(self, found: Tensor, truth: Tensor, ignore: Tensor, classes: int) -> None:
        self.tp, self.fp, self.fn = (np.zeros(classes) for _ in range(3))
        self.right = self.right_with_ignored = self.known = self.all = 0
        for f, t, hidden in zip(
            found.flatten().tolist(), truth.flatten().tolist(), ignore.flatten().tolist(), strict=True
        ):
            self.all += 1
            self.right_with_ignored += f == (-1 if hidden else t)
            if hidden:
                continue
            self.known += 1
            self.right += f == t
            for c in range(classes):
                self.tp[c] += f == t == c - 1
                self.fp[c] += f == c - 1 != t
                self.fn[c] += t == c - 1 != f

    def f1(self) -> float:
        scores = []
        for tp, fp, fn in zip(self.tp, self.fp, self.fn, strict=True):
            if tp + fp + fn:
                precision, recall = tp / max(tp + fp, 1), tp / max(tp + fn, 1)
                scores.append(2 * precision * recall / (precision + recall) if tp else 0.0)
        return float(np.mean(scores))

    def iou(self) -> float:
        rows = zip(self.tp[1:], self.fp[1:], self.fn[1:], strict=True)
        return float(np.mean([tp / (tp + fp + fn) for tp, fp, fn in rows if tp + fp + fn]))


@pytest.mark.parametrize("seed", range(3))
def test_figures_against_a_slow_twin(seed: int):
    found, truth, ignore = random_maps(seed)
    counts = confusion(found, truth, PARTS, ignore)
    whole = SlowCounts(found, truth, ignore, 4)
    pooled = counts.pooled()
    assert float(pooled.f1()) == pytest.approx(whole.f1(), abs=1e-12)
    assert float(pooled.iou()) == pytest.approx(whole.iou(), abs=1e-12)
    assert float(pooled.accuracy()) == pytest.approx(whole.right / whole.known)
    assert float(pooled.accuracy(True)) == pytest.approx(whole.right_with_ignored / whole.all)
    for i in range(3):
        slow = SlowCounts(found[i], truth[i], ignore[i], 4)
        assert float(counts.f1()[i]) == pytest.approx(slow.f1(), abs=1e-12)
        assert float(counts.iou()[i]) == pytest.approx(slow.iou(), abs=1e-12)
        assert float(counts.accuracy()[i]) == pytest.approx(slow.right / slow.known)


def test_by_hand():
    truth = torch.tensor([[[-1, -1, 0, 0], [-1, -1, 1, 1]]])
    found = torch.tensor([[[-1, 0, 0, 0], [-1, -1, 1, -1]]])
    counts = confusion(found, truth, ("left", "right"))
    assert counts.classes == ("background", "left", "right")
    assert counts.counts[0].tolist() == [[3, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert float(counts.accuracy()) == 6 / 8
    assert counts.class_iou()[0].tolist() == [3 / 5, 2 / 3, 1 / 2]
    assert float(counts.iou()) == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert counts.class_f1()[0].tolist() == [6 / 8, 4 / 5, 2 / 3]
    assert float(counts.foreground().iou()) == 3 / 5, "three of five pixels that either has"


def test_the_same_map_is_right_and_iou_is_symmetric():
    found, truth, _ = random_maps()
    same = confusion(truth, truth, PARTS)
    for figure in (same.accuracy(), same.f1(), same.iou()):
        assert torch.equal(figure, torch.ones(3, dtype=torch.float64))
    there, back = confusion(found, truth, PARTS), confusion(truth, found, PARTS)
    assert torch.equal(there.class_iou().nan_to_num(), back.class_iou().nan_to_num())
    assert torch.equal(there.class_f1().nan_to_num(), back.class_f1().nan_to_num())
    assert (there.class_iou() <= there.class_f1()).logical_or(there.class_iou().isnan()).all()


def test_a_part_that_nobody_has_does_not_count_and_one_found_wrongly_does():
    nobody = torch.full((1, 4, 4), -1)
    somebody = nobody.clone()
    somebody[0, 0, 0] = 0
    empty = confusion(nobody, nobody, PARTS)
    assert empty.iou().isnan().all()
    assert float(empty.f1()) == 1, "the background is right"
    assert float(empty.accuracy()) == 1
    assert float(confusion(somebody, nobody, PARTS).iou()) == 0
    unknown = confusion(somebody, somebody, PARTS, torch.ones(1, 4, 4, dtype=torch.bool))
    for figure in (unknown.accuracy(), unknown.f1(), unknown.iou()):
        assert figure.isnan().all()
    assert float(unknown.accuracy(True)) == 15 / 16, "the unknown counts as background"
    assert confusion(nobody[:, :0], nobody[:, :0], PARTS).iou().isnan().all()
    assert confusion(nobody[:0], nobody[:0], PARTS).counts.shape == (0, 4, 4)


def test_any_leading_dimensions():
    found, truth, ignore = random_maps(people=4)
    many = confusion(*(m.reshape(2, 2, 9, 11) for m in (found, truth)), PARTS, ignore.reshape(2, 2, 9, 11))
    assert torch.equal(many.counts, confusion(found, truth, PARTS, ignore).counts.reshape(2, 2, 4, 4))
    assert many.iou().shape == (2, 2)
    one = confusion(found[0], truth[0], PARTS, ignore[0])
    assert torch.equal(one.counts, many.counts[0, 0])


def test_wrong_maps_are_refused():
    found, truth, ignore = random_maps()
    with pytest.raises(ValueError, match="one shape"):
        confusion(found[:2], truth, PARTS)
    with pytest.raises(ValueError, match="found has labels -1 to 7"):
        confusion(found.clone().index_fill_(2, torch.tensor([0]), 7), truth, PARTS)
    with pytest.raises(ValueError, match="truth has labels"):
        confusion(found, truth - 1, PARTS)
    strange = torch.where(ignore, 255, truth)
    assert torch.equal(
        confusion(found, strange, PARTS, ignore).counts, confusion(found, truth, PARTS, ignore).counts
    )
    with pytest.raises(ValueError, match="only counts of the partition 'smpl'"):
        confusion(found, truth, PARTS).merged("lsp")
    with pytest.raises(ValueError, match="need counts"):
        Confusion(PARTS, torch.zeros(2, 2), torch.zeros(2))


@pytest.mark.parametrize("name", PARTITIONS)
def test_merging_counts_is_merging_maps(name: str):
    found, truth, ignore = random_maps(parts=24)
    fine = confusion(found, truth, PARTITIONS["smpl"].parts, ignore)
    table = torch.tensor([*PARTITIONS[name].part_of_joint, -1])
    coarse = confusion(table[found], table[truth], PARTITIONS[name].parts, ignore)
    merged = fine.merged(name)
    assert merged.classes == coarse.classes
    assert torch.equal(merged.counts, coarse.counts)
    assert torch.equal(merged.ignored, coarse.ignored)
    assert torch.equal(merged.foreground().counts, fine.foreground().counts)


def test_bodies_are_drawn_a_few_at_a_time(body: BodyModel):
    bodies = random_bodies(5, dtype=torch.float32)
    truth = part_map(rasterize(body.vertices(bodies), body.faces, CAMERA), face_parts(body, "lsp"))
    assert torch.equal(torch.cat(list(draw_parts(bodies, CAMERA, body, "lsp", chunk=2))), truth)
