"""What others make of the file: its nodes, skins and animations are read by the glTF specification alone."""

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation, Slerp

from bodyloop.body import SMPL_JOINTS, Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.priors import load_prior
from bodyloop.track import Track
from bodyloop.view.glb import save_animated_glb, steady_quaternions, strongest
from made_up_tracks import in_viewer, small_body, track


@pytest.fixture(scope="module")
def small() -> BodyModel:
    return small_body(4)


class Reader:
    """As much of glTF 2.0 as is needed."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        assert content[:4] == b"glTF"
        size = struct.unpack_from("<I", content, 12)[0]
        self.json: dict[str, Any] = json.loads(content[20 : 20 + size])
        self.blob = content[28 + size :]

    def array(self, number: int) -> np.ndarray:
        accessor = self.json["accessors"][number]
        view = self.json["bufferViews"][accessor["bufferView"]]
        kind = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        found = np.frombuffer(self.blob, kind, accessor["count"] * width, start)
        return found.reshape(-1, width) if width > 1 else found

    def worlds(self, moment: float | None) -> list[np.ndarray]:
        """World matrices (4, 4) of all nodes at a time in seconds, all animations played; at rest if None."""
        nodes = [dict(node) for node in self.json["nodes"]]
        for animation in self.json.get("animations", []) if moment is not None else []:
            for channel in animation["channels"]:
                sampler = animation["samplers"][channel["sampler"]]
                assert sampler.get("interpolation", "LINEAR") == "LINEAR"
                times, values = self.array(sampler["input"]), self.array(sampler["output"])
                target, at = channel["target"], np.clip(moment, times[0], times[-1])
                if target["path"] == "rotation":
                    value = Slerp(times, Rotation.from_quat(values))(at).as_quat()
                else:
                    value = np.array([np.interp(at, times, column) for column in values.T])
                nodes[target["node"]][target["path"]] = value
        worlds: list[np.ndarray] = [np.eye(4)] * len(nodes)

        def walk(number: int, above: np.ndarray) -> None:
            node, local = nodes[number], np.eye(4)
            local[:3, :3] = Rotation.from_quat(node.get("rotation", [0, 0, 0, 1])).as_matrix()
            local[:3, 3] = node.get("translation", [0, 0, 0])
            worlds[number] = above @ local
            for child in node.get("children", []):
                walk(child, worlds[number])

        for number in self.json["scenes"][0]["nodes"]:
            walk(number, np.eye(4))
        return worlds

    def joints(self, skin: int, moment: float | None) -> dict[str, np.ndarray]:
        worlds = self.worlds(moment)
        numbers = self.json["skins"][skin]["joints"]
        return {self.json["nodes"][n]["name"]: worlds[n][:3, 3] for n in numbers}

    def vertices(self, skin: int, moment: float | None) -> np.ndarray:
        """Vertices (V, 3) of the mesh with this skin."""
        worlds = self.worlds(moment)
        [node] = [n for n in self.json["nodes"] if n.get("skin") == skin]
        attributes = self.json["meshes"][node["mesh"]]["primitives"][0]["attributes"]
        places, joints, weights = (
            self.array(attributes[k]).astype(float) for k in ("POSITION", "JOINTS_0", "WEIGHTS_0")
        )
        inverse = self.array(self.json["skins"][skin]["inverseBindMatrices"]).reshape(-1, 4, 4)
        numbers = self.json["skins"][skin]["joints"]
        matrices = np.stack([worlds[n] @ m.T for n, m in zip(numbers, inverse, strict=True)])
        full = np.concatenate([places, np.ones((len(places), 1))], 1)
        moved = np.einsum("vkij,vj->vki", matrices[joints.astype(int)], full)[..., :3]
        return (moved * weights[..., None]).sum(1)


def expected(body: BodyModel, one: Track, moment: float) -> dict[str, np.ndarray]:
    joints = in_viewer(body.joints(one.at(torch.tensor([moment], dtype=torch.float64)).bodies))[0]
    return dict(zip(SMPL_JOINTS, joints, strict=True))


def test_joints_are_where_the_bodies_have_them(small: BodyModel, tmp_path: Path):
    """At frames and between them, for people who come and go at different times."""
    people = [track(start=3.0), track("ben", 5, seed=1, start=3.1)]
    save_animated_glb(tmp_path / "a.glb", small, people)
    file = Reader(tmp_path / "a.glb")
    for skin, one in enumerate(people):
        for moment in (0.0, 1 / 30, 0.11, 0.115, 0.2, 5.0):
            found = file.joints(skin, moment)
            assert tuple(found) == SMPL_JOINTS
            for name, place in expected(small, one, 3.0 + moment).items():
                np.testing.assert_allclose(found[name], place, atol=2e-4 if moment == 0.115 else 2e-5)


def test_the_skin_moves_the_mesh_as_the_body_does(small: BodyModel, tmp_path: Path):
    one = track()
    save_animated_glb(tmp_path / "a.glb", small, [one])
    file = Reader(tmp_path / "a.glb")
    for t in (0, 4, 8):
        truth = in_viewer(small.vertices(one.bodies[t]))
        np.testing.assert_allclose(file.vertices(0, t / 30), truth, atol=2e-5)


def test_one_armature_a_person_with_an_animation_of_its_own(small: BodyModel, tmp_path: Path):
    save_animated_glb(tmp_path / "a.glb", small, [track(), track("ben", 5)])
    content = Reader(tmp_path / "a.glb").json
    roots = [content["nodes"][n]["name"] for n in content["scenes"][0]["nodes"]]
    assert roots == ["anna", "anna_mesh", "ben", "ben_mesh"]
    assert [a["name"] for a in content["animations"]] == ["anna", "ben"]
    for animation, skin in zip(content["animations"], content["skins"], strict=True):
        moved = {channel["target"]["node"] for channel in animation["channels"]}
        assert moved == set(skin["joints"])
        assert len(skin["joints"]) == 24


def test_nodes_rest_in_the_t_pose_at_the_first_place(small: BodyModel, tmp_path: Path):
    one = track()
    save_animated_glb(tmp_path / "a.glb", small, [one])
    found = np.stack(list(Reader(tmp_path / "a.glb").joints(0, None).values()))
    rest = small.frames(one.bodies[:1]).rest[0].numpy()
    root = in_viewer(small.joints(one.bodies[:1]))[0, 0]
    np.testing.assert_allclose(found, rest - rest[0] + root, atol=1e-5)


def test_one_frame_is_a_pose_without_animation(small: BodyModel, tmp_path: Path):
    one = track(frames=1)
    save_animated_glb(tmp_path / "a.glb", small, [one])
    file = Reader(tmp_path / "a.glb")
    assert not file.json.get("animations")
    np.testing.assert_allclose(file.vertices(0, None), in_viewer(small.vertices(one.bodies))[0], atol=2e-5)


def test_quaternions_do_not_flip():
    rotations = track(frames=40).bodies.rotations.double().numpy()
    found = steady_quaternions(rotations)
    np.testing.assert_allclose(
        Rotation.from_quat(found.reshape(-1, 4)).as_matrix(), rotations.reshape(-1, 3, 3), atol=1e-6
    )
    assert ((found[1:] * found[:-1]).sum(-1) >= 0).all()
    assert (found[1:, 0, 3] * found[:-1, 0, 3] < 0).any()  # the spin goes on through w = 0


def test_the_strongest_joints_are_kept():
    weights = np.array([[0.1, 0.5, 0.2, 0.05, 0.15], [0.0, 0.0, 0.0, 0.0, 1.0], [0.2, 0.2, 0.2, 0.2, 0.2]])
    joints, shares = strongest(weights, 4)
    assert joints.tolist() == [[1, 2, 4, 0], [4, 0, 0, 0], [0, 1, 2, 3]]
    np.testing.assert_allclose(shares[0], np.array([0.5, 0.2, 0.15, 0.1]) / 0.95)
    np.testing.assert_allclose(shares[1:], [[1, 0, 0, 0], [0.25] * 4])


def test_four_influences_lose_what_the_docstring_says(body: BodyModel):
    lossy = small_weights(body)
    changed = (lossy.weights != body.weights).any(1).nonzero()[:, 0]
    poses = load_prior("flow").sample(256, torch.Generator().manual_seed(0))
    rotations = torch.cat([torch.eye(3).expand(256, 1, 3, 3), poses], 1)
    people = Bodies(rotations, torch.zeros(256, 10), torch.zeros(256, 3))
    with torch.no_grad():
        found, truth = (b.chosen_vertices(people, changed) for b in (lossy, body))
    loss = (found - truth).norm(dim=-1) * 1000
    mean, worst = float(loss.sum()) / 256 / len(body.v_template), float(loss.max())
    told = save_animated_glb.__doc__ or ""
    assert f"by {mean:.2f} mm on average and by {worst:.0f} mm at most" in " ".join(told.split())


def small_weights(body: BodyModel) -> BodyModel:
    joints, shares = strongest(body.weights.numpy(), 4)
    weights = np.zeros(body.weights.shape)
    np.add.at(weights, (np.arange(len(weights))[:, None], joints), shares)
    kept = np.where((body.weights.numpy() > 0).sum(1, keepdims=True) > 4, weights, body.weights.numpy())
    return dataclasses.replace(body, weights=torch.from_numpy(kept).float())


def test_the_built_in_body_fits_into_a_file(body: BodyModel, tmp_path: Path):
    one = track(frames=2, body="builtin")
    save_animated_glb(tmp_path / "a.glb", body, [one])
    file = Reader(tmp_path / "a.glb")
    truth = in_viewer(small_weights(body).vertices(one.bodies))
    np.testing.assert_allclose(file.vertices(0, 1 / 30), truth[1], atol=2e-5)


def test_unwritable_places_and_wrong_people_leave_nothing(small: BodyModel, tmp_path: Path):
    with pytest.raises(InputError, match="cannot be written"):
        save_animated_glb(tmp_path / "none" / "a.glb", small, [track()])
    with pytest.raises(InputError, match="'builtin'"):
        save_animated_glb(tmp_path / "a.glb", small, [track(body="builtin")])
    with pytest.raises(ValueError, match="different name"):
        save_animated_glb(tmp_path / "a.glb", small, [])
    assert not list(tmp_path.iterdir())
