import numpy as np
import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.view.packing import INFLUENCES, STEPS, Pack, influences
from made_up import random_bodies
from unpack import unpacked, unpacked_places


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.uint32])
@pytest.mark.parametrize("differences", [False, True])
def test_arrays_come_back(kind, differences):
    rng = np.random.default_rng(0)
    limits = np.iinfo(kind)
    first = rng.integers(limits.min, limits.max, (7, 3), dtype=kind, endpoint=True)
    second = rng.integers(limits.min, limits.max, 5, dtype=kind, endpoint=True)
    pack = Pack()
    entries = [pack.add(array, differences) for array in (first, second)]
    data = bytes(pack.data)
    np.testing.assert_array_equal(unpacked(data, entries[0]), first)
    np.testing.assert_array_equal(unpacked(data, entries[1])[:, 0], second)
    assert all(entry["offset"] % 4 == 0 for entry in entries)


def test_numbers_with_a_point_come_back_but_have_no_differences():
    values = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    pack = Pack()
    entry = pack.add(values)
    np.testing.assert_array_equal(unpacked(bytes(pack.data), entry), values)
    with pytest.raises(ValueError, match="differences"):
        pack.add(values, differences=True)


def test_places_are_off_by_half_a_step_at_most():
    places = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 1.0, 0.0])
    pack = Pack()
    entry = pack.add_places(places)
    found = unpacked_places(bytes(pack.data), entry)
    off = np.abs(found - places.numpy())
    extent = (places.amax(0) - places.amin(0)).numpy()
    assert (off <= extent / STEPS / 2 + 1e-6).all()


def test_faces_take_what_they_need():
    pack = Pack()
    few, many = torch.tensor([[0, 1, 65535]]), torch.tensor([[0, 1, 65536]])
    for faces, kind in ((few, "uint16"), (many, "uint32")):
        entry = pack.add_faces(faces)
        assert entry["type"] == kind
        np.testing.assert_array_equal(unpacked(bytes(pack.data), entry), faces.numpy())


def test_the_strongest_joints_stay_and_sum_to_one(body: BodyModel):
    index, weight = influences(body.weights)
    assert index.shape == weight.shape == (len(body.weights), INFLUENCES)
    torch.testing.assert_close(weight.sum(1), torch.ones(len(weight)))
    kept = body.weights.gather(1, index)
    assert (kept[:, :-1] >= kept[:, 1:]).all()
    left = body.weights.scatter(1, index, 0.0)
    assert (left.amax(1) <= kept[:, -1] + 1e-7).all()


def test_the_built_in_body_loses_less_than_a_millimetre(body: BodyModel):
    """With the strongest joints alone, in usual poses."""
    index, weight = influences(body.weights)
    few = torch.zeros_like(body.weights).scatter(1, index, weight)
    bodies = random_bodies(4, spread=0.3, dtype=torch.float32)
    light = BodyModel(
        body.name, body.v_template, body.shapedirs, few, body.joint_regressor, body.faces, body.parents
    )
    off = (light.vertices(bodies) - body.vertices(bodies)).norm(dim=-1)
    print(f"mean {1000 * off.mean():.4f} mm, most {1000 * off.max():.2f} mm")
    assert off.mean() < 1e-4
    assert off.max() < 5e-3
