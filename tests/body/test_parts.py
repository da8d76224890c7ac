"""Part labels: every vertex and face has one, left and right mirror each other, coarse is a union of fine."""

import numpy as np
import pytest
import torch

from bodyloop.body import SMPL_JOINTS, BodyModel, load_body
from bodyloop.body.parts import PARTITIONS, face_parts, partition, vertex_parts
from surface import mirror_faces, mirror_vertices

NAMES = sorted(PARTITIONS)


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_all_vertices_and_faces(body: BodyModel, name: str):
    count = len(partition(name).parts)
    for labels, size in (
        (vertex_parts(body, name), len(body.v_template)),
        (face_parts(body, name), len(body.faces)),
    ):
        assert labels.shape == (size,)
        assert labels.dtype == torch.int64
        assert 0 <= labels.min() <= labels.max() < count


def test_every_part_of_the_coarse_partitions_is_there(body: BodyModel):
    for name in ("densepose", "lsp"):
        assert set(face_parts(body, name).tolist()) == set(range(len(partition(name).parts)))


@pytest.mark.parametrize("name", NAMES)
def test_mirrored_places_have_mirrored_labels(body: BodyModel, name: str):
    flip = torch.tensor(partition(name).flip)
    vertex, face = vertex_parts(body, name), face_parts(body, name)
    clear = clear_winner(body.weights)
    assert clear.float().mean() > 0.99
    assert (vertex[mirror_vertices(body)] == flip[vertex])[clear].all()
    clear = clear_winner(body.weights[body.faces].sum(1))
    assert (face[mirror_faces(body)] == flip[face])[clear].all()


def clear_winner(weights: torch.Tensor) -> torch.Tensor:
    """Where no second joint pulls as hard, as left and right do in the body's middle."""
    best = weights.topk(2).values
    return best[:, 0] > best[:, 1] + 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_partitions_are_unions_of_joints(body: BodyModel, name: str):
    merge = torch.tensor(partition(name).part_of_joint)
    assert torch.equal(face_parts(body, name), merge[face_parts(body)])
    assert torch.equal(vertex_parts(body, name), merge[vertex_parts(body)])


def test_names_say_where_the_part_is(body: BodyModel):
    parts, labels = partition("densepose").parts, face_parts(body, "densepose")
    centers = body.v_template[body.faces].mean(1)
    place = {name: centers[labels == i].mean(0) for i, name in enumerate(parts)}
    for name, (x, _, _) in place.items():
        assert (x > 0.01) == ("left" in name)
        assert (x < -0.01) == ("right" in name)
    heights = [place[f"left_{n}"][1] for n in ("foot", "lower_leg", "upper_leg")]
    assert heights == sorted(heights)
    assert place["head"][1] == max(p[1] for p in place.values())


def test_any_body_of_smpls_format(tmp_path, smpl_arrays):
    np.savez(tmp_path / "body.npz", **smpl_arrays)
    made_up = load_body(tmp_path / "body.npz")
    assert vertex_parts(made_up).tolist() == [i % 24 for i in range(len(made_up.v_template))]


def test_partitions_of_the_files():
    assert partition("smpl").parts == SMPL_JOINTS
    assert partition("densepose").flip == (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 13)
    with pytest.raises(KeyError, match="no partition 'nonsense'; there are smpl"):
        partition("nonsense")
