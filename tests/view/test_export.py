import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from bodyloop.body import Bodies
from bodyloop.errors import InputError
from bodyloop.geometry import Camera
from bodyloop.view.export import load_npz, save_glb, save_npz, save_obj, save_ply

CAMERA = Camera.from_focal(500, 640, 480)


def _people(count=2):
    generator = torch.Generator().manual_seed(0)
    pose = torch.randn(count, 72, generator=generator) * 0.5
    return Bodies.from_smpl(pose, torch.randn(count, 10, generator=generator), torch.rand(count, 3) + 2)


def _in_viewer(ball, people):
    return ball.vertices(people).numpy() * [1, -1, -1]


def test_parameters_come_back(tmp_path):
    people, path = _people(3), tmp_path / "a.npz"
    save_npz(
        path, people, CAMERA, "builtin", {"energy": torch.arange(3.0), "labels": np.array(["a", "b", "c"])}
    )
    saved = load_npz(path)
    torch.testing.assert_close(saved.bodies.rotations, people.rotations, atol=2e-6, rtol=0)
    assert torch.equal(saved.bodies.betas, people.betas)
    assert torch.equal(saved.bodies.translation, people.translation)
    assert torch.equal(saved.camera.focal, CAMERA.focal)
    assert torch.equal(saved.camera.center, CAMERA.center)
    assert saved.camera.size == (640, 480)
    assert saved.body_name == "builtin"
    assert saved.scores["energy"].tolist() == [0, 1, 2]
    assert saved.scores["labels"].tolist() == ["a", "b", "c"]
    with np.load(path) as archive:
        assert archive["pose"].shape == (3, 72)
        assert str(archive["version"]) == saved.version


def test_nobody_and_one_person_can_be_saved(tmp_path):
    for people in (_people(2)[:0], _people(1)):
        save_npz(tmp_path / "a.npz", people, CAMERA, "builtin")
        assert len(load_npz(tmp_path / "a.npz").bodies) == len(people)


def test_scores_may_not_hide_parameters_or_hold_objects(tmp_path):
    for scores in ({"pose": np.zeros(2)}, {"x": np.array([{}, {}])}):
        with pytest.raises(ValueError, match="score"):
            save_npz(tmp_path / "a.npz", _people(), CAMERA, "builtin", scores)
    assert not list(tmp_path.iterdir())


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(InputError, match=r"no\.npz"):
        load_npz(tmp_path / "no.npz")
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "objects.npz", pose=np.array([{}], dtype=object))
    np.savez(tmp_path / "other.npz", pose=np.zeros((2, 72)))
    good = {"betas": np.zeros((1, 10)), "trans": np.zeros((1, 3)), "focal": np.ones(2), "center": np.ones(2)}
    size = {"size": np.array([4, 4]), "body": "b", "version": "1"}
    np.savez(tmp_path / "shape.npz", pose=np.zeros((1, 70)), **good, **size)
    np.savez(tmp_path / "type.npz", pose=np.array(["x"]), **good, **size)
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    save_npz(tmp_path / "damaged.npz", _people(), CAMERA, "builtin")
    content = bytearray((tmp_path / "damaged.npz").read_bytes())
    content[45:400] = bytes(355)
    (tmp_path / "damaged.npz").write_bytes(content)
    for name in ("text", "objects", "other", "shape", "type", "array", "damaged"):
        with pytest.raises(InputError, match=name):
            load_npz(tmp_path / f"{name}.npz")
    (tmp_path / "whole.npz").write_bytes((tmp_path / "shape.npz").read_bytes()[:-200])
    with pytest.raises(InputError, match="whole"):
        load_npz(tmp_path / "whole.npz")


def test_glb_has_a_named_upright_person_each(ball, tmp_path):
    people = _people()
    save_glb(tmp_path / "a.glb", ball, people, ["anna", "ben"])
    scene = trimesh.load(tmp_path / "a.glb", process=False)
    assert set(scene.graph.nodes_geometry) == {"anna", "ben"}
    for i, name in enumerate(("anna", "ben")):
        mesh = scene.geometry[name]
        transform, _ = scene.graph[name]
        np.testing.assert_allclose(transform, np.eye(4), atol=1e-6)
        np.testing.assert_allclose(mesh.vertices, _in_viewer(ball, people)[i], atol=1e-5)
        assert mesh.volume > 0  # not inside out
        outward = mesh.vertices - mesh.vertices.mean(0)
        assert ((mesh.vertex_normals * outward).sum(1) > 0).all()
    assert b"NORMAL" in (tmp_path / "a.glb").read_bytes()


def test_obj_has_a_named_object_each(ball, tmp_path):
    people = _people()
    save_obj(tmp_path / "a.obj", ball, people)
    text = (tmp_path / "a.obj").read_text()
    assert [line for line in text.splitlines() if line.startswith("o ")] == ["o person_0", "o person_1"]
    rows = np.array([line.split()[1:] for line in text.splitlines() if line.startswith("v ")], float)
    np.testing.assert_allclose(rows, _in_viewer(ball, people).reshape(-1, 3), atol=1e-6)
    corners = [line.split()[1:] for line in text.splitlines() if line.startswith("f ")]
    faces = np.array([[int(c.split("//")[0]) for c in row] for row in corners]) - 1
    both = np.concatenate([ball.faces.numpy(), ball.faces.numpy() + len(ball.v_template)])
    np.testing.assert_array_equal(faces, both)


def test_any_label_may_name_an_obj_object(ball, tmp_path):
    """Labels come from keypoint files: a line break would end the name, and some texts cannot be written."""
    save_obj(tmp_path / "a.obj", ball, _people(), ["anna\nv 1 2 3", "\ud800"])
    lines = (tmp_path / "a.obj").read_text().splitlines()
    assert [line for line in lines if line.startswith("o ")] == ["o anna v 1 2 3", "o ?"]
    assert sum(line.startswith("v ") for line in lines) == 2 * len(ball.v_template)


def test_ply_has_everybody(ball, tmp_path):
    people = _people()
    save_ply(tmp_path / "a.ply", ball, people)
    mesh = trimesh.load(tmp_path / "a.ply", process=False)
    np.testing.assert_allclose(mesh.vertices, _in_viewer(ball, people).reshape(-1, 3), atol=1e-5)
    assert mesh.volume > 0
    colors = mesh.visual.vertex_colors
    assert (colors[0] != colors[-1]).any()


def test_names_must_fit_the_people(ball, tmp_path):
    for names in (["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="different name"):
            save_glb(tmp_path / "a.glb", ball, _people(), names)


@pytest.mark.parametrize("name", ["missing/a.npz", "folder"])
def test_unwritable_places_are_named_and_leave_nothing(tmp_path, ball, name):
    (tmp_path / "folder").mkdir()
    people = dataclasses.replace(_people())
    for save in (
        lambda path: save_npz(path, people, CAMERA, "ball"),
        lambda path: save_obj(path, ball, people),
        lambda path: save_ply(path, ball, people),
        lambda path: save_glb(path, ball, people),
    ):
        with pytest.raises(InputError, match="cannot be written"):
            save(tmp_path / name)
    assert [p.name for p in tmp_path.rglob("*")] == ["folder"]
