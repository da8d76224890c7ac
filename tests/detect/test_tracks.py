"""People over time: who is who, gaps, cuts; and where a video is looked at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bodyloop.body import BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.detect.tracks import GONE_SECONDS, join_tracks
from bodyloop.detect.watch import SEARCH_EVERY, Watched, box_overlap, histogram, watch
from bodyloop.evidence import Evidence
from bodyloop.evidence.videos import VideoFrame
from bodyloop.geometry import Camera
from made_up_videos import Knowing, picture, walk

CAMERA = Camera.from_focal(150, 160, 96)
SHAPE = torch.rand(17, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([30.0, 80.0])


def frames_of(
    places: Sequence[dict[int, float]], cuts: Sequence[int] = (), fps: float = 30.0
) -> list[Watched]:
    """Frames that show people, told apart by a number, at the given x."""
    watched = []
    for number, people in enumerate(places):
        points = torch.stack([SHAPE + torch.tensor([x, 10.0 * who]) for who, x in people.items()] or [SHAPE])
        evidence = Evidence.from_keypoints(COCO17, points, torch.ones(points.shape[:2]))
        evidence = evidence[: len(people)]
        watched.append(Watched(number, number / fps, number in cuts, evidence, np.zeros(0)))
    return watched


def xs(watched: list[Watched], sightings: object) -> list[float]:
    return [
        round(float(watched[f].evidence.keypoints[r, 0, 0] - SHAPE[0, 0]))
        for f, r in zip(sightings.frames, sightings.rows, strict=True)  # type: ignore[attr-defined]
    ]


def test_two_people_who_pass_each_other_stay_themselves():
    """Rows change places whenever one is left of the other."""
    places = []
    for t in range(40):
        people = {0: 5.0 * t, 1: 200 - 5.0 * t}
        places.append(dict(sorted(people.items(), key=lambda p: p[1])))
    watched = frames_of(places)
    first, second = join_tracks(watched)
    assert xs(watched, first) == [5 * t for t in range(40)]
    assert xs(watched, second) == [200 - 5 * t for t in range(40)]


def test_a_gap_is_bridged_and_its_frames_are_unseen():
    watched = frames_of([{0: 4.0 * t} if not 10 <= t < 20 else {} for t in range(30)])
    (person,) = join_tracks(watched)
    assert person.frames == [*range(10), *range(20, 30)]
    evidence, times = person.evidence(watched)
    assert len(evidence) == len(times) == 30
    assert (evidence.confidence > 0).any(1).tolist() == [not 10 <= t < 20 for t in range(30)]
    assert evidence.boxes[10:20].isnan().all()
    assert times.dtype == torch.float64


def test_who_stays_away_is_somebody_else():
    away = int(GONE_SECONDS * 30) + 2
    watched = frames_of([{0: 0.0}] * 10 + [{}] * away + [{0: 0.0}] * 10)
    first, second = join_tracks(watched)
    assert first.frames == list(range(10))
    assert second.frames == list(range(10 + away, 20 + away))


def test_a_cut_ends_everybody():
    watched = frames_of([{0: 0.0, 1: 60.0}] * 20, cuts=[10])
    found = join_tracks(watched)
    assert [p.frames for p in found] == [list(range(10))] * 2 + [list(range(10, 20))] * 2


def test_false_finds_of_a_few_frames_are_left_out():
    watched = frames_of([{0: 0.0, **({1: 300.0} if t in (3, 4) else {})} for t in range(12)])
    (person,) = join_tracks(watched)
    assert len(person.frames) == 12
    assert len(join_tracks(watched, fewest=1)) == 2
    assert join_tracks([]) == []


def test_somebody_far_off_is_not_taken_for_the_one_who_left():
    watched = frames_of([{0: 0.0}] * 10 + [{0: 500.0}] * 10)
    assert [p.frames for p in join_tracks(watched)] == [list(range(10)), list(range(10, 20))]


def test_overlap_of_boxes():
    boxes = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [torch.nan] * 4])
    found = box_overlap(boxes, boxes)
    assert torch.allclose(found.diagonal()[:3], torch.ones(3))
    assert abs(float(found[0, 1]) - 1 / 3) < 1e-6
    assert found[0, 2] == 0
    assert found[3].eq(0).all()


def shown(numbers: Sequence[int], tint: int = 0) -> list[VideoFrame]:
    return [VideoFrame(n, n / 30, picture(n, tint=tint)) for n in numbers]


def test_people_are_searched_now_and_then_and_looked_at_in_between(body: BodyModel):
    count = 2 * SEARCH_EVERY + 3
    everywhere = range(count)
    people = [(walk(count, aside=-0.8), everywhere), (walk(count, aside=0.4), range(20, count))]
    detector = Knowing(body, people, CAMERA)
    watched = list(watch(detector, shown(everywhere)))
    searched = [number for number, whole in detector.calls if whole]
    assert searched == [0, SEARCH_EVERY, 2 * SEARCH_EVERY]
    assert [len(w.evidence) for w in watched] == [1] * 2 * SEARCH_EVERY + [2] * 3, "found at the next search"
    for w in watched:
        assert torch.allclose(w.evidence.keypoints[0], detector.keypoints[0][w.number], atol=1e-3)


def test_what_is_found_does_not_depend_on_where_one_begins(body: BodyModel, tmp_path: Path):
    count = 2 * SEARCH_EVERY
    people = [(walk(count), [n for n in range(count) if n not in (17, 18)])]
    whole = list(watch(Knowing(body, people, CAMERA), shown(range(count))))
    half = whole[SEARCH_EVERY - 1].colours
    later = list(watch(Knowing(body, people, CAMERA), shown(range(SEARCH_EVERY, count)), half))
    assert [len(w.evidence) for w in whole][SEARCH_EVERY:] == [len(w.evidence) for w in later]
    for a, b in zip(whole[SEARCH_EVERY:], later, strict=True):
        assert torch.equal(a.evidence.keypoints, b.evidence.keypoints)
        assert a.cut == b.cut


def test_a_cut_is_seen_and_searched_at_once(body: BodyModel):
    detector = Knowing(body, [(walk(12), range(12))], CAMERA)
    frames = shown(range(6)) + shown(range(6, 12), tint=150)
    watched = list(watch(detector, frames))
    assert [w.cut for w in watched] == [n == 6 for n in range(12)]
    assert [n for n, whole in detector.calls if whole] == [0, 6]


def test_histograms_are_shares():
    assert histogram(picture(3)).sum() == 1
    assert histogram(picture(3)).shape == (512,)
