"""Protocols run on small made-up people."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import Atlas, Bodies, BodyModel, builtin_atlas, face_parts
from bodyloop.body.skeletons import H36M17, SPIN24
from bodyloop.errors import InputError
from bodyloop.evaluate.evaluation import UNLABELLED, Truth, evaluate_bodies, joint_source
from bodyloop.evaluate.metrics import auc, joint_errors, mpjpe, pa_mpjpe, pck
from bodyloop.evaluate.protocols import J14, J17, PROTOCOLS
from bodyloop.evidence import DenseKeypoints
from bodyloop.geometry import Camera
from bodyloop.raster import part_map, rasterize
from made_up import random_bodies
from pretend_gpu import DEVICE, PretendedGpu

LABELS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def truth() -> Bodies:
    return random_bodies(4, dtype=torch.float32)


@pytest.fixture(scope="module")
def found(truth: Bodies) -> Bodies:
    other = random_bodies(4, seed=9, spread=0.15, dtype=torch.float32)
    turned = truth.rotations.clone()
    turned[:, 1:] = turned[:, 1:] @ other.rotations[:, 1:]
    return Bodies(turned, truth.betas + 0.3 * other.betas, truth.translation + 0.5)


@pytest.fixture(scope="module")
def regressor(body: BodyModel) -> torch.Tensor:
    """Positive weights of a joint and its surroundings, as real regressors are."""
    points, _ = body.keypoints(H36M17)
    rest = body.points(Bodies.rest(), points)
    weights = torch.exp(-torch.cdist(rest, body.v_template).square() / 0.01)
    return weights / weights.sum(1, keepdim=True)


def joints_of(bodies: Bodies, body: BodyModel, regressor: torch.Tensor) -> dict[str, torch.Tensor]:
    mesh = body.vertices(bodies).double()
    return dict(zip(H36M17.keypoints, (regressor.double() @ mesh).unbind(1), strict=True))


def stacked(places: dict[str, torch.Tensor], names: tuple[str, ...]) -> torch.Tensor:
    return torch.stack([places[name] - places["pelvis_extra"] for name in names], 1)


def given_joints(places: dict[str, torch.Tensor]) -> Truth:
    """As SPIN's files give them: 24 joints of which 17 are known, the pelvis at the origin."""
    joints, seen = torch.zeros(4, 24, 3), torch.zeros(4, 24, dtype=torch.bool)
    for i, name in enumerate(SPIN24.keypoints):
        if name in places and name in J17:
            joints[:, i] = (places[name] - places["pelvis_extra"]).float()
            seen[:, i] = True
    return Truth(LABELS, joints=joints, skeleton=SPIN24, seen=seen)


@pytest.mark.parametrize("name", ["h36m-p1", "h36m-p2", "mpi-inf-3dhp"])
def test_joints_from_a_file(name: str, found, truth, body, regressor):
    protocol = PROTOCOLS[name]
    scores = evaluate_bodies(
        protocol, found, given_joints(joints_of(truth, body, regressor)), body, regressor=regressor
    )
    assert tuple(scores.values) == protocol.metrics
    names = J14 if name.startswith("h36m") else J17
    a, b = (stacked(joints_of(bodies, body, regressor), names) for bodies in (found, truth))
    assert scores.joints == names
    assert torch.allclose(scores.values["mpjpe_mm"], mpjpe(a, b, None), atol=2e-3)
    assert torch.allclose(scores.values["pa_mpjpe_mm"], pa_mpjpe(a, b), atol=2e-3)
    if name == "mpi-inf-3dhp":
        errors = joint_errors(a, b, "none")[:, :14]
        assert torch.allclose(scores.values["pck"], pck(errors))
        assert torch.allclose(scores.values["auc"], auc(errors), atol=1e-6)
        assert torch.allclose(scores.values["pa_pck"], pck(joint_errors(a, b, "similarity")[:, :14]))


def test_joints_that_are_not_known_do_not_count(found, truth, body, regressor):
    whole = given_joints(joints_of(truth, body, regressor))
    seen = whole.seen.clone()
    seen[0, SPIN24.index("left_wrist")] = False
    seen[1, SPIN24.index("pelvis_extra")] = False
    spoilt = dataclasses.replace(
        whole, joints=torch.where(seen[..., None], whole.joints, torch.nan), seen=seen
    )
    scores = evaluate_bodies(PROTOCOLS["h36m-p1"], found, spoilt, body, regressor=regressor)
    assert scores.joint_errors[0].isnan().tolist() == [name == "left_wrist" for name in J14]
    assert scores.values["mpjpe_mm"].isnan().tolist() == [False, True, False, False]
    assert scores.values["pa_mpjpe_mm"].isfinite().all()
    plain = evaluate_bodies(PROTOCOLS["h36m-p1"], found, whole, body, regressor=regressor)
    assert torch.equal(scores.values["mpjpe_mm"][2:], plain.values["mpjpe_mm"][2:])


def test_meshes_of_two_genders(found, truth, body, regressor):
    wider = dataclasses.replace(body, name="wider", v_template=1.1 * body.v_template)
    models = (body, wider, wider, body)
    scores = evaluate_bodies(
        PROTOCOLS["3dpw"],
        found,
        Truth(LABELS, bodies=truth, models=models),
        body,
        regressor=regressor,
        chunk=1,
    )
    assert tuple(scores.values) == PROTOCOLS["3dpw"].metrics
    for i, model in enumerate(models):
        one = slice(i, i + 1)
        ours, theirs = joints_of(found[one], body, regressor), joints_of(truth[one], model, regressor)
        a, b = stacked(ours, J14), stacked(theirs, J14)
        assert float(scores.values["mpjpe_mm"][i]) == pytest.approx(float(mpjpe(a, b, None)), abs=2e-3)
        meshes = [
            (m.vertices(bodies[one]).double() - places["pelvis_extra"][:, None])[0].numpy()
            for m, bodies, places in ((body, found, ours), (model, truth, theirs))
        ]
        slow = 1000 * np.linalg.norm(meshes[0] - meshes[1], axis=1).mean()
        assert float(scores.values["pve_mm"][i]) == pytest.approx(slow, abs=2e-3)


def test_up3d(found, truth, body):
    scores = evaluate_bodies(PROTOCOLS["up-3d"], found, Truth(LABELS, bodies=truth), body)
    assert torch.allclose(
        scores.values["mpjpe_mm"], mpjpe(body.joints(found), body.joints(truth)).double(), atol=1e-3
    )
    rest = [body.rest_vertices(b.betas).double() for b in (found, truth)]
    slow = 1000 * (rest[0] - rest[1]).norm(dim=-1).mean(-1)
    assert torch.allclose(scores.values["pve_t_mm"], slow, atol=1e-2)
    assert not any("landmarks" in note for note in scores.notes), "SMPL's joints are the body's own"
    perfect = evaluate_bodies(PROTOCOLS["up-3d"], truth, Truth(LABELS, bodies=truth), body)
    assert all(line.value < 1e-3 for line in perfect.table())


def test_without_a_regressor_a_note_says_so(found, truth, body):
    scores = evaluate_bodies(PROTOCOLS["3dpw"], found, Truth(LABELS, bodies=truth), body)
    assert any("landmarks of the body 'builtin'" in note for note in scores.notes)
    bare = dataclasses.replace(body, name="bare", landmarks={}, joint_landmarks={})
    with pytest.raises(InputError, match=r"'bare' has no pelvis_extra.*give the joint regressor of h36m17"):
        evaluate_bodies(PROTOCOLS["3dpw"], found, Truth(LABELS, bodies=truth), bare)


def lsp_truth(
    truth: Bodies, body: BodyModel, cameras: list[Camera]
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    maps = [
        part_map(rasterize(body.vertices(truth[i : i + 1]), body.faces, camera), face_parts(body, "lsp"))[0]
        for i, camera in enumerate(cameras)
    ]
    return tuple(m >= 0 for m in maps), tuple(maps)


def test_lsp_in_images_of_different_sizes(found, truth, body, tmp_path: Path):
    cameras = [Camera.from_focal(120, 60 + 7 * i, 70 + 3 * i) for i in range(4)]
    masks, maps = lsp_truth(truth, body, cameras)
    for map_ in maps:
        map_[:3] = UNLABELLED
    protocol, near = PROTOCOLS["lsp-segmentation"], Bodies(found.rotations, found.betas, truth.translation)
    kept = Truth(LABELS, silhouettes=masks, part_maps=maps)
    perfect = evaluate_bodies(protocol, truth, kept, body, cameras=cameras)
    assert all(
        perfect.mean(key) == 1 for key in ("fb_f1", "fb_accuracy", "part_f1", "silhouette_iou", "part_iou_6")
    )
    scores = evaluate_bodies(protocol, near, kept, body, cameras=cameras)
    drawn = lsp_truth(near, body, cameras)[1]
    right = total = 0
    tp, fp, fn = (np.zeros(7) for _ in range(3))
    for f, t in zip(drawn, maps, strict=True):
        a, b = f.numpy() + 1, np.where(t.numpy() == UNLABELLED, 255, t.numpy() + 1)  # as in UPi-S1h's files
        for c in range(7):
            guess = (a == c) & (b != 255)
            tp[c] += (guess & (b == c)).sum()
            fp[c] += (guess & (b != c)).sum()
            fn[c] += (~guess & (b == c)).sum()
        right += (np.where(b == 255, 0, b) == a).sum()
        total += a.size
    assert scores.mean("part_f1") == pytest.approx((2 * tp / (2 * tp + fp + fn)).mean())
    assert scores.mean("part_accuracy") == pytest.approx(right / total)
    with pytest.raises(InputError, match="b: the silhouette is"):
        evaluate_bodies(protocol, near, kept, body, cameras=[cameras[0]] * 4)
    with pytest.raises(InputError, match="needs a camera for each of 4 people, got 0"):
        evaluate_bodies(protocol, near, kept, body)
    with pytest.raises(InputError, match="needs silhouettes and part maps"):
        evaluate_bodies(protocol, near, Truth(LABELS, silhouettes=masks), body, cameras=cameras)


def dense_points(truth: Bodies, body: BodyModel, atlas: Atlas, camera: Camera) -> tuple[DenseKeypoints, ...]:
    """Twenty points of each person where they truly are, and one of no weight that is not."""
    g = torch.Generator().manual_seed(0)
    people = []
    for i in range(len(truth)):
        faces = torch.randint(len(atlas.faces), (21,), generator=g)
        uv = atlas.uv[faces].mean(1)
        corners, weights = atlas.locate(atlas.charts[faces], *uv.unbind(-1))
        place = (body.vertices(truth[i : i + 1])[0][corners] * weights[..., None]).sum(1)
        weight = torch.ones(21)
        weight[20], place[20, 0] = 0, 100.0
        people.append(DenseKeypoints(camera.project(place), atlas.charts[faces], uv, weight))
    return tuple(people)


def test_dense_keypoint_distance(truth, body):
    atlas, camera, protocol = builtin_atlas(), Camera.from_focal(500, 400, 400), PROTOCOLS["coco-densepose"]
    points = dense_points(truth, body, atlas, camera)
    boxes = torch.tensor([[0.0, 0, 100, 112], [10, 20, 458, 30], [0, 0, 224, 224], [0, 0, 50, 56]])
    kept = Truth(LABELS, dense=points, boxes=boxes)
    exact = evaluate_bodies(protocol, truth, kept, body, cameras=[camera] * 4, atlas=atlas)
    assert (exact.values["dkd_px"] < 0.1).all(), "the projection of a mean is nearly the mean of projections"
    beside = Camera(camera.focal, camera.center + torch.tensor([2.0, -1.0]), camera.size)
    moved = evaluate_bodies(protocol, truth, kept, body, cameras=[beside] * 4, atlas=atlas)
    assert torch.allclose(moved.values["dkd_px"], 3 * torch.tensor([2.0, 0.5, 1, 4]).double(), atol=0.1)
    nobody = dataclasses.replace(kept, dense=(points[0][:0], *points[1:]))
    some = evaluate_bodies(protocol, truth, nobody, body, cameras=[camera] * 4, atlas=atlas)
    assert some.values["dkd_px"].isnan().tolist() == [True, False, False, False]
    flat = dataclasses.replace(kept, boxes=boxes.flip(1))
    with pytest.raises(InputError, match="a: the box is -100 pixels long"):
        evaluate_bodies(protocol, truth, flat, body, cameras=[camera] * 4, atlas=atlas)
    few = dataclasses.replace(body, name="few", v_template=body.v_template[:100])
    with pytest.raises(InputError, match="more vertices than the body 'few' has"):
        evaluate_bodies(protocol, truth, kept, few, cameras=[camera] * 4, atlas=atlas)
    charts = Atlas(atlas.faces, torch.ones_like(atlas.charts), atlas.uv)
    with pytest.raises(InputError, match=r"a: .* points have an I that is no chart"):
        evaluate_bodies(protocol, truth, kept, body, cameras=[camera] * 4, atlas=charts)
    with pytest.raises(InputError, match="the atlas of the points' charts"):
        evaluate_bodies(protocol, truth, kept, body, cameras=[camera] * 4)


def test_joints_of_many(found, body, regressor, monkeypatch: pytest.MonkeyPatch):
    whole = joint_source(body, H36M17, regressor)(found)
    monkeypatch.setattr("bodyloop.evaluate.evaluation.JOINTS_CHUNK", 3)
    assert torch.allclose(joint_source(body, H36M17, regressor)(found), whole, atol=1e-6)
    assert joint_source(body, H36M17, regressor)(found[:0]).shape == (0, 17, 3)


def test_people_on_another_device(found, truth, body, regressor):
    kept = Truth(LABELS, bodies=truth)
    expected = evaluate_bodies(PROTOCOLS["3dpw"], found, kept, body, regressor=regressor)
    with PretendedGpu():
        there = Truth(LABELS, bodies=truth.to(DEVICE))
        moved = evaluate_bodies(
            PROTOCOLS["3dpw"], found.to(DEVICE), there, body.to(DEVICE), regressor=regressor
        )
        for key, value in moved.values.items():
            assert torch.allclose(value, expected.values[key], atol=1e-2)


def test_what_is_missing_is_said(found, truth, body, regressor):
    with pytest.raises(InputError, match="neither joints nor bodies"):
        evaluate_bodies(PROTOCOLS["h36m-p1"], found, Truth(LABELS), body)
    with pytest.raises(InputError, match=r"got \(4,\) for 2 people"):
        evaluate_bodies(PROTOCOLS["h36m-p1"], found, Truth(("a", "b")), body)
    with pytest.raises(ValueError, match="Truth of 2 people has"):
        Truth(("a", "b"), bodies=truth)
    with pytest.raises(ValueError, match="need their skeleton"):
        Truth(LABELS, joints=torch.zeros(4, 17, 3))
    with pytest.raises(InputError, match="expected a regressor"):
        joint_source(body, H36M17, regressor[:5])
    lacking = Truth(LABELS, joints=torch.zeros(4, 14, 3), skeleton=dataclasses.replace(H36M17, keypoints=J14))
    with pytest.raises(InputError, match="aligns pelvis_extra, which is known of nobody"):
        evaluate_bodies(PROTOCOLS["h36m-p1"], found, lacking, body)
    other = dataclasses.replace(body, v_template=body.v_template.clone())
    with pytest.raises(InputError, match="one model for both"):
        evaluate_bodies(PROTOCOLS["up-3d"], found, Truth(LABELS, bodies=truth, models=(other,) * 4), body)
