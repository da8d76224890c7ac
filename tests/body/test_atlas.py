"""The IUV atlas: a one-to-one map between the surface and its charts, and the way back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bodyloop.body import BodyModel
from bodyloop.body.atlas import CHART_FLIP, CHART_NAMES, PART_OF_CHART, Atlas, ChartMirror, builtin_atlas
from bodyloop.body.parts import face_parts
from surface import mirror_faces


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    return builtin_atlas()


def areas(atlas: Atlas) -> torch.Tensor:
    """Signed areas (F,) in UV."""
    a, b, c = atlas.uv.double().unbind(1)
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def random_points(atlas: Atlas, count: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    """Faces, weights, and I, U, V of random surface points; as many on tiny faces as on large ones."""
    rng = np.random.default_rng(seed)
    face = torch.from_numpy(rng.integers(0, len(atlas.faces), count))
    weights = torch.from_numpy(rng.dirichlet(np.ones(3), count))
    u, v = torch.einsum("nc,ncd->nd", weights, atlas.uv[face].double()).T
    return face, weights, atlas.charts[face], u, v


def test_faces_are_the_bodys_and_each_has_a_chart(atlas: Atlas, body: BodyModel):
    assert torch.equal(atlas.faces, body.faces)
    assert set(atlas.charts.tolist()) == set(range(1, 25))
    assert atlas.uv.min() >= 0
    assert atlas.uv.max() <= 1


def test_charts_are_densepose_parts(atlas: Atlas, body: BodyModel):
    """But for a few faces moved for the sake of the charts' outlines."""
    of_chart = torch.tensor((0, *PART_OF_CHART))
    assert (of_chart[atlas.charts] == face_parts(body, "densepose") + 1).float().mean() > 0.98


def test_names_say_where_the_chart_is(atlas: Atlas, body: BodyModel):
    centers = body.v_template[atlas.faces].mean(1)
    place = {name: centers[atlas.charts == i + 1].mean(0) for i, name in enumerate(CHART_NAMES)}
    for name, (x, y, z) in place.items():
        assert (x > 0.01) == ("left" in name)
        assert (x < -0.01) == ("right" in name)
        if name.endswith("back"):
            assert z < place[name.replace("back", "front")][2] - 0.03
        if name.endswith("inside"):
            assert y < place[name.replace("inside", "outside")][1] - 0.03


def test_left_mirrors_right(atlas: Atlas, body: BodyModel):
    twin = mirror_faces(body)
    assert torch.equal(atlas.charts[twin], torch.tensor((0, *CHART_FLIP))[atlas.charts])
    own, other = atlas.uv.mean(1), atlas.uv[twin].mean(1)
    paired = torch.tensor((0, *CHART_FLIP))[atlas.charts] != atlas.charts
    gap = (own - torch.stack([1 - other[:, 0], other[:, 1]], 1)).abs().amax(1)
    assert gap[paired].max() < 1e-6
    assert gap.max() < 0.01, "the torso's charts are symmetric in themselves"


def test_the_mirror_of_a_place_is_the_place_on_the_mirrored_body(atlas: Atlas, body: BodyModel):
    _, _, i, u, v = random_points(atlas, 20_000)
    part, uv = ChartMirror()(
        torch.as_tensor(i).long(), torch.stack([torch.as_tensor(u), torch.as_tensor(v)], -1).float()
    )
    here, there = (
        (body.v_template[corners] * weights[..., None]).sum(1)
        for corners, weights in (atlas.locate(i, u, v), atlas.locate(part, uv[:, 0], uv[:, 1]))
    )
    gap = (here * torch.tensor([-1.0, 1.0, 1.0]) - there).norm(dim=1)
    central = torch.tensor((0, *CHART_FLIP))[part] == part
    assert gap[~central].max() < 1e-4
    assert gap.median() < 1e-4
    assert gap.max() < 0.01, "the torso's charts are symmetric in themselves to less than 0.01"
    again = ChartMirror()(part, uv)
    assert torch.equal(again[0], torch.as_tensor(i).long())
    assert torch.allclose(again[1][:, 0], torch.as_tensor(u).float(), atol=1e-6)


def test_no_face_is_flipped_and_together_they_fit_the_squares(atlas: Atlas):
    assert (areas(atlas) > 0).all()
    total = torch.zeros(25, dtype=torch.float64).index_add(0, atlas.charts, areas(atlas))
    assert total[1:].max() <= 1
    assert total[1:].min() > 0.8, "most of each square is used"


def test_no_two_faces_of_a_chart_overlap(atlas: Atlas):
    """A point within a face is found in that face: no other one lies over it."""
    face, weights, i, u, v = random_points(atlas, 300_000)
    inside = weights.amin(1) > 1e-2
    vertices, found = atlas.locate(i, u, v)
    same = (vertices == atlas.faces[face]).all(1)
    assert same[inside].all()
    torch.testing.assert_close(found[same].double(), weights[same], rtol=0, atol=1e-3)
    covered = np.zeros(len(atlas.faces), bool)
    covered[face[inside]] = True
    assert covered.mean() > 0.99


def test_round_trip_of_every_vertex_within_a_millimetre(atlas: Atlas, body: BodyModel):
    iuv = atlas.vertex_iuv()
    assert iuv.shape == body.v_template.shape
    vertices, weights = atlas.locate(*iuv.T)
    back = (body.v_template[vertices] * weights[..., None]).sum(1)
    assert (back - body.v_template).norm(dim=1).max() < 1e-3


def test_round_trip_of_any_point_in_single_precision(atlas: Atlas, body: BodyModel):
    face, weights, i, u, v = random_points(atlas, 100_000, seed=1)
    point = (body.v_template[atlas.faces[face]] * weights[..., None]).sum(1)
    vertices, found = atlas.locate(i, u.float(), v.float())
    back = (body.v_template[vertices] * found[..., None]).sum(1)
    assert (back - point).norm(dim=1).max() < 1e-3


def test_weights_are_convex_wherever_one_asks(atlas: Atlas):
    g = torch.Generator().manual_seed(0)
    i = torch.randint(1, 25, (5, 4000), generator=g)
    u, v = torch.rand(2, 5, 4000, generator=g) * 1.4 - 0.2
    vertices, weights = atlas.locate(i, u, v)
    assert vertices.shape == weights.shape == (5, 4000, 3)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, 4000))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 24), st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_nearest_point_of_the_chart(i: int, u: float, v: float):
    """Against a search through all faces' edges and insides."""
    atlas = builtin_atlas()
    mine = atlas.uv[atlas.charts == i].double().numpy()
    faces = atlas.faces[atlas.charts == i]
    vertices, weights = atlas.locate(i, u, v)
    found = mine[(faces == vertices).all(1).numpy()][0]
    distance = np.linalg.norm(weights.double().numpy() @ found - [u, v])
    start, step = mine, np.roll(mine, -1, 1) - mine
    share = (([u, v] - start) * step).sum(-1) / (step**2).sum(-1)
    nearest = start + share.clip(0, 1)[..., None] * step
    to_edges = np.linalg.norm(nearest - [u, v], axis=-1).min()
    a, b, c = np.moveaxis(mine, 1, 0)
    turn = [
        (q - p)[:, 0] * (v - p[:, 1]) - (q - p)[:, 1] * (u - p[:, 0]) for p, q in ((a, b), (b, c), (c, a))
    ]
    least = 0.0 if (np.min(turn, 0) >= 0).any() else to_edges
    assert distance == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("bad", [0, 25, -3, 2.5])
def test_points_without_a_chart_are_counted(atlas: Atlas, bad: float):
    i = np.array([1, bad, 2, bad])
    with pytest.raises(ValueError, match="2 of 4 points have an I that is no chart"):
        atlas.locate(i, np.full(4, 0.5), np.full(4, 0.5))


def test_bad_places_are_refused(atlas: Atlas):
    with pytest.raises(ValueError, match="1 of 2 points have a U or V that is not finite"):
        atlas.locate([1, 1], [0.5, float("nan")], [0.5, 0.5])
    with pytest.raises(ValueError, match="one shape"):
        atlas.locate([1, 1], [0.5], [0.5])


def test_no_points_at_all(atlas: Atlas):
    vertices, weights = atlas.locate(torch.zeros(0), torch.zeros(0), torch.zeros(0))
    assert vertices.shape == weights.shape == (0, 3)


def test_atlas_refuses_what_does_not_fit():
    faces, charts, uv = torch.zeros(2, 3).long(), torch.ones(2).long(), torch.zeros(2, 3, 2)
    with pytest.raises(ValueError, match=r"uv \(F, 3, 2\)"):
        Atlas(faces, charts, uv[:1])
    with pytest.raises(ValueError, match="charts are 1 to 24"):
        Atlas(faces, charts * 25, uv)
