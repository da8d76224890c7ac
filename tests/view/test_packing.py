import numpy as np
import pytest
import torch
from unpack import unpacked, unpacked_places

from bodyloop.view.packing import STEPS, Pack


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
