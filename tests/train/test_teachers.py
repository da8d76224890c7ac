"""Teachers: what they say stands where labels would, in any crop; and whoever cannot teach says why."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.crops import CropSpec, draw_crops
from bodyloop.data.labels import Labels
from bodyloop.data.mixture import Draw
from bodyloop.data.synthetic.streams import stream
from bodyloop.errors import InputError
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera
from bodyloop.nets.build import build
from bodyloop.nets.candidates import draw_pncc
from bodyloop.nets.cen import Cen, CenConfig
from bodyloop.train.config import (
    CandidateLabels,
    FileLabels,
    FitLabels,
    LoopLabels,
    NetworkLabels,
    Recipe,
    Teacher,
    recipes_before,
)
from bodyloop.train.fits import FitsDictionary, reprojection_error
from bodyloop.train.larder import Pantry
from bodyloop.train.moon import moon_f, moon_g, wild_people
from bodyloop.train.recipes import spin
from bodyloop.train.regressor import Regressor
from bodyloop.train.run_files import LAST, folder_of
from bodyloop.train.settings import to_text
from bodyloop.train.teachers import TEACHERS, Question, Taught, choose_candidates, label_people
from bodyloop.train_jobs import TrainingJob, make_tools, train_network
from made_up_people import full_record

CAMERA = Camera(torch.tensor([420.0, 420.0]), torch.tensor([150.0, 110.0]), (320, 240))
PEOPLE = 4
AUGMENT = AugmentConfig(resolution=64, rotation_chance=1.0, flip_chance=0.5, occlusion_chance=0.0)
NO_3D = Labels(three_d=0.0)


@pytest.fixture(scope="module")
def source(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> CropSource:
    records = [full_record(body, seed, CAMERA) for seed in range(PEOPLE)]
    spec = CropSpec("made", {}, resolution=96, maps=48, dense=20)
    return CropSource(draw_crops(records, spec, tmp_path_factory.mktemp("crops")))


def batches(source: CropSource, labels: Labels, augment: AugmentConfig, body: BodyModel) -> CropBatches:
    return CropBatches([replace(source, labels=labels)], augment, body)


@pytest.fixture(scope="module")
def truth(source: CropSource, body: BodyModel) -> FitsDictionary:
    """A teacher who knows."""
    draws = [Draw(0, row, row) for row in range(PEOPLE)]
    batch = batches(source, Labels(), AugmentConfig.none(64), body).lesson(draws, stream(0)).batch
    found = FitsDictionary(PEOPLE, body)
    found.offer(batch.row, batch.bodies, torch.zeros(PEOPLE), batch.crop_angle, batch.flipped)
    return found


def test_true_labels_taught_are_true_labels(source: CropSource, truth: FitsDictionary, body: BodyModel):
    """In crops that are turned and mirrored."""
    draws = [Draw(0, row % PEOPLE, row) for row in range(3 * PEOPLE)]
    labelled = batches(source, Labels(), AUGMENT, body).lesson(draws, stream(1)).batch
    bare = batches(source, NO_3D, AUGMENT, body).lesson(draws, stream(1))
    assert not bare.batch.has_pose.any()
    taught = Taught(body, {0: (truth, 0.05)})(bare).batch
    assert labelled.flipped.any()
    for name in ("has_pose", "has_orientation", "has_betas", "has_translation", "joints_absolute"):
        assert getattr(taught, name).all(), name
    for name in ("rotations", "betas", "translation"):
        torch.testing.assert_close(
            getattr(taught.bodies, name), getattr(labelled.bodies, name), atol=2e-4, rtol=0
        )
    both = taught.joints_known & labelled.joints_known
    assert both.any()
    torch.testing.assert_close(taught.joints[both], labelled.joints[both], atol=1e-3, rtol=0)


def test_labels_come_before_teachers(source: CropSource, truth: FitsDictionary, body: BodyModel):
    draws = [Draw(0, row, row) for row in range(PEOPLE)]
    lesson = batches(source, Labels(), AUGMENT, body).lesson(draws, stream(1))
    assert Taught(body, {0: (truth, 1.0)})(lesson) is lesson
    elsewhere = batches(source, NO_3D, AUGMENT, body).lesson(draws, stream(1))
    assert Taught(body, {1: (truth, 1.0)})(elsewhere) is elsewhere


def test_bad_labels_do_not_supervise(source: CropSource, truth: FitsDictionary, body: BodyModel):
    spoilt = FitsDictionary(PEOPLE, body)
    spoilt.load_state_dict(truth.state_dict() | {"error": torch.tensor([0.01, 0.2, torch.inf, 0.04])})
    draws = [Draw(0, row, row) for row in range(PEOPLE)]
    lesson = batches(source, NO_3D, AUGMENT, body).lesson(draws, stream(1))
    for threshold, wanted in ((0.05, [True, False, False, True]), (torch.inf, [True, True, False, True])):
        taught = Taught(body, {0: (spoilt, float(threshold))})(lesson).batch
        assert taught.has_pose.tolist() == wanted


def test_networks_label_everybody_they_see_enough_of(source: CropSource, body: BodyModel, tmp_path: Path):
    """What is kept is what the network says of the upright crop; without keypoints it says nothing."""
    recipe = moon_f("smoke")
    network, pantry = build(recipe.network).eval(), Pantry(tmp_path, body, None)
    found = label_people(network, recipe, source, pantry)
    draws = [Draw(0, row, row) for row in range(PEOPLE)]
    upright = batches(source, Labels(), AugmentConfig.none(64, recipe.augment.margin), body)
    batch = upright.lesson(draws, stream(0)).batch
    regressor = Regressor(network, body)
    with torch.no_grad():
        said = regressor.placed(network(regressor.crops(batch)), batch)
    kept, error = found.get(torch.arange(PEOPLE), torch.zeros(PEOPLE), torch.zeros(PEOPLE, dtype=torch.bool))
    torch.testing.assert_close(kept.rotations, said.rotations, atol=1e-4, rtol=0)
    torch.testing.assert_close(kept.translation, said.translation, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(error, reprojection_error(body, said, batch))
    blind = label_people(network, recipe, replace(source, labels=Labels(keypoints=0.0)), pantry)
    assert torch.isinf(blind.error).all()


# Whole runs


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


def trained(recipe: Recipe, out: Path, crops: Path, tell=lambda text: None) -> Path:  # type: ignore[no-untyped-def]
    out.parent.mkdir(parents=True, exist_ok=True)
    file = out.parent / f"{out.name}.json"
    file.write_text(to_text(recipe))
    done, _ = train_network(TrainingJob(str(file), out, None, (), crops, accelerator="cpu", workers=0), tell)
    return done.last


@pytest.mark.parametrize("start", ["mean", "flow"])
def test_fits_teach(start: str, crops: Path, tmp_path: Path):
    assert trained(moon_g("smoke", FitLabels(start)), tmp_path / "g", crops).exists()  # type: ignore[arg-type]


def test_candidates_teach_and_the_network_that_ships_chooses(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[torch.Size] = []

    class Sized(Cen):
        """Takes whatever is drawn largest for worst."""

        def forward(self, image: torch.Tensor, pncc: torch.Tensor) -> torch.Tensor:
            asked.append(pncc.shape)
            return pncc.flatten(1).mean(1, keepdim=True)

    monkeypatch.setattr(
        "bodyloop.train.teachers.default_cen", lambda: Sized(CenConfig("resnet18", 8, 32, 20)).eval()
    )
    recipe = moon_g("smoke", CandidateLabels(2))
    assert trained(recipe, tmp_path / "g", crops).exists()
    people = wild_people("smoke").count
    assert asked == [torch.Size((people, 3, 32, 32))] * 2
    trained(moon_g("smoke", CandidateLabels(2), "hmr"), tmp_path / "h", crops)
    assert len(asked) == 2, "they are kept"


def test_the_nearest_to_the_picture_is_chosen(source: CropSource, truth: FitsDictionary, body: BodyModel):
    """One of the candidates is the truth, which the judge knows by its drawing; others are far too near."""
    draws = [Draw(0, row, row) for row in range(PEOPLE)]
    batch = batches(source, Labels(), AugmentConfig.none(64), body).lesson(draws, stream(0)).batch

    class Knows(Cen):
        def forward(self, image: torch.Tensor, pncc: torch.Tensor) -> torch.Tensor:
            right = draw_pncc(body, batch.bodies, batch.camera, 32)
            return (pncc - right).abs().flatten(1).mean(1, keepdim=True)

    def alternatives(evidence: Evidence, camera: Camera, count: int) -> list[Bodies]:
        near = replace(batch.bodies, translation=batch.bodies.translation * 0.8)
        order = [near, batch.bodies, near]
        return [Bodies.cat([order[(i + k) % 3][i : i + 1] for i in range(PEOPLE)]) for k in range(count)]

    pantry = Pantry(source.crops.folder.parent, body, None)
    recipe = spin("smoke")
    recipe = replace(recipe, network=replace(recipe.network, resolution=64))  # type: ignore[type-var]
    tools = replace(make_tools(TrainingJob("spin", source.crops.folder), body, print, lambda *a: None))
    tools = replace(tools, alternatives=alternatives)
    asked = Question(recipe.phases[0].data[0], source, recipe, pantry, tools)
    found = choose_candidates(Knows(CenConfig("resnet18", 8, 32, 20)).eval(), 3, asked)
    said, error = found.get(batch.row, batch.crop_angle, batch.flipped)
    torch.testing.assert_close(said.translation, batch.bodies.translation, atol=1e-4, rtol=0)
    assert (error < 0.01).all()


def test_networks_that_teach_are_trained_first_and_once(crops: Path, tmp_path: Path):
    told: list[str] = []
    f = moon_f("smoke")
    trained(moon_g("smoke", NetworkLabels(f)), tmp_path / "g", crops, told.append)
    (start,) = recipes_before(f)
    for recipe in (f, start):
        assert (folder_of(recipe, tmp_path) / LAST).exists()
    assert any("labels of wild-train by moon-f" in line for line in told)
    again: list[str] = []
    trained(moon_g("smoke", NetworkLabels(f), "hmr"), tmp_path / "h", crops, again.append)
    assert not any("first" in line or "labels of" in line for line in again)


def test_loops_teach_their_own_people(crops: Path, tmp_path: Path):
    loop = spin("smoke")
    assert trained(moon_g("smoke", LoopLabels(loop)), tmp_path / "g", crops).exists()
    phase = loop.phases[0]
    others = replace(loop, phases=(replace(phase, data=(phase.data[0], replace(phase.data[1], seed=5))),))
    for recipe, message in ((others, "fits other people"), (moon_f("smoke"), "no fits in its loop")):
        with pytest.raises(InputError, match=message):
            trained(moon_g("smoke", LoopLabels(recipe)), tmp_path / message, crops)


def test_files_teach(crops: Path, tmp_path: Path, body: BodyModel):
    def by(path: Path, out: str) -> Path:
        return trained(moon_g("smoke", FileLabels(str(path))), tmp_path / out, crops)

    with pytest.raises(InputError, match="no such file"):
        by(tmp_path / "none", "a")
    FitsDictionary(2, body).save(tmp_path / "few")
    with pytest.raises(InputError, match="labels of 8 people, got 2"):
        by(tmp_path / "few", "b")
    FitsDictionary(wild_people("smoke").count, body).save(tmp_path / "all")
    assert by(tmp_path / "all", "c").exists()


def test_every_kind_has_somebody_to_ask():
    assert set(TEACHERS) == set(Teacher.__args__)


def test_classifiers_have_to_be_given(crops: Path, tmp_path: Path):
    recipe = replace(moon_f("smoke"), begin=None, start="classifier")
    with pytest.raises(InputError, match="--backbone FILE"):
        trained(recipe, tmp_path / "f", crops)


def test_a_code_that_is_not_there_cannot_be_judged(crops: Path, tmp_path: Path):
    f = moon_f("smoke")
    with pytest.raises(InputError, match=r"network\.pose=latent"):
        trained(replace(f, network=replace(f.network, pose="direct")), tmp_path / "f", crops)
