"""Matching and scoring of several people in a frame, by hand and against plain loops."""

import math

import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.body.skeletons import MPI17
from bodyloop.errors import InputError
from bodyloop.evaluate.evaluation import joint_source
from bodyloop.evaluate.mupots import MupotsFrame, match_people, mupots_scores, with_true_bones
from bodyloop.evaluate.protocols import PROTOCOLS
from bodyloop.geometry import Camera
from made_up import random_bodies

CAMERA = Camera.from_focal(1500, 2048, 2048)
HIT = 14
"""Joints that count."""


@pytest.fixture(scope="module")
def people(body: BodyModel) -> torch.Tensor:
    """Five people's 17 joints, metres, two metres apart."""
    joints = joint_source(body, MPI17)(random_bodies(5, dtype=torch.float32)).double()
    joints[..., 0] += torch.arange(5)[:, None] * 2.0
    return joints


def frame(truth: torch.Tensor, found: torch.Tensor, sequence: str = "TS1", number: int = 0) -> MupotsFrame:
    return MupotsFrame(sequence, number, CAMERA.project(truth), truth, CAMERA.project(found), found)


def test_matching_by_hand():
    truth = torch.zeros(2, 3, 2)
    truth[1] += 100
    near, nearer = torch.full((3, 2), 39.0), torch.zeros(3, 2)
    near[0], nearer[0] = 41, torch.nan
    assert match_people(torch.stack([near, nearer]), truth) == [0, -1], (
        "two joints met each; the first of equals"
    )
    nearer[0] = 39
    assert match_people(torch.stack([near, nearer]), truth) == [1, -1]
    assert match_people(torch.stack([nearer, nearer + 100]), truth.flip(0)) == [1, 0]
    assert match_people(nearer[None], torch.stack([truth[0], truth[0]])) == [0, -1], "nobody is taken twice"
    assert match_people(torch.zeros(0, 3, 2), truth) == [-1, -1]
    aside = torch.tensor([[[39.0, 41]] * 3])
    assert match_people(aside, truth) == [-1, -1], "both coordinates have to be near"


def test_true_bones(people: torch.Tensor):
    found, truth = people[0], people[1]
    moved = with_true_bones(found, truth)
    parent = {"left_knee": "left_hip_extra", "head_extra": "neck_extra", "neck_extra": "spine_extra"}
    for name, above in parent.items():
        i, j = MPI17.index(name), MPI17.index(above)
        assert math.dist(moved[i], moved[j]) == pytest.approx(math.dist(truth[i], truth[j]))
        one, other = moved[i] - moved[j], found[i] - found[j]
        assert torch.cosine_similarity(one, other, 0) > 1 - 1e-9
    root = MPI17.index("pelvis_extra")
    assert torch.equal(moved[root], found[root])
    assert torch.allclose(with_true_bones(truth, truth), truth)
    grown = 1.2 * truth
    assert torch.allclose(with_true_bones(grown, truth) - grown[root], truth - truth[root])
    assert torch.allclose(with_true_bones(people, people.flip(0))[1], with_true_bones(people[1], people[3]))


def test_all_and_matched(people: torch.Tensor):
    """Of three people one is found exactly, one with a wrist astray, one by nobody."""
    found = people[:2].clone()
    found[1, MPI17.index("left_wrist"), 1] += 5
    frames = [frame(people[:3], found.flip(0))]
    whole = mupots_scores(PROTOCOLS["mupots-all"], frames)
    assert whole.people == ("TS1/0/0", "TS1/0/1", "TS1/0/2")
    assert whole.values["pck"].tolist() == pytest.approx([1, (HIT - 1) / HIT, 0])
    assert whole.mean("pck") == pytest.approx((1 + (HIT - 1) / HIT) / 3)
    matched = mupots_scores(PROTOCOLS["mupots-matched"], frames)
    assert matched.values["pck"].isnan().tolist() == [False, False, True]
    assert matched.mean("pck") == pytest.approx((1 + (HIT - 1) / HIT) / 2)
    assert matched.joint_errors[2].isnan().all()
    assert float(matched.values["pa_mpjpe_mm"][0]) < 1e-6


def test_the_root_and_the_place(people: torch.Tensor):
    """A person half a metre too far along their ray is right but for the place."""
    far = people[:1] * 1.1
    scores = mupots_scores(PROTOCOLS["mupots-all"], [frame(people[:1], far)])
    assert float(scores.values["pck"]) == 1
    assert float(scores.values["pck_abs"]) == 0
    assert float(scores.values["auc"]) == pytest.approx(30 / 31)


def test_sequences_count_the_same(people: torch.Tensor):
    missing = people[:0]
    frames = [
        frame(people[:1], people[:1], "TS1"),
        *(frame(people[:1], missing, "TS2", i) for i in range(3)),
        MupotsFrame(
            "TS3", 0, *(torch.zeros(0, 17, d) for d in (2, 3)), *(torch.zeros(0, 17, d) for d in (2, 3))
        ),
    ]
    scores = mupots_scores(PROTOCOLS["mupots-all"], frames)
    assert scores.groups == ("TS1", "TS2", "TS2", "TS2")
    assert scores.mean("pck") == 0.5
    assert scores.to_json()["people"][1]["group"] == "TS2"


def test_bad_frames_are_refused(people: torch.Tensor):
    with pytest.raises(InputError, match="expected a protocol of MuPoTS, got '3dpw'"):
        mupots_scores(PROTOCOLS["3dpw"], [])
    with pytest.raises(InputError, match="at least one annotated person"):
        mupots_scores(PROTOCOLS["mupots-all"], [])
    with pytest.raises(InputError, match="TS1, frame 0: found joints hold NaN"):
        mupots_scores(PROTOCOLS["mupots-all"], [frame(people[:1], people[:1] * torch.nan)])
    with pytest.raises(ValueError, match="a frame needs true joints"):
        frame(people[:, :5], people)
