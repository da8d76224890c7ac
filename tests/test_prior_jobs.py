"""Training and picturing priors, from the command line down."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bodyloop import prior_jobs
from bodyloop.cli import main
from bodyloop.data.poses import PoseSet
from bodyloop.data.splits import read_poses
from bodyloop.errors import InputError
from bodyloop.prior_jobs import KINDS, Kind, SampleJob, TrainJob, sample_prior, train_prior
from bodyloop.priors import load_prior
from bodyloop.priors.flow import Flow
from bodyloop.priors.shipped import HOMES
from bodyloop.train.flow import pose_numbers
from bodyloop.train.gmm import GmmConfig
from motion_folder import made_up_mocap


@pytest.fixture(scope="module")
def mocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_mocap(tmp_path_factory.mktemp("mocap"), s01=10, s09=5, s08=4)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command; gives status, output and errors, each in one line."""

    def run(*arguments: object) -> tuple[int, str, str]:
        status = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return status, " ".join(captured.out.split()), " ".join(captured.err.split())

    return run


def nobody_listens(text: str) -> None:
    pass


# Training


def test_training_writes_weights_and_their_card(call, mocap: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    out = tmp_path / "new" / "mine.safetensors"
    status, said, told = call(
        "prior", "train", "gmm", "--mocap", mocap, "--out", out, "--steps", 2, "--angle", 5
    )
    assert status == 0
    assert sorted(p.name for p in out.parent.iterdir()) == ["mine.md", "mine.safetensors"]
    assert load_prior("gmm", out).means.shape == (8, 69)
    card = " ".join(out.with_suffix(".md").read_text().split())
    assert card in said
    for words in (
        "# Mixture pose prior",
        "20 training poses of subjects 01 02",
        "subjects 09 11, 5 poses",
        "Test subjects 08 61 85 94: not used",
        "modes 8, floor 0.05, draws 40000, steps 2, seed 0",
        "`bodyloop prior train gmm --mocap DATA --angle 5.0 --steps 2`",
        "Energy in nats (5, 50, 95 %): train ",
        "Mean log-likelihood in nats, a density over 69 numbers: train ",
        "Licence: weights Apache-2.0.",
    ):
        assert words in card
    assert "step 2 log-likelihood" in told


def test_the_card_tells_of_the_test_subjects_when_asked(mocap: Path, tmp_path: Path):
    pytest.importorskip("sklearn")
    job = TrainJob("gmm", mocap, tmp_path / "a.safetensors", steps=1, test=True)
    card = " ".join(train_prior(job, nobody_listens).card.split())
    assert "judged only, 4 poses" in card
    assert "--test`" in card
    likelihoods = card.split("density over 69 numbers: ")[1].split(".", 4)[:3]
    assert "test" in " ".join(likelihoods)


class Scale:
    """A prior that is a number, for want of a simpler one."""

    representation = "axis_angle"

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def energy(self, rotations: torch.Tensor) -> torch.Tensor:
        return self.scale * rotations.flatten(1).square().sum(1)

    def save(self, path: Path) -> None:
        path.write_text(str(self.scale))

    @classmethod
    def load(cls, path: Path) -> "Scale":
        return cls(float(path.read_text()))


@dataclasses.dataclass(frozen=True)
class ScaleConfig:
    steps: int = 5
    seed: int = 0


@pytest.fixture
def scale_kind(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A further kind of prior, plugged in as "limits"; returns what its training was given."""
    given: list[Any] = []

    def train(poses: PoseSet, validation: PoseSet, config: Any, report: Any, checkpoint: Path) -> Scale:
        given.extend([poses, validation, config, checkpoint, checkpoint.exists()])
        checkpoint.write_text("half way")
        report("half way")
        if config.steps == 13:
            raise KeyboardInterrupt
        return Scale(2.0)

    kind = Kind(
        "Scale",
        "A number.",
        lambda job: prior_jobs.with_job(ScaleConfig(), job),
        train,
        more_metrics=lambda prior, splits: [f"Scale: {prior.scale} on {sorted(splits)}."],
    )
    monkeypatch.setitem(KINDS, "limits", kind)
    monkeypatch.setattr(prior_jobs, "load_prior", lambda name, path: Scale.load(path))
    return given


def test_a_kind_is_plugged_in_with_one_entry(scale_kind: list[Any], mocap: Path, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = train_prior(TrainJob("limits", mocap, seed=4), nobody_listens)
    poses, validation, config, checkpoint, _ = scale_kind
    assert (len(poses), len(validation)) == (20, 5)
    assert config == ScaleConfig(seed=4)
    assert checkpoint == Path("limits.ckpt")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["limits.md", "limits.safetensors"]
    assert "Scale: 2.0 on ['train', 'validation']." in trained.card
    assert "train 138.0 / 138.0 / 138.0" in trained.card, "23 rotations, each of squared norm 3, times 2"
    assert "log-likelihood" not in trained.card


def test_a_killed_run_leaves_its_checkpoint(scale_kind: list[Any], call, mocap: Path, tmp_path: Path):
    common = ("prior", "train", "limits", "--mocap", mocap, "--out", tmp_path / "a.safetensors")
    status, _, told = call(*common, "--steps", 13)
    assert status == 130
    assert "prior train, synth and evaluate go on from there" in told
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]
    assert call(*common)[0] == 0
    assert scale_kind[-1], "the second run finds it"
    assert not (tmp_path / "a.ckpt").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["adversarial-x"], "invalid choice"),
        (["gmm", "--variant", "light"], "choices of the flow, not of 'gmm'"),
        (["gmm", "--steps", "0"], "--steps: expected at least 1, got 0"),
        (["gmm", "--angle", "0"], "--angle: expected degrees between 0 and 180"),
        (["gmm", "--out", "a.md"], "ends in .safetensors"),
        (["gmm", "--mocap", "nowhere"], "expected a folder with CMU motion capture"),
    ],
)
def test_mistakes_before_training(
    call, mocap: Path, tmp_path: Path, monkeypatch, options: list[str], message: str
):
    monkeypatch.chdir(tmp_path)
    data = [] if "--mocap" in options else ["--mocap", mocap]
    status, _, told = call("prior", "train", *options, *data)
    assert status == 2
    if message != "invalid choice":
        assert message in told
    assert not list(tmp_path.iterdir())


def test_a_kind_that_is_not_there_yet(mocap: Path, monkeypatch):
    monkeypatch.delitem(KINDS, "vae", raising=False)
    with pytest.raises(InputError, match="kind 'vae' cannot be trained yet; expected one of gmm"):
        train_prior(TrainJob("vae", mocap), nobody_listens)


def test_every_kind_takes_its_seed_and_steps_from_the_job():
    for name, kind in KINDS.items():
        job = TrainJob(name, Path("data"), seed=7, steps=3)  # type: ignore[arg-type]
        config = kind.config(job)
        assert (config.seed, config.steps) == (7, 3)
    assert KINDS["gmm"].config(TrainJob("gmm", Path("data"))) == GmmConfig()


def test_what_can_be_trained_can_be_loaded():
    assert set(KINDS) <= set(HOMES)


@pytest.mark.parametrize(
    ("kind", "options", "steps", "words"),
    [
        (
            "flow",
            {},
            2,
            (
                "kind nvp",
                "a density over 138 numbers: train ",
                "with the training's noise (sigma 0.05): train ",
            ),
        ),
        (
            "flow",
            {"representation": "axis_angle", "variant": "light"},
            2,
            (
                "hidden (20,)",
                " --representation axis_angle --variant light`",
                "a density over 69 numbers: train ",
                "with the training's noise (sigma 0.1): train ",
            ),
        ),
        ("flow", {"variant": "light"}, 1, ("Numbers: 93,920.", " --variant light`")),
        ("flow", {"variant": "prelu"}, 1, ("kind prelu", "rate 0.0005", " --variant prelu`")),
        ("vae", {}, 2, ("decoder alone: 350,346", "Mean vertex distance after encoding and decoding")),
        ("adversarial", {}, 1, ("Pairs in which a false pose has the higher energy: train ",)),
        ("limits", {}, 1, ("quantile 0.001, margin 0.1",)),
    ],
)
def test_every_kind_trains_from_files_to_files(
    mocap: Path,
    tmp_path: Path,
    monkeypatch,
    kind: Any,
    options: dict[str, Any],
    steps: int,
    words: tuple[str],
):
    monkeypatch.setattr("bodyloop.train.flow.WHITENED_ON", 2000)
    job = TrainJob(kind, mocap, tmp_path / "mine.safetensors", seed=4, steps=steps, **options)
    told: list[str] = []
    trained = train_prior(job, told.append)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.md", "mine.safetensors"], (
        "no checkpoint is left"
    )
    card = " ".join(trained.files[1].read_text().split())
    assert card == " ".join(trained.card.split())
    for said in (
        f"# {KINDS[kind].title}",
        "20 training poses of subjects 01 02",
        "subjects 09 11, 5 poses",
        f"`bodyloop prior train {kind} --mocap DATA --seed 4",
        "Energy in nats (5, 50, 95 %): train ",
        *words,
    ):
        assert said in card
    assert ("log-likelihood in nats, a density" in card) == (kind == "flow")
    prior = load_prior(kind, trained.files[0])
    assert prior.representation == options.get("representation", prior.representation)
    poses = torch.eye(3).expand(2, 23, 3, 3)
    energy = prior.energy(poses)
    assert torch.isfinite(energy).all()
    assert torch.equal(energy, load_prior(kind, trained.files[0]).energy(poses))
    if kind != "limits":
        assert any(line.startswith(f"step {steps}/{steps}") for line in told)


def test_the_card_tells_the_likelihood_of_the_weights_beside_it(mocap: Path, tmp_path: Path, monkeypatch):
    """Of what was saved and read again, on the poses of the split that it names."""
    monkeypatch.setattr("bodyloop.train.flow.WHITENED_ON", 2000)
    job = TrainJob("flow", mocap, tmp_path / "f.safetensors", steps=1, representation="axis_angle")
    card = " ".join(train_prior(job, nobody_listens).card.split())
    told = float(card.split("density over 69 numbers: ")[1].split("validation ")[1].split()[0].rstrip("."))
    flow = Flow.load(tmp_path / "f.safetensors")
    poses = read_poses(mocap, "validation", job.angle, None, nobody_listens).pose
    with torch.no_grad():
        found = flow.log_prob_at(pose_numbers(poses, "axis_angle")).mean()
    assert float(found) == pytest.approx(told, abs=0.006)


# Sampling


def test_samples_of_the_shipped_mixture(call, tmp_path: Path):
    status, said, _ = call("prior", "sample", "gmm", "-o", tmp_path / "out", "--count", 3, "--seed", 5)
    assert status == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["samples.npz", "samples.png"]
    assert str(tmp_path / "out" / "samples.png") in said
    with np.load(tmp_path / "out" / "samples.npz") as stored:
        pose = torch.from_numpy(stored["pose"])
        assert (str(stored["prior"]), int(stored["seed"]), float(stored["temperature"])) == ("gmm", 5, 1.0)
    assert pose.shape == (3, 72)
    assert (pose[:, :3] == 0).all()
    drawn = load_prior("gmm").sample(3, torch.Generator().manual_seed(5))
    assert torch.allclose(prior_jobs.body_rotations(pose), drawn, atol=1e-5)
    picture = np.asarray(Image.open(tmp_path / "out" / "samples.png"))
    assert picture.shape[2] == 3
    assert picture[0, 0].tolist() == picture[-1, -1].tolist(), "the fourth place is empty"


def test_a_latent_prior_is_interpolated(tmp_path: Path):
    torch.manual_seed(0)
    flow = Flow("axis_angle", steps=2)
    flow.save(tmp_path / "flow.safetensors")
    job = SampleJob("flow-aa", tmp_path, tmp_path / "flow.safetensors", count=2, temperature=0.1)
    names = [path.name for path in sample_prior(job, nobody_listens)]
    assert names == ["samples.png", "interpolation.png", "samples.npz"]
    with np.load(tmp_path / "samples.npz") as stored:
        row = torch.from_numpy(stored["interpolation"])
    assert row.shape == (prior_jobs.INTERPOLATED, 72)
    z = Flow.load(tmp_path / "flow.safetensors").encode(prior_jobs.body_rotations(row))
    steps = z.diff(dim=0)
    assert torch.allclose(steps, steps[:1].expand_as(steps), atol=1e-3), "a straight line in latent space"
    wide = Image.open(tmp_path / "interpolation.png")
    assert wide.width == prior_jobs.INTERPOLATED * (Image.open(tmp_path / "samples.png").width // 2)


def test_a_prior_that_cannot_be_sampled(call, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(prior_jobs, "load_prior", lambda name, path: Scale(1.0))
    status, _, told = call("prior", "sample", "limits", "-o", tmp_path / "out")
    assert status == 2
    assert "the prior 'limits' judges poses and cannot draw them" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--count", "0"], "--count: expected 1 to 400, got 0"),
        (["--count", "500"], "--count: expected 1 to 400, got 500"),
        (["--temperature=-1"], "--temperature: expected a number from 0 on, got -1"),
        (["--temperature", "nan"], "--temperature: expected a number from 0 on"),
        (["--weights", "none.safetensors"], "none.safetensors: no such file"),
    ],
)
def test_mistakes_before_sampling(call, tmp_path: Path, options: list[str], message: str):
    status, _, told = call("prior", "sample", "gmm", "-o", tmp_path / "out", *options)
    assert status == 2
    assert message in told
    assert not (tmp_path / "out").exists()
