"""Laws of the built-in body's file, checked with numpy alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ASSET = Path(__file__).parents[2] / "src/bodyloop/body/assets/builtin_body.npz"
SMPL_SWAP = [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22]
MIRROR = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def body() -> dict[str, np.ndarray]:
    with np.load(ASSET, allow_pickle=False) as file:
        return dict(file)


def dense_landmarks(body: dict[str, np.ndarray]) -> np.ndarray:
    out = np.zeros((len(body["landmark_names"]), len(body["v_template"])))
    np.add.at(out, (body["landmark_rows"], body["landmark_cols"]), body["landmark_values"])
    return out


def shapes(body: dict[str, np.ndarray], count: int = 500) -> np.ndarray:
    betas = np.random.default_rng(7).standard_normal((count, 10))
    return np.stack([body["v_template"] + body["shapedirs"] @ b for b in betas])


def vertex_mirror(body: dict[str, np.ndarray]) -> np.ndarray:
    """Each vertex's partner, found by place and by how it moves with shape."""
    from scipy.spatial import cKDTree

    basis = np.concatenate([body["v_template"][..., None], 10 * body["shapedirs"]], 2).astype(float)
    flat = basis.reshape(len(basis), -1)
    distance, partner = cKDTree(flat).query((basis * MIRROR[:, None]).reshape(len(basis), -1))
    assert distance.max() < 1e-5
    return partner


def test_small_file() -> None:
    assert ASSET.stat().st_size <= 4e6


def test_arrays_have_smpl_shapes(body: dict[str, np.ndarray]) -> None:
    count = len(body["v_template"])
    assert body["v_template"].shape == (count, 3)
    assert body["shapedirs"].shape == (count, 3, 10)
    assert body["weights"].shape == (count, 24)
    assert body["J_regressor"].shape == (24, count)
    assert body["f"].dtype == np.uint32
    assert body["f"].max() == count - 1
    assert body["kintree_table"].shape == (2, 24)
    assert "posedirs" not in body


def test_parents_come_before_children(body: dict[str, np.ndarray]) -> None:
    parents, ids = body["kintree_table"]
    assert parents[0] == -1
    assert (ids == np.arange(24)).all()
    assert (parents[1:] < ids[1:]).all()


@pytest.mark.parametrize("key", ["weights", "J_regressor"])
def test_rows_are_convex_weights(body: dict[str, np.ndarray], key: str) -> None:
    assert body[key].min() >= 0
    np.testing.assert_allclose(body[key].sum(1), 1, atol=1e-5)


def test_landmark_rows_sum_to_one(body: dict[str, np.ndarray]) -> None:
    assert body["landmark_values"].min() >= 0
    np.testing.assert_allclose(dense_landmarks(body).sum(1), 1, atol=1e-5)
    assert len(set(body["landmark_names"])) == len(body["landmark_names"])


def test_mean_pelvis_is_the_origin(body: dict[str, np.ndarray]) -> None:
    assert np.abs(body["J_regressor"][0] @ body["v_template"]).max() < 1e-5


def test_joints_are_symmetric_for_every_shape(body: dict[str, np.ndarray]) -> None:
    joints = body["J_regressor"] @ shapes(body, 20)
    np.testing.assert_allclose(joints[:, SMPL_SWAP] * MIRROR, joints, atol=1e-5)
    assert (joints[:, 1, 0] > 0).all(), "left is +x"


def test_landmarks_are_symmetric_for_every_shape(body: dict[str, np.ndarray]) -> None:
    names = [str(n) for n in body["landmark_names"]]
    points = dense_landmarks(body) @ shapes(body, 20)
    order = [names.index(swap_side(n)) for n in names]
    np.testing.assert_allclose(points[:, order] * MIRROR, points, atol=1e-5)


def swap_side(name: str) -> str:
    other = {"left": "right", "right": "left"}
    return "_".join(other.get(part, part) for part in name.split("_"))


def test_skinning_is_symmetric(body: dict[str, np.ndarray]) -> None:
    partner = vertex_mirror(body)
    np.testing.assert_allclose(body["weights"][partner][:, SMPL_SWAP], body["weights"], atol=1e-5)


def test_surface_is_closed_and_faces_outward(body: dict[str, np.ndarray]) -> None:
    faces = body["f"].astype(np.int64)
    half_edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    code = half_edges[:, 0] * len(body["v_template"]) + half_edges[:, 1]
    twin = half_edges[:, 1] * len(body["v_template"]) + half_edges[:, 0]
    assert len(np.unique(code)) == len(code), "an edge is used twice in one direction"
    assert np.isin(twin, code).all(), "open edges"
    for vertices in shapes(body, 20):
        a, b, c = (vertices[faces[:, i]].astype(float) for i in range(3))
        litres = 1000 * np.einsum("fi,fi->", a, np.cross(b, c)) / 6
        assert 30 < litres < 160


def test_heights_are_those_of_adults(body: dict[str, np.ndarray]) -> None:
    height = np.ptp(shapes(body)[..., 1], axis=1)
    assert abs(height.mean() - 1.70) < 0.03
    assert 0.08 < height.std() < 0.12


def test_first_coefficient_is_size(body: dict[str, np.ndarray]) -> None:
    growth = [np.ptp((body["v_template"] + body["shapedirs"][..., i])[:, 1]) for i in range(10)]
    assert np.argmax(growth) == 0


def test_t_pose(body: dict[str, np.ndarray]) -> None:
    joints = body["J_regressor"] @ body["v_template"]
    for start, end, axis in [(16, 18, 0), (18, 20, 0), (1, 4, 1), (4, 7, 1)]:
        bone = joints[end] - joints[start]
        assert abs(bone[axis]) > 0.98 * np.linalg.norm(bone)
    points = dict(zip(body["landmark_names"], dense_landmarks(body) @ body["v_template"], strict=True))
    assert points["nose"][2] > joints[15, 2], "faces +z"
    assert points["left_big_toe"][2] > points["left_heel"][2] + 0.1
    assert points["left_index"][2] > points["left_pinky"][2] + 0.03, "palms down, thumbs forward"
    assert points["headtop"][1] == pytest.approx(body["v_template"][:, 1].max(), abs=0.01)
