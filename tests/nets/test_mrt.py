"""The mesh refinement transformer: its encoding, and what its answer depends on."""

import math
from dataclasses import replace

import pytest
import torch

from bodyloop.errors import InputError
from bodyloop.nets.build import build
from bodyloop.nets.estimator import Candidate, Crops
from bodyloop.nets.mrt import Mrt, MrtConfig, sines
from bodyloop.nets.size import measure_size
from made_up_crops import TINY, random_crops


def test_the_encoding_is_that_of_equation_5():
    values = torch.rand(2, 3, 4, 4).double()
    found = sines(values, 6)
    for c in range(3):
        for i in range(3):
            angle = values[:, c] / 10000 ** (2 * i / 6)
            assert torch.allclose(found[:, 6 * c + 2 * i], angle.sin())
            assert torch.allclose(found[:, 6 * c + 2 * i + 1], angle.cos())


def other_candidate(crops: Crops, seed: int) -> Crops:
    return replace(crops, candidate=random_crops(len(crops.image), seed).candidate)


def test_the_candidates_drawing_matters_unless_cells_are_told_by_their_place():
    for encoding, matters in (("pncc", True), ("place", False)):
        network = build(replace(TINY["candidates"], encoding=encoding)).eval()
        torch.nn.init.normal_(network.rotation.weight)
        crops = random_crops(2)
        a, b = network(crops), network(other_candidate(crops, 1))
        assert torch.allclose(a.rotations, b.rotations, atol=1e-6) != matters


def test_rotations_start_from_the_mean_or_from_the_candidate():
    for start in ("mean", "candidate"):
        network = build(replace(TINY["candidates"], start=start)).eval()
        torch.nn.init.zeros_(network.rotation.weight)
        crops = random_crops(2)
        found = network(crops).rotations
        is_candidate = torch.allclose(found, crops.candidate.rotations, atol=1e-5)
        assert is_candidate == (start == "candidate")


def test_tokens_are_a_sequence_of_cells_without_order_of_their_own():
    """Attention knows places by the encoding alone: with the map and the drawing mirrored together, nothing changes."""
    network = build(TINY["candidates"]).eval()
    assert isinstance(network, Mrt)
    torch.nn.init.normal_(network.rotation.weight)
    maps, pncc = torch.randn(1, 24, 16, 16), torch.rand(1, 3, 16, 16)
    answers = []
    for flip in (False, True):
        m, p = (x.flip(-1) if flip else x for x in (maps, pncc))
        tokens = m + network._encoding(p)
        seen = network.encoder(tokens.flatten(2).mT)
        answers.append(network.decoder(network.queries[None], seen))
    assert torch.allclose(*answers, atol=1e-4)


def test_the_papers_sizes():
    config = MrtConfig()
    assert (config.cells, config.features) == (56, 384)
    network = build(replace(config, encoders=1, decoders=1))
    maps = network.upsampling(network.backbone.maps(torch.zeros(1, 3, 224, 224)))
    assert maps.shape == (1, 384, 56, 56)


def test_a_strided_grid_saves_attention():
    whole, strided = (replace(TINY["candidates"], stride=s) for s in (1, 2))
    sizes = [measure_size(build(c)).multiply_adds for c in (whole, strided)]
    assert sizes[1] < sizes[0]


def test_what_a_backbone_of_landmarks_sees_is_all_that_is_needed_of_the_picture():
    network = build(TINY["candidates, by landmarks"]).eval()
    torch.nn.init.normal_(network.rotation.weight)
    crops = random_crops(2)
    seen = network.look(crops)
    known = network(Crops(candidate=crops.candidate, features={"image": seen}))
    assert torch.allclose(known.rotations, network(crops).rotations, atol=1e-5)
    maps = network._maps(seen)
    assert maps.shape == (2, 24, 8, 8), "half the side"
    assert (maps != network._maps(seen.flip(0))).any()


def test_without_a_candidate_or_with_another_size_it_is_told():
    network = build(TINY["candidates"])
    crops = random_crops(2)
    with pytest.raises(InputError, match="candidate"):
        network(replace(crops, candidate=None))
    with pytest.raises(InputError, match="16 pixels"):
        network(replace(crops, candidate=Candidate(torch.zeros(2, 3, 8, 8), crops.candidate.rotations)))


@pytest.mark.parametrize(
    "change",
    [
        {"features": 20},
        {"stride": 3},
        {"resolution": 50},
        {"waves": 0.0},
        {"backbone": "timm/x"},
        {"backbone": "landmarks18"},
        {"heads": 5},
    ],
)
def test_sizes_that_cannot_be_are_refused(change: dict):
    with pytest.raises(InputError):
        replace(TINY["candidates"], **change)


def test_a_wave_comes_round_for_small_networks():
    assert MrtConfig.small().waves == pytest.approx(2 * math.pi)
