"""The recipes of Moon et al.: who is drawn, what supervises, what each switch changes, and losses of joints."""

from dataclasses import replace

import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.crops import CropSpec, draw_crops
from bodyloop.data.mixture import Draw
from bodyloop.data.synthetic.streams import stream
from bodyloop.geometry import Camera
from bodyloop.nets.build import build
from bodyloop.nets.estimator import Crops
from bodyloop.nets.hmr import HmrConfig
from bodyloop.nets.two_branch import TwoBranchConfig
from bodyloop.train.moon import MORE, NO_RECIPES, Recipes, bridge_people, moon_f, moon_g, more_people, tuned
from bodyloop.train.recipes import (
    SIZES,
    FitLabels,
    NetworkLabels,
    Pose2dRecipe,
    Recipe,
    SyntheticData,
    recipes_before,
)
from bodyloop.train.regressor import ROOTS, joint_place_loss
from bodyloop.train.settings import from_text, to_text
from bodyloop.train_jobs import with_mocap
from made_up_people import full_record

CAMERA = Camera(torch.tensor([420.0, 420.0]), torch.tensor([150.0, 110.0]), (320, 240))


def data(recipe: Recipe) -> dict[str, SyntheticData]:
    return {f"{d.domain}-{d.seed}": d for d in recipe.phases[-1].data}  # type: ignore[union-attr]


@pytest.mark.parametrize("scale", SIZES)
@pytest.mark.parametrize("bridge", ["none", "2d", "3d"])
@pytest.mark.parametrize("more", [False, True])
def test_half_of_each_batch_is_the_wild(scale: str, bridge: str, more: bool):
    """Section 1: half from motion capture, half in the wild; the bridge's pictures are as many with 3D and without."""
    recipe = moon_f(scale, Recipes(bridge=bridge), more)  # type: ignore[arg-type]
    people = data(recipe)
    assert sum(d.weight for d in people.values()) == pytest.approx(1)
    assert sum(d.weight for d in people.values() if d.domain == "wild") == pytest.approx(0.5)
    assert [d.labels.three_d for d in people.values() if d.domain == "wild"] == [0.0] * (1 + more)
    assert people["studio-0"].labels.three_d == 1
    assert ("bridge-0" in people) == (bridge != "none")
    if bridge != "none":
        assert people["bridge-0"].labels.three_d == (bridge == "3d")
        assert people["bridge-0"].weight == people["studio-0"].weight


def test_more_people_are_95_times_the_bridge():
    assert round(2185 / 23) == MORE, "InstaVariety's and 3DPW's pictures, thousands (table 8)"
    assert more_people("cpu").count == 95 * bridge_people("cpu")
    assert more_people("gpu").count == 95 * bridge_people("gpu")
    assert 40 * bridge_people("cpu") < SIZES["cpu"].people * 2


def test_the_third_recipe_is_the_code_and_its_prior():
    kinds = {p: moon_f("cpu", Recipes(pose=p)) for p in ("rotations", "vposer", "vposer + L2", "flow + L2")}  # type: ignore[arg-type]
    networks = {p: (r.network.pose, r.network.prior) for p, r in kinds.items()}  # type: ignore[union-attr]
    assert networks["rotations"][0] == "direct"
    assert networks["vposer"] == networks["vposer + L2"] == ("latent", "vae")
    assert networks["flow + L2"] == ("latent", "flow")
    weights = {p: r.phases[0].losses.prior for p, r in kinds.items()}
    assert (weights["rotations"], weights["vposer"]) == (0, 0)
    assert weights["vposer + L2"] == weights["flow + L2"] > 0
    assert all(r.phases[0].losses.pose_prior == "own" for r in kinds.values())


def test_the_second_recipe_is_where_it_begins():
    assert isinstance(moon_f("cpu").begin, Pose2dRecipe)
    spin = moon_f("cpu", Recipes(begin="3d pose")).begin
    assert isinstance(spin, Recipe)
    assert (spin.start, spin.loop is not None) == ("random", True)
    for begin in ("random", "classifier"):
        recipe = moon_f("cpu", Recipes(begin=begin))  # type: ignore[arg-type]
        assert (recipe.start, recipe.begin) == (begin, None)


def test_g_is_taught_and_has_no_recipes_of_its_own():
    g = moon_g("cpu")
    assert data(g)["wild-0"].teacher == NetworkLabels(moon_f("cpu"))
    assert data(g)["wild-0"].labels.three_d == 0, "what it is taught is not what was labelled"
    assert "bridge-0" not in data(g)
    assert (g.start, g.begin, g.network.pose) == ("random", None, "direct")  # type: ignore[union-attr]
    assert g.phases[0].losses.prior == 0
    full = moon_g("cpu", FitLabels(), recipes=Recipes())
    assert full.network == moon_f("cpu").network
    assert data(full)["bridge-0"].labels.three_d == 1
    assert Recipes("none", "random", "rotations") == NO_RECIPES


@pytest.mark.parametrize(("kind", "config"), [("hmr", HmrConfig), ("two_branch", TwoBranchConfig)])
def test_other_networks_learn_from_the_same_labels(kind: str, config: type):
    recipe = moon_g("cpu", FitLabels(), kind)  # type: ignore[arg-type]
    assert isinstance(recipe.network, config)
    assert recipe.phases[0].data == moon_g("cpu", FitLabels()).phases[0].data
    assert recipe.phases[0].losses.heatmaps == 0


def test_fine_tuning_goes_on_with_f():
    f = moon_f("cpu")
    both = tuned(f, NetworkLabels(f))
    assert both.phases[0] == f.phases[0]
    assert data(both)["wild-0"].teacher == NetworkLabels(f)
    assert recipes_before(both) == (f, f.begin)


def test_recipes_within_recipes_survive_json_and_motion_capture():
    recipe = moon_g("cpu")
    assert from_text(Recipe, to_text(recipe)) == recipe
    real = with_mocap(recipe)
    assert '"poses": "flow"' not in to_text(real)
    assert with_mocap(real) == real
    assert "NetworkLabels(moon-f)" in str(recipe.phases[0].data[1])


def test_fields_that_came_later_leave_older_texts_alone():
    plain = to_text(SyntheticData())
    assert "teacher" not in plain
    assert "subjects" not in plain
    told = SyntheticData(teacher=FitLabels("mean"), subjects="test")
    assert from_text(SyntheticData, to_text(told)) == told


# Losses of joints


def test_true_joints_cost_nothing_and_unknown_ones_do_not_matter(body: BodyModel, tmp_path):
    records = [full_record(body, seed, CAMERA) for seed in range(3)]
    drawn = draw_crops(records, CropSpec("made", {}, resolution=96, maps=48, dense=20), tmp_path)
    batches = CropBatches([CropSource(drawn)], AugmentConfig.none(64), body)
    batch = batches.lesson([Draw(0, row, row) for row in range(3)], stream(0)).batch
    network = build(moon_f("smoke").network).eval()
    rows = [UNION45.index(name) for name in network.skeleton.keypoints]  # type: ignore[union-attr]
    hips = [UNION45.index(name) for name in ROOTS]
    flat = (2 * batch.keypoints[:, rows] + 1) / 64 - 1
    depth = batch.joints[:, rows, 2] - batch.joints[:, hips, 2].mean(1, keepdim=True)
    found = network(Crops(batch.image))
    places = torch.cat([flat, depth[..., None]], -1)
    assert float(joint_place_loss(replace(found, places=places), batch)) == pytest.approx(0, abs=1e-5)
    shifted = places + torch.tensor([0.1, 0.2, 0.05])
    assert float(joint_place_loss(replace(found, places=shifted), batch)) == pytest.approx(0.35, abs=1e-4)
    blind = replace(
        batch,
        confidence=torch.zeros_like(batch.confidence),
        keypoints=torch.full_like(batch.keypoints, torch.nan),
        joints_known=torch.zeros_like(batch.joints_known),
        joints=torch.full_like(batch.joints, torch.nan),
    )
    assert float(joint_place_loss(replace(found, places=shifted), blind)) == 0
