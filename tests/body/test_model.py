import numpy as np
import pytest
import torch

from bodyloop.body import SMPL_JOINTS, Bodies, BodyModel
from bodyloop.body.files import _to_model
from bodyloop.body.skeletons import COCO17, OPENPOSE25
from bodyloop.geometry import axis_angle_to_rotmat
from made_up import random_bodies


@pytest.fixture(scope="module")
def small(smpl_arrays: dict[str, np.ndarray]) -> BodyModel:
    return _to_model(smpl_arrays, "small").to(torch.float64)


def slow_skinning(model: BodyModel, bodies: Bodies) -> tuple[np.ndarray, np.ndarray]:
    """One person, vertex by vertex, from the paper's equations."""
    v, dirs, w = model.v_template.numpy(), model.shapedirs.numpy(), model.weights.numpy()
    rotations, betas = bodies.rotations.numpy(), bodies.betas.numpy()
    rest = v + dirs @ betas
    joints = model.joint_regressor.numpy() @ rest
    feature = (rotations[1:] - np.eye(3)).reshape(-1)
    if model.posedirs is not None:
        rest = rest + model.posedirs.numpy() @ feature
    chain = []
    for j in range(24):
        local = np.eye(4)
        local[:3, :3] = rotations[j]
        local[:3, 3] = joints[j] - (joints[model.parents[j]] if j else 0)
        chain.append(local if j == 0 else chain[model.parents[j]] @ local)
    places = np.stack([g[:3, 3] for g in chain]) + bodies.translation.numpy()
    out = np.zeros_like(rest)
    for i in range(len(rest)):
        for j in range(24):
            moved = chain[j][:3, :3] @ (rest[i] - joints[j]) + chain[j][:3, 3]
            out[i] += w[i, j] * moved
    return places, out + bodies.translation.numpy()


def test_against_the_slow_twin(small: BodyModel):
    bodies = random_bodies(3)
    joints, vertices = small.joints(bodies), small.vertices(bodies)
    for i in range(3):
        slow_joints, slow_vertices = slow_skinning(small, bodies[i])
        assert np.allclose(joints[i].numpy(), slow_joints, atol=1e-12)
        assert np.allclose(vertices[i].numpy(), slow_vertices, atol=1e-12)


def test_points_are_the_vertices_they_come_from(small: BodyModel, body: BodyModel):
    for model, atol in ((small, 1e-9), (body.to(torch.float64), 1e-6)):
        bodies = random_bodies(2, 1)
        rows = torch.zeros(3, len(model.v_template), dtype=torch.float64)
        rows[0, 5], rows[1, [7, 50]], rows[2, [1, 2, 3]] = 1.0, 0.5, 1 / 3
        points = model.points(bodies, model.vertex_points(("a", "b", "c"), rows))
        assert torch.allclose(points, rows @ model.vertices(bodies), atol=atol)


def test_joint_landmarks_are_joints(body: BodyModel):
    bodies = random_bodies(2, 2, dtype=torch.float32)
    points = body.points(bodies, body.landmark_points(SMPL_JOINTS))
    assert torch.allclose(points, body.joints(bodies), atol=1e-6)


def test_rest_pose_is_the_template(body: BodyModel):
    assert torch.allclose(body.vertices(Bodies.rest(1))[0], body.v_template, atol=1e-6)


def test_global_rotation_and_translation_are_rigid(body: BodyModel):
    bodies = random_bodies(2, 3, dtype=torch.float32)
    turn = axis_angle_to_rotmat(torch.tensor([0.3, -1.0, 0.5]))
    rotations = torch.cat([(turn @ bodies.rotations[:, 0])[:, None], bodies.rotations[:, 1:]], 1)
    turned = Bodies(rotations, bodies.betas, bodies.translation + torch.tensor([1.0, 2, 3]))
    points, _ = body.keypoints(OPENPOSE25)
    root, new_root = body.joints(bodies)[:, :1], body.joints(turned)[:, :1]
    expected = (body.points(bodies, points) - root) @ turn.T + new_root
    assert torch.allclose(body.points(turned, points), expected, atol=1e-5)


def test_a_mirrored_pose_is_a_mirrored_body(body: BodyModel):
    bodies = random_bodies(2, 4, dtype=torch.float32)
    points, _ = body.keypoints(COCO17)
    there = body.points(bodies.mirrored(), points)
    expected = body.points(bodies, points)[:, COCO17.flip] * torch.tensor([-1.0, 1, 1])
    assert torch.allclose(there, expected, atol=1e-5)


def test_leading_dimensions(body: BodyModel):
    bodies = random_bodies(6, 5, dtype=torch.float32)
    grid = Bodies(
        bodies.rotations.unflatten(0, (2, 3)),
        bodies.betas.unflatten(0, (2, 3)),
        bodies.translation.unflatten(0, (2, 3)),
    )
    points, _ = body.keypoints(COCO17)
    assert torch.allclose(body.points(grid, points).flatten(0, 1), body.points(bodies, points), atol=1e-6)
    assert body.vertices(grid[0]).shape == (3, len(body.v_template), 3)


def test_point_gradients(small: BodyModel):
    points = small.keypoints(COCO17)[0]
    bodies = random_bodies(1, 6)

    def place(pose: torch.Tensor, betas: torch.Tensor, trans: torch.Tensor) -> torch.Tensor:
        return small.points(Bodies.from_smpl(pose, betas, trans), points)

    inputs = [x.clone().requires_grad_() for x in (bodies.pose, bodies.betas, bodies.translation)]
    assert torch.autograd.gradcheck(place, inputs)


def test_shape_directions_of_the_population(body: BodyModel):
    tall = body.rest_vertices(torch.tensor([3.0] + [0.0] * 9))
    short = body.rest_vertices(torch.tensor([-3.0] + [0.0] * 9))
    height = [float(v[:, 1].max() - v[:, 1].min()) for v in (short, body.v_template, tall)]
    assert height[0] < height[1] - 0.1
    assert height[1] < height[2] - 0.1


def test_unknown_landmarks_are_named(body: BodyModel):
    with pytest.raises(KeyError, match="third_eye"):
        body.landmark_points(("nose", "third_eye"))


def test_bodies_check_their_shapes():
    with pytest.raises(ValueError, match="24, 3, 3"):
        Bodies(torch.eye(3).expand(2, 23, 3, 3), torch.zeros(2, 10), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="72 numbers"):
        Bodies.from_smpl(torch.zeros(2, 69))


def test_surface_points_lie_on_the_mesh(body: BodyModel):
    """Points by three vertices and barycentrics, as the mesh has them in any pose."""
    g = torch.Generator().manual_seed(4)
    bodies = Bodies.from_smpl(0.4 * torch.randn(2, 72, generator=g), torch.randn(2, 10, generator=g))
    corners = body.faces[torch.randint(0, len(body.faces), (50,), generator=g)]
    weight = torch.rand(50, 3, generator=g)
    weight = weight / weight.sum(1, keepdim=True)
    expected = (body.vertices(bodies)[:, corners] * weight[..., None]).sum(-2)
    assert torch.allclose(body.points(bodies, body.mesh_points(corners, weight)), expected, atol=1e-5)


def test_spread_vertices_are_far_from_each_other(body: BodyModel):
    chosen = body.spread_vertices(60)
    places = body.v_template[chosen]
    gap = torch.cdist(places, places).fill_diagonal_(9).amin()
    assert len(chosen.unique()) == 60
    assert gap > 0.08
    assert torch.cdist(body.v_template, places).amin(1).max() <= gap + 1e-6  # nobody is farther than the last


def test_a_turned_person_is_the_turned_mesh(body: BodyModel):
    bodies = random_bodies(3)
    turn = axis_angle_to_rotmat(torch.randn(3, 3, dtype=torch.float64))
    model = body.to(torch.float64)
    turned = bodies.turned(turn, model.rest_pelvis(bodies.betas))
    assert torch.allclose(model.vertices(turned), model.vertices(bodies) @ turn.mT, atol=1e-9)


@pytest.mark.parametrize("correctives", [False, True])
def test_chosen_vertices_are_those_of_the_mesh(body: BodyModel, small: BodyModel, correctives: bool):
    model = (small if correctives else body).to(torch.float64)
    bodies = random_bodies(3)
    mesh = model.vertices(bodies)
    g = torch.Generator().manual_seed(0)
    own = torch.randint(0, len(model.v_template), (3, 20), generator=g)
    assert torch.allclose(model.chosen_vertices(bodies, own[0]), mesh[:, own[0]], atol=1e-12)
    found = model.chosen_vertices(bodies, own)
    assert torch.allclose(found, torch.stack([m[i] for m, i in zip(mesh, own, strict=True)]), atol=1e-12)
    corners = model.faces[own % len(model.faces)]
    weights = torch.rand(3, 20, 3, generator=g, dtype=torch.float64)
    points = model.surface_points(bodies, corners, weights)
    expected = torch.stack(
        [(m[c] * w[..., None]).sum(1) for m, c, w in zip(mesh, corners, weights, strict=True)]
    )
    assert torch.allclose(points, expected, atol=1e-12)
