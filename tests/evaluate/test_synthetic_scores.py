"""Scores of synthetic people, on small made-up samples."""

import dataclasses

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel, face_parts
from bodyloop.body.parts import PARTITIONS
from bodyloop.data.synthetic import SyntheticSample
from bodyloop.errors import InputError
from bodyloop.evaluate.metrics import joint_errors, pa_mpjpe, pa_mpjpe_axes
from bodyloop.evaluate.scores import Scores
from bodyloop.evaluate.synthetic import POINTS, keypoint_shares, surface_scores, synthetic_scores
from bodyloop.geometry import Camera
from bodyloop.raster import Fragments, part_map, rasterize
from made_up import random_bodies
from pretend_gpu import DEVICE, PretendedGpu

SIZE = 64


def camera(people: int) -> Camera:
    return Camera(torch.full((people, 2), 120.0), torch.full((people, 2), (SIZE - 1) / 2), (SIZE, SIZE))


@pytest.fixture(scope="module")
def samples(body: BodyModel) -> SyntheticSample:
    """Five people; something hides the lower half of the last."""
    bodies = random_bodies(5, dtype=torch.float32)
    seen = rasterize(body.vertices(bodies), body.faces, camera(5))
    seen.face_id[4, SIZE // 2 :] = -1
    seen.barycentric[4, SIZE // 2 :] = 0
    seen.depth[4, SIZE // 2 :] = torch.inf
    number = torch.arange(5)
    picture = torch.zeros(5, SIZE, SIZE, 3, dtype=torch.uint8)
    return SyntheticSample(picture, bodies, camera(5), seen, 100 + number, number, number)


@pytest.fixture(scope="module")
def found(samples: SyntheticSample) -> Bodies:
    truth, other = samples.bodies, random_bodies(5, seed=3, dtype=torch.float32)
    nearly = truth.rotations.clone()
    nearly[:, 16:20] = other.rotations[:, 16:20]
    return Bodies(nearly, truth.betas + 0.5 * other.betas, truth.translation + 0.02)


def test_the_truth_has_no_error(samples: SyntheticSample, body: BodyModel):
    for against in ("body", "image"):
        scores = synthetic_scores(samples.bodies, samples, body, against)
        for line in scores.table():
            if line.metric.endswith("_mm"):
                assert line.value < 1e-3
            elif line.metric == "dkd_px":
                assert line.value < 0.01
            elif line.metric.endswith("auc"):
                assert line.value == pytest.approx(30 / 31), "nothing is nearer than the threshold 0"
            else:
                assert line.value == 1


def test_figures_against_slow_twins(samples: SyntheticSample, found: Bodies, body: BodyModel):
    scores = synthetic_scores(found, samples, body)
    assert scores.people == ("100", "101", "102", "103", "104")
    joints, true_joints = body.joints(found), body.joints(samples.bodies)
    vertices, true_vertices = body.vertices(found), body.vertices(samples.bodies)
    labels = {name: face_parts(body, name) for name in PARTITIONS}
    maps = [rasterize(v, body.faces, samples.camera) for v in (vertices, true_vertices)]
    for i in range(5):
        a, b = joints[i].double().numpy(), true_joints[i].double().numpy()
        each = [1000 * np.linalg.norm((a[j] - a[0]) - (b[j] - b[0])) for j in range(24)]
        assert np.allclose(scores.joint_errors[i].numpy(), each, atol=1e-3)
        assert float(scores.values["mpjpe_mm"][i]) == pytest.approx(np.mean(each), abs=1e-3)
        v, w = vertices[i].double().numpy() - a[0], true_vertices[i].double().numpy() - b[0]
        assert float(scores.values["pve_mm"][i]) == pytest.approx(
            1000 * np.linalg.norm(v - w, axis=1).mean(), abs=1e-3
        )
        for key, name in (("part_iou_24", "smpl"), ("part_iou_14", "densepose")):
            f, t = (part_map(m, labels[name])[i] for m in maps)
            parts = set(f.unique().tolist() + t.unique().tolist()) - {-1}
            ious = [int(((f == p) & (t == p)).sum()) / int(((f == p) | (t == p)).sum()) for p in parts]
            assert float(scores.values[key][i]) == pytest.approx(np.mean(ious))
        f, t = (m.mask[i] for m in maps)
        assert float(scores.values["silhouette_iou"][i]) == pytest.approx(
            int((f & t).sum()) / int((f | t).sum())
        )
    assert torch.allclose(scores.values["pa_mpjpe_mm"], pa_mpjpe(joints, true_joints).double())
    along = torch.stack([scores.values[f"pa_{axis}_mm"] for axis in "xyz"], 1)
    assert torch.allclose(along, pa_mpjpe_axes(joints, true_joints).double())
    assert torch.allclose(scores.values["pa_pve_mm"], pa_mpjpe(vertices, true_vertices).double())
    for prefix, errors in (
        ("", scores.joint_errors),
        ("pa_", joint_errors(joints, true_joints, "similarity")),
    ):
        assert torch.allclose(scores.values[f"{prefix}pck"], (errors < 150).double().mean(1))
        shares = [(errors < mm).double().mean(1) for mm in range(0, 151, 5)]
        assert torch.allclose(scores.values[f"{prefix}auc"], torch.stack(shares).mean(0))
    places = 1000 * (joints - true_joints).norm(dim=-1)
    assert torch.allclose(scores.values["pck_abs"], (places < 150).double().mean(1))


def test_absolute_places_and_heads(samples: SyntheticSample, body: BodyModel):
    """Two metres further away nothing is where it was, though from the pelvis on all is; half of a head to the side is
    near enough, more is not."""
    truth, depth = samples.bodies, torch.tensor([0.0, 0.0, 2.0])
    away = synthetic_scores(dataclasses.replace(truth, translation=truth.translation + depth), samples, body)
    assert away.values["pck_abs"].tolist() == [0] * 5
    assert away.values["pck"].tolist() == [1] * 5
    side = torch.tensor([1.0, 0.0, 0.0])
    shares = [
        keypoint_shares(
            dataclasses.replace(truth, translation=truth.translation + metres * side),
            truth,
            samples.camera,
            body,
        ).mean()
        for metres in (0.0, 0.02, 0.5)
    ]
    assert shares[0] == 1
    assert shares[1] > 0.9
    assert shares[2] < 0.1
    out = dataclasses.replace(truth, translation=truth.translation + 50 * side)
    assert keypoint_shares(truth, out, samples.camera, body).isnan().all(), "nobody is in the picture"


def test_dense_keypoint_distance_against_a_slow_twin(
    samples: SyntheticSample, found: Bodies, body: BodyModel
):
    vertices, seen = body.vertices(found), samples.fragments
    distance, _ = surface_scores(vertices, seen, samples.camera, body)
    for i in range(5):
        rows, columns = seen.mask[i].nonzero().T.tolist()
        count, offs = len(rows), []
        for k in range(POINTS):
            row, column = (line[int((k + 0.5) / POINTS * count)] for line in (rows, columns))
            corners = vertices[i, body.faces[seen.face_id[i, row, column].long()]].double()
            pixels = [120 * c[:2] / c[2] + (SIZE - 1) / 2 for c in corners]
            x, y = sum(
                float(w) * p for w, p in zip(seen.barycentric[i, row, column], pixels, strict=True)
            ).tolist()
            offs.append(abs(x - column) + abs(y - row))
        assert float(distance[i]) == pytest.approx(np.mean(offs), rel=1e-3)


def test_distance_by_hand(samples: SyntheticSample, body: BodyModel):
    """Everything three pixels to the right and one up, on the whole, is four pixels off."""
    lens = samples.camera
    moved = Camera(lens.focal, lens.center + torch.tensor([3.0, -1.0]), lens.size)
    distance, _ = surface_scores(body.vertices(samples.bodies), samples.fragments, moved, body)
    assert torch.allclose(distance, torch.full((5,), 4.0), atol=0.01)


def test_what_is_hidden_does_not_count_against_the_image(
    samples: SyntheticSample, found: Bodies, body: BodyModel
):
    legs = samples.bodies.rotations.clone()
    legs[:, [4, 5]] = random_bodies(5, seed=5, dtype=torch.float32).rotations[:, [4, 5]]
    bent = Bodies(legs, samples.bodies.betas, samples.bodies.translation)
    whole, seen = (synthetic_scores(bent, samples, body, against).values for against in ("body", "image"))
    for key in ("part_iou_24", "silhouette_iou", "dkd_px"):
        assert torch.allclose(whole[key][:4], seen[key][:4]), "nothing is hidden of the first four"
    assert seen["dkd_px"][4] < whole["dkd_px"][4], "the legs are in the lower half"


def test_nothing_seen_of_a_person(samples: SyntheticSample, found: Bodies, body: BodyModel):
    old = samples.fragments
    none = Fragments(
        torch.full_like(old.face_id, -1),
        torch.zeros_like(old.barycentric),
        torch.full_like(old.depth, torch.inf),
    )
    hidden = dataclasses.replace(samples, fragments=none)
    scores = synthetic_scores(found, hidden, body, "image")
    assert scores.values["dkd_px"].isnan().all()
    assert scores.values["mpjpe_mm"].isfinite().all()


def test_a_body_behind_the_camera_is_far_off(samples: SyntheticSample, body: BodyModel):
    truth = samples.bodies
    behind = Bodies(truth.rotations, truth.betas, truth.translation - torch.tensor([0, 0, 9.0]))
    scores = synthetic_scores(behind, samples, body)
    assert (scores.values["dkd_px"] > 100).all()
    assert (scores.values["silhouette_iou"] == 0).all()
    assert (scores.values["mpjpe_mm"] < 1e-2).all(), "the pelvis is aligned"


def test_the_number_drawn_at_once_does_not_matter(samples: SyntheticSample, found: Bodies, body: BodyModel):
    two, all_ = (synthetic_scores(found, samples, body, chunk=chunk) for chunk in (2, 32))
    assert two.people == all_.people
    for key, value in two.values.items():
        assert torch.allclose(value, all_.values[key], rtol=1e-4)


def test_people_on_another_device(samples: SyntheticSample, found: Bodies, body: BodyModel):
    expected = synthetic_scores(found, samples, body, "image")
    with PretendedGpu():
        there = synthetic_scores(found.to(DEVICE), samples, body.to(DEVICE), "image")
        for key, value in there.values.items():
            assert value.device.type == "cpu"
            assert torch.allclose(value, expected.values[key], rtol=1e-3)
        assert there.pooled() == pytest.approx(expected.pooled(), rel=1e-3)


def test_people_in_double_precision(samples: SyntheticSample, found: Bodies, body: BodyModel):
    scores = synthetic_scores(found.to(torch.float64), samples, body.to(torch.float64))
    single = synthetic_scores(found, samples, body)
    for key, value in scores.values.items():
        assert torch.allclose(value, single.values[key], rtol=0.02, atol=1e-2)


def test_scores_join(samples: SyntheticSample, found: Bodies, body: BodyModel):
    scores = synthetic_scores(found, samples, body)
    halves = Scores.cat([scores[torch.arange(2)], scores[torch.arange(2, 5)]])
    assert halves.to_json() == scores.to_json()


def test_bad_bodies_are_named(samples: SyntheticSample, found: Bodies, body: BodyModel):
    betas = found.betas.clone()
    betas[[1, 3], 2] = torch.nan
    with pytest.raises(InputError, match="2 of 5 found bodies hold NaN or infinity, people 1, 3;"):
        synthetic_scores(Bodies(found.rotations, betas, found.translation), samples, body)
    with pytest.raises(InputError, match="as many found bodies as samples"):
        synthetic_scores(found[:4], samples, body)
    empty = torch.arange(0)
    with pytest.raises(InputError, match="at least one, got"):
        synthetic_scores(found[empty], dataclasses.replace(samples, bodies=samples.bodies[empty]), body)
