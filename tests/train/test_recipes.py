"""Recipes: the papers' numbers, and configurations that hold together."""

import math
from dataclasses import replace

import pytest

from bodyloop.data.labels import Labels
from bodyloop.errors import InputError
from bodyloop.fit.problem import MATCHED, EnergyWeights
from bodyloop.nets.hmr import HmrConfig
from bodyloop.train.config import FitLoop, Optimiser, Phase, Recipe, Supervision, SyntheticData
from bodyloop.train.recipes import RECIPES, SIZES, get_recipe, rong, spin, zanfir
from bodyloop.train.settings import changed, from_text, to_text


@pytest.mark.parametrize("scale", SIZES)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str, scale: str):
    recipe = get_recipe(name, scale)
    assert recipe.name == name
    assert from_text(Recipe, to_text(recipe)) == recipe
    assert recipe.augment.resolution == recipe.network.resolution


def test_weights_of_rong_et_al():
    """Appendix C: 10, 1, 10 for 3D, dense and 2D; 10 each of two; Adam with 1e-4, batches of 128."""
    recipe = rong("gpu")
    assert (recipe.optimiser.rate, recipe.optimiser.batch, recipe.optimiser.schedule) == (
        1e-4,
        128,
        "constant",
    )
    losses = recipe.phases[-1].losses
    assert (losses.joints, losses.rotations, losses.betas) == (10, 10, 10)
    assert (losses.dense, losses.keypoints) == (1, 10)
    first = recipe.phases[0].losses
    assert (first.joints, first.dense, first.keypoints) == (10, 0, 10)
    without = rong("gpu", three_d=0.0, constrained=False)
    two = without.phases[-1].losses
    assert (two.joints, two.rotations, two.betas, two.dense, two.keypoints) == (0, 0, 0, 10, 10)
    assert [[data.domain for data in phase.data] for phase in without.phases] == [["wild"]]
    lab = rong("gpu", three_d=0.0)
    three = lab.phases[-1].losses
    assert (three.joints, three.dense, three.keypoints) == (10, 1, 10), (
        "the studio's 3D labels are a third loss"
    )
    two = rong("gpu", three_d=0.0, sparse=False).phases[-1].losses
    assert (two.joints, two.dense, two.keypoints) == (10, 10, 0)
    assert [[data.domain for data in phase.data] for phase in lab.phases] == [["studio"], ["wild", "studio"]]
    two = rong("gpu", dense=False).phases[-1].losses
    assert (two.joints, two.dense, two.keypoints) == (10, 0, 10)
    share = rong("gpu", three_d=0.2, constrained=False)
    assert [phase.data[0].labels.three_d for phase in share.phases] == [0.2]
    pose, shape = (rong("gpu", three_d_of=what).phases[-1].losses for what in ("pose", "shape"))
    assert (pose.joints, pose.rotations, pose.betas) == (0, 10, 0)
    assert (shape.joints, shape.rotations, shape.betas) == (0, 0, 10)
    assert rong(three_d_of="pose").phases[0] == rong().phases[0], "all begin alike"
    assert rong("gpu", ("image", "iuv")).inputs == ("image", "iuv")


def test_weights_of_spin():
    recipe = spin("gpu")
    losses = recipe.phases[0].losses
    assert (losses.keypoints, losses.joints, losses.rotations, losses.betas, losses.mesh) == (
        5,
        5,
        1,
        0.001,
        0,
    )
    assert (recipe.optimiser.rate, recipe.optimiser.batch) == (5e-5, 64)
    assert recipe.network == HmrConfig()
    wild = recipe.phases[0].data[1]
    assert wild.labels == Labels(dense=0, parts=0, iuv=0, three_d=0)
    assert recipe.loop == FitLoop("in_loop", weights=EnergyWeights())
    assert spin(anchored=True).loop == FitLoop("in_loop", weights=MATCHED)
    assert spin(mode="static").loop == FitLoop("static")
    assert all(data.labels.three_d == 0 for data in spin(mode="unpaired").phases[0].data)


def test_phases_of_zanfir_et_al():
    """L_fs + L_ws, then L_ws."""
    full, weak = (phase.losses for phase in zanfir(share=0.2).phases)
    assert full.mesh > 0
    assert full.rotations > 0
    assert (weak.mesh, weak.rotations, weak.betas) == (0, 0, 0)
    assert replace(full, mesh=0, mesh_distance="absolute", rotations=0, betas=0) == weak
    assert weak.every_stage
    labels = [phase.data[0].labels.three_d for phase in zanfir(share=0.2).phases]
    assert labels == [0.2, 0.0]
    assert zanfir(parts=False).phases[1].losses.parts == 0


def test_the_resolution_follows_the_network():
    recipe = changed(get_recipe("spin"), "network.resolution", "96")
    assert recipe.augment.resolution == 96


def test_phases_by_step():
    losses, data = Supervision(joints=1.0), (SyntheticData(),)
    phases = (Phase("a", 3, data, losses), Phase("b", 2, data, losses))
    recipe = Recipe("x", "", HmrConfig.small(), phases, SyntheticData())
    assert [recipe.phase_at(step) for step in range(5)] == [0, 0, 0, 1, 1]
    with pytest.raises(ValueError, match="step 5 of 5"):
        recipe.phase_at(5)


def test_rates():
    constant = Optimiser(rate=0.1)
    assert {constant.rate_at(step, 100) for step in range(100)} == {0.1}
    cosine = Optimiser(rate=0.1, schedule="cosine")
    rates = [cosine.rate_at(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(0.1, rel=1e-2)
    assert rates[-1] < 1e-6
    assert rates[500] == pytest.approx(0.05)
    assert all(math.isfinite(rate) and rate > 0 for rate in rates)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phases.0.steps", "0"),
        ("optimiser.batch", "1"),
        ("optimiser.rate", "0"),
        ("seed", "-1"),
        ("save_every", "0"),
        ("validation.count", "0"),
        ("validation.domain", "moon"),
        ("phases.0.data.0.labels.three_d", "2"),
        ("network.rounds", "0"),
        ("network.backbone", "resnet7"),
    ],
)
def test_senseless_settings(name: str, value: str):
    with pytest.raises(InputError):
        changed(get_recipe("spin"), name, value)


def test_unknown_names():
    with pytest.raises(InputError, match=r"no recipe is called 'spine'; expected one of rong"):
        get_recipe("spine")
    with pytest.raises(InputError, match="no scale"):
        get_recipe("spin", "huge")
