"""What protocols take of records, and what they say of those that they cannot take."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel, get_skeleton
from bodyloop.body.skeletons import MPI17, SMPL24, SPIN24
from bodyloop.data.part_maps import PartMap
from bodyloop.data.record import BodyLabel, Joints3D, Record
from bodyloop.errors import InputError
from bodyloop.evaluate.evaluation import UNLABELLED, joint_source
from bodyloop.evaluate.protocols import PROTOCOLS
from bodyloop.evaluate.truth import join_truths, models_of, truth_kind, truth_of
from bodyloop.evidence import DenseKeypoints
from made_up import random_bodies

H36M = PROTOCOLS["h36m-p1"]


def joints(skeleton, points: torch.Tensor, missing: str | None = None) -> Joints3D:
    mask = torch.ones(len(skeleton), dtype=torch.bool)
    if missing is not None:
        mask[skeleton.index(missing)] = False
    return Joints3D(skeleton, points, mask, "camera")


@pytest.fixture(scope="module")
def person(body: BodyModel) -> tuple[Record, Bodies]:
    bodies = random_bodies(1, dtype=torch.float32)
    points = joint_source(body, SPIN24)(bodies)[0]
    label = BodyLabel(bodies[0])
    return Record("d", "7", joints=joints(SPIN24, points), body=label, box=(0.0, 1.0, 2.0, 3.0)), bodies


def test_each_protocol_has_its_kind(person):
    record, _ = person
    kinds = {name: truth_kind(protocol, [record]) for name, protocol in PROTOCOLS.items()}
    assert kinds == {
        "h36m-p1": "joints", "h36m-p2": "joints", "mpi-inf-3dhp": "joints", "mupots-all": "joints",
        "mupots-matched": "joints", "3dpw": "bodies", "up-3d": "bodies", "lsp-segmentation": "masks",
        "coco-densepose": "dense",
    }  # fmt: skip
    rootless = replace(record, joints=joints(SPIN24, torch.zeros(24, 3), "pelvis_extra"))
    assert truth_kind(H36M, [rootless, replace(record, joints=None)]) == "bodies"
    assert truth_kind(H36M, [rootless, record]) == "joints"


@pytest.mark.parametrize("name", ["spin24", "h36m17_moon", "mpi17", "union45"])
def test_joints_go_by_name(body: BodyModel, name: str):
    skeleton, bodies = get_skeleton(name), random_bodies(1, dtype=torch.float32)
    points = joint_source(body, skeleton)(bodies)[0]
    truth = truth_of(Record("d", "7", joints=joints(skeleton, points, "left_wrist")), H36M, "joints")
    assert truth.skeleton is H36M.skeleton
    assert truth.seen is not None
    assert truth.joints is not None
    own = joint_source(body, H36M.skeleton)(bodies)
    assert [n for n, seen in zip(H36M.skeleton.keypoints, truth.seen[0], strict=True) if not seen] == [
        "left_wrist"
    ]
    assert torch.allclose(truth.joints[truth.seen], own[truth.seen], atol=1e-6)


def test_what_a_record_lacks_is_said(person):
    record, _ = person
    label = record.body
    for changed, kind, message in (
        (replace(record, joints=None), "joints", "no 3D joints"),
        (replace(record, joints=joints(SMPL24, torch.zeros(24, 3))), "joints", "without pelvis_extra"),
        (replace(record, body=None), "bodies", "no SMPL parameters"),
        (replace(record, body=replace(label, frame="world")), "bodies", "in the world's axes"),
        (replace(record, body=replace(label, has_betas=False)), "bodies", "without shape"),
        (record, "masks", "no map of LSP's six parts"),
        (replace(record, parts=PartMap(np.zeros((2, 2), np.uint8), "lsp")), "masks", "no silhouette beside"),
        (record, "dense", "no dense points"),
    ):
        with pytest.raises(InputError, match=message):
            truth_of(changed, H36M, kind)


def test_masks(person):
    record, _ = person
    labels = np.array([[0, 1, 6], [255, 3, 0]], np.uint8)
    silhouette = PartMap((labels > 0).astype(np.uint8), "person")
    truth = truth_of(replace(record, parts=PartMap(labels, "lsp"), silhouette=silhouette), H36M, "masks")
    assert truth.part_maps[0].tolist() == [[-1, 0, 5], [UNLABELLED, 2, -1]]
    assert truth.silhouettes[0].tolist() == [[False, True, True], [True, True, False]]


def test_people_are_joined(person):
    record, bodies = person
    dense = DenseKeypoints(
        torch.zeros(3, 2), torch.ones(3, dtype=torch.long), torch.zeros(3, 2), torch.ones(3)
    )
    both = [replace(record, id=name, dense=dense) for name in ("a", "b")]
    joined = join_truths([truth_of(r, H36M, "bodies") for r in both])
    assert joined.people == ("a", "b")
    assert joined.bodies is not None
    assert torch.equal(joined.bodies.betas, bodies.betas.repeat(2, 1))
    assert joined.joints is joined.boxes is None
    joined = join_truths([truth_of(r, H36M, "dense") for r in both])
    assert [len(points) for points in joined.dense] == [3, 3]
    assert joined.boxes is not None
    assert joined.boxes.tolist() == [[0, 1, 2, 3]] * 2
    assert join_truths([truth_of(r, H36M, "joints") for r in both]).joints.shape == (2, 17, 3)


def test_models_of_genders(body: BodyModel):
    female = replace(body, name="female")
    genders = ("female", "male", None, "neutral")
    assert models_of(genders, {"neutral": body}) == ()
    assert models_of(genders, {"neutral": body, "female": female}) == (female, body, body, body)


def test_the_test_sets_skeleton_is_a_skeleton():
    assert get_skeleton("mpi17") is MPI17 is PROTOCOLS["mupots-all"].skeleton
