"""Networks of tables: trained once, beginnings shared, gone on with, measured."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from bodyloop.nets.build import build
from bodyloop.studies import networks
from bodyloop.studies.measure import measured
from bodyloop.studies.networks import Cell, Workshop, for_table, measure_cells, test_people
from bodyloop.train.recipes import Recipe, rong, spin
from bodyloop.train.regressor import Regressor
from bodyloop.train.run_files import LAST

test_people.__test__ = False  # type: ignore[attr-defined]
PEOPLE = test_people("wild", "smoke", False, 96)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("shop")
    return Workshop(folder / "networks", folder / "crops")


def small(three_d: float = 1.0, **more: object) -> Recipe:
    return for_table(rong("smoke", three_d=three_d, **more), "smoke", False, 0)  # type: ignore[arg-type]


def test_a_shared_beginning_changes_nothing(shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[str] = []
    recipe = small()
    measure_cells([Cell(recipe, PEOPLE)], shop, told.append)
    assert any(line.startswith("2 networks to train") for line in told)
    monkeypatch.setattr(networks, "_prefix", lambda recipe: None)
    alone = replace(shop, folder=tmp_path)
    measure_cells([Cell(recipe, PEOPLE)], alone, lambda line: None)
    a, b = (load_file(s.run_folder(recipe) / LAST) for s in (shop, alone))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_what_is_there_is_not_made_again(shop: Workshop):
    told: list[str] = []
    first = measure_cells([Cell(small(), PEOPLE)], shop, lambda line: None)
    again = measure_cells([Cell(small(), PEOPLE)], shop, told.append)
    assert first == again
    assert told == []
    measure_cells([Cell(small(), PEOPLE), Cell(small(0.0), PEOPLE)], shop, told.append)
    assert "1 networks to train" in told, "the beginning is there, as is the other network"


def test_untrained_networks_are_measured_as_they_are(shop: Workshop):
    (figures,) = measure_cells([Cell(small(), PEOPLE, trained=False)], shop, lambda line: None).values()
    (trained,) = measure_cells([Cell(small(), PEOPLE)], shop, lambda line: None).values()
    assert figures != trained
    assert figures == measured(build(small().network, 0), small(), PEOPLE, shop.pantry())


def test_true_bodies_have_no_errors(shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    before = measured(build(small().network, 0), small(), PEOPLE, shop.pantry()).part_iou
    assert before is not None
    monkeypatch.setattr(Regressor, "placed", lambda self, estimate, batch: batch.bodies)
    found = measured(build(small().network, 0), small(), PEOPLE, shop.pantry())
    for error in (found.mpjpe_mm, found.pa_mpjpe_mm, found.mpvpe_mm, found.pve_t_mm):
        assert error == pytest.approx(0, abs=0.01)
    assert found.keypoint_px is not None
    assert found.keypoint_px < 0.1
    assert found.dkd_px is not None
    assert found.dkd_px < 2
    assert found.part_iou is not None
    assert found.part_iou > 0.45, "maps are small, and people partly hidden"
    assert found.part_iou > 3 * before


def test_fits_in_the_loop_share_nothing():
    assert networks._prefix(for_table(spin("smoke"), "smoke", False, 0)) is None


def test_seeds_and_steps():
    recipe = for_table(rong("smoke"), "smoke", True, 7, times=3)
    assert recipe.seed == 7
    assert [phase.steps for phase in recipe.phases] == [6, 6]
    assert recipe.validate_every == recipe.steps
    assert {data.poses for phase in recipe.phases for data in phase.data} == {"mocap"}
