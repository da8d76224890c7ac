"""Pose priors trained and looked at: what ``bodyloop prior train`` and ``bodyloop prior sample`` do."""

import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from bodyloop import __version__
from bodyloop.body import builtin_body
from bodyloop.data.poses import PoseSet
from bodyloop.data.splits import SplitName, data_lines, read_poses
from bodyloop.errors import InputError
from bodyloop.priors import load_prior
from bodyloop.priors.adversarial import Adversarial
from bodyloop.priors.flow import Flow
from bodyloop.priors.gmm import GaussianMixture
from bodyloop.priors.prior import LatentPrior
from bodyloop.priors.representation import to_coordinates, to_rotations
from bodyloop.priors.vae import Vae
from bodyloop.train.adversarial import AdversarialConfig, adversarial_separation, train_adversarial
from bodyloop.train.cards import card_text, settings_text
from bodyloop.train.flow import FlowConfig, pose_numbers, thickened, train_flow
from bodyloop.train.gmm import GmmConfig, train_gmm
from bodyloop.train.limits import LimitsConfig, train_limits
from bodyloop.train.vae import VaeConfig, spread_vertices, train_vae, vae_error
from bodyloop.writing import make_folder, write_atomic

KindName = Literal["gmm", "flow", "vae", "adversarial", "limits"]
PriorName = Literal["gmm", "flow", "flow-aa", "flow-light", "flow-prelu", "vae", "adversarial", "limits"]
Tell = Callable[[str], None]

LIGHT = (20,)
"""Hidden width of the light flow's couplings: with 4 steps about 93,000 numbers, as in the paper."""
AA_NOISE = 0.1
"""Radians of noise for flows over axis-angle poses."""
PRELU_RATE = 5e-4
"""Learning rate of flows with parametric ReLUs, which lose at the usual one what the whitening gave them."""
INTERPOLATED = 9  # bodies in the row between two latents
MOST_SAMPLES = 400  # in one picture


@dataclass(frozen=True)
class TrainJob:
    """Train a pose prior on motion capture.

    Attributes:
        kind: of prior, one of `KINDS`.
        mocap: folder that holds ``cmu/bvh`` and ``cmu/npz_deepmimic``, or one of them.
        out: file for the weights; KIND.safetensors in the current folder if None. The model card lies beside it.
        cache: folder for the converted clips, so that the next run need not convert them.
        seed: of all random draws.
        angle: degrees by which some joint of two training poses of a clip must differ.
        steps: of training; the kind's own number if None.
        representation: of the flow; its usual one if None.
        variant: of the flow; its usual one if None.
        test: tell the likelihood of the test subjects too. They choose nothing.
    """

    kind: KindName
    mocap: Path
    out: Path | None = None
    cache: Path | None = None
    seed: int = 0
    angle: float = 8.0
    steps: int | None = None
    representation: Literal["axis_angle", "rot6d"] | None = None
    variant: Literal["light", "full", "prelu"] | None = None
    test: bool = False

    def file(self) -> Path:
        """Where the weights go."""
        return self.out or Path(f"{self.kind}.safetensors")

    def command(self) -> str:
        """What to type for the same weights; DATA stands for the user's folder."""
        told = ("seed", "angle", "steps", "representation", "variant", "test")
        changed = [f for f in fields(self) if f.name in told and getattr(self, f.name) != f.default]
        options = [
            f" --{f.name}" + ("" if f.name == "test" else f" {getattr(self, f.name)}") for f in changed
        ]
        return f"bodyloop prior train {self.kind} --mocap DATA{''.join(options)}"


@dataclass(frozen=True)
class Kind:
    """How one kind of prior is trained and described.

    Attributes:
        title: of its model card.
        text: what it is, for the card.
        config: the configuration that a job asks for.
        train: from training poses, validation poses, configuration, report, and the file of a checkpoint, to the
            prior, which has ``save(path)`` and is read by `load_prior`.
        energy: nats (N,) of body poses (N, 23, 3, 3).
        more_metrics: further lines of the card, of the prior and the poses of each split.
    """

    title: str
    text: str
    config: Callable[[TrainJob], Any]
    train: Callable[[PoseSet, PoseSet, Any, Tell, Path], Any]
    energy: Callable[[Any, Tensor], Tensor] = lambda prior, rotations: prior.energy(rotations)
    more_metrics: Callable[[Any, dict[SplitName, PoseSet]], list[str]] = lambda prior, splits: []


def with_job(config: Any, job: TrainJob) -> Any:
    """A kind's usual configuration with the job's seed and number of steps."""
    return replace(config, seed=job.seed, **({} if job.steps is None else {"steps": job.steps}))


def _flow_config(job: TrainJob) -> FlowConfig:
    """The flow that a job's representation and variant mean; of axis-angle poses the noise is that of `AA_NOISE`."""
    config = with_job(FlowConfig(), job)
    if job.representation == "axis_angle":
        config = replace(config, representation="axis_angle", noise=AA_NOISE)
    if job.variant == "light":
        return replace(config, hidden=LIGHT)
    if job.variant == "prelu":
        return replace(config, kind="prelu", hidden=(), rate=PRELU_RATE)
    return config


def _parameters(network: nn.Module) -> str:
    return f"Numbers: {sum(p.numel() for p in network.parameters()):,}"


def _flow_metrics(prior: Flow, splits: dict[SplitName, PoseSet]) -> list[str]:
    """Size, and the likelihood of poses with the training's noise, in which the flow's is a proper density."""
    noise = AA_NOISE if prior.representation == "axis_angle" else FlowConfig().noise
    generator = torch.Generator().manual_seed(0)
    means = {}
    for name, poses in splits.items():
        numbers = thickened(pose_numbers(poses.pose, prior.representation), noise, generator)
        means[name] = float(prior.log_prob_at(numbers).mean())
    shown = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items())
    return [
        f"{_parameters(prior)}.",
        f"Mean log-likelihood in nats with the training's noise (sigma {noise:g}): {shown}.",
    ]


def _vae_metrics(prior: Vae, splits: dict[SplitName, PoseSet]) -> list[str]:
    """Sizes, reconstruction and divergence."""
    body = builtin_body()
    points = spread_vertices(body, VaeConfig().vertices)
    found = {name: vae_error(prior, poses.pose, body, points) for name, poses in splits.items()}
    shown = ", ".join(f"{name} {error:.1f} mm and {nats:.1f} nats" for name, (error, nats) in found.items())
    return [
        f"{_parameters(prior)}; decoder alone: {_parameters(prior.decoder).split()[-1]}.",
        f"Mean vertex distance after encoding and decoding, and divergence from the unit Gaussian: {shown}.",
    ]


def _adversarial_metrics(prior: Adversarial, splits: dict[SplitName, PoseSet]) -> list[str]:
    """Size and separation."""
    found = {
        name: adversarial_separation(prior, body_rotations(poses.pose), AdversarialConfig())
        for name, poses in splits.items()
    }
    shown = ", ".join(f"{name} {share:.1%}" for name, share in found.items())
    return [f"{_parameters(prior)}.", f"Pairs in which a false pose has the higher energy: {shown}."]


KINDS: dict[str, Kind] = {
    "gmm": Kind(
        title="Mixture pose prior",
        text="8 full-covariance Gaussians over the 69 axis-angle numbers of the body pose (SMPLify's prior), by "
        "expectation maximisation. Energies are those of the nearest mode, up to a constant.",
        config=lambda job: with_job(GmmConfig(), job),
        train=lambda poses, validation, config, report, checkpoint: train_gmm(
            poses, validation, config, report
        ),
    ),
    "flow": Kind(
        title="Flow pose prior",
        text="Normalizing flow over the body pose (Zanfir et al. 2020, section 2.1): steps of a trainable full linear "
        "layer and a Real-NVP coupling or parametric ReLU, by maximum likelihood. Energies are -log p.",
        config=_flow_config,
        train=train_flow,
        more_metrics=_flow_metrics,
    ),
    "vae": Kind(
        title="VPoser pose prior",
        text="Variational autoencoder of the body pose (Pavlakos et al. 2019): 32 latents, 6D decoder, reconstruction "
        "on the mesh. Energies are half the squared norm of the posterior's mean.",
        config=lambda job: with_job(VaeConfig(), job),
        train=lambda poses, validation, config, report, checkpoint: train_vae(
            poses, validation, builtin_body(), config, report, checkpoint
        ),
        more_metrics=_vae_metrics,
    ),
    "adversarial": Kind(
        title="Adversarial pose prior",
        text="Discriminators of each joint and of the whole pose on rotation matrices (Kanazawa et al. 2018), against "
        "disturbed, shuffled and random poses. Energies are the squared distances of the scores from 1, summed.",
        config=lambda job: with_job(AdversarialConfig(), job),
        train=train_adversarial,
        more_metrics=_adversarial_metrics,
    ),
    "limits": Kind(
        title="Joint limits",
        text="Ranges of the 69 axis-angle numbers of the body pose, with a soft edge.",
        config=lambda job: with_job(LimitsConfig(), job),
        train=train_limits,
    ),
}
"""What can be trained."""


@dataclass(frozen=True)
class Trained:
    """What became of a training job.

    Attributes:
        files: weights and model card.
        card: the card's text.
    """

    files: tuple[Path, Path]
    card: str


def train_prior(job: TrainJob, tell: Tell = print) -> Trained:
    """Read motion capture, train, save the weights and their model card.

    A killed run goes on from its checkpoint, ``out`` with the suffix .ckpt, where the kind keeps one.

    Args:
        job: what to do.
        tell: called with a line whenever there is something to say.

    Raises:
        InputError: a kind that cannot be trained, no usable motion capture, a file that cannot be written.
    """
    kind = _kind(job)
    out = job.file()
    if out.suffix != ".safetensors" or out.is_dir():
        raise InputError(f"--out {out}: expected the name of a file that ends in .safetensors")
    make_folder(out.parent)
    names: tuple[SplitName, ...] = ("train", "validation", "test") if job.test else ("train", "validation")
    splits = {name: read_poses(job.mocap, name, job.angle, job.cache, tell) for name in names}
    config = kind.config(job)
    tell(f"training, {settings_text(config)}")
    began = time.time()
    checkpoint = out.with_suffix(".ckpt")
    prior = kind.train(splits["train"], splits["validation"], config, tell, checkpoint)
    _save(prior, out)
    tell(f"trained in {time.time() - began:.0f} s; measuring what was saved")
    metrics = _metrics(kind, load_prior(job.kind, out), splits)
    card = _card(kind, job, splits, settings_text(config), metrics)
    write_atomic(out.with_suffix(".md"), card.encode())
    checkpoint.unlink(missing_ok=True)
    return Trained((out, out.with_suffix(".md")), card)


def _kind(job: TrainJob) -> Kind:
    """The job's kind of prior.

    Raises:
        InputError: options that do not fit it or each other.
    """
    if job.kind not in KINDS:
        raise InputError(
            f"a prior of kind {job.kind!r} cannot be trained yet; expected one of {', '.join(KINDS)}"
        )
    if job.kind != "flow" and (job.representation or job.variant):
        raise InputError(
            f"--representation and --variant are choices of the flow, not of {job.kind!r}; leave them out"
        )
    if job.steps is not None and job.steps < 1:
        raise InputError(f"--steps: expected at least 1, got {job.steps}")
    if not 0 < job.angle < 180:
        raise InputError(f"--angle: expected degrees between 0 and 180, got {job.angle:g}")
    return KINDS[job.kind]


def _save(prior: Any, out: Path) -> None:
    """Write the weights, whole or not at all."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        prior.save(file)
        write_atomic(out, file.read_bytes())


@torch.no_grad()
def _metrics(kind: Kind, prior: Any, splits: dict[SplitName, PoseSet]) -> list[str]:
    """Lines of the card: energies of every split, likelihoods of a prior that has them, and the kind's own."""
    rotations = {name: body_rotations(poses.pose) for name, poses in splits.items()}
    levels = torch.tensor([0.05, 0.5, 0.95])
    energies = {name: kind.energy(prior, r).quantile(levels).tolist() for name, r in rotations.items()}
    shown = ", ".join(f"{name} {' / '.join(f'{e:.1f}' for e in three)}" for name, three in energies.items())
    lines = [f"Energy in nats (5, 50, 95 %): {shown}."]
    if hasattr(prior, "log_prob_at"):
        numbers = {name: to_coordinates(r, prior.representation) for name, r in rotations.items()}
        means = {name: float(prior.log_prob_at(x).mean()) for name, x in numbers.items()}
        shown = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items())
        size = next(iter(numbers.values())).shape[-1]
        lines.append(f"Mean log-likelihood in nats, a density over {size} numbers: {shown}.")
    return lines + kind.more_metrics(prior, splits)


def body_rotations(pose: Tensor) -> Tensor:
    """Local rotations (..., 23, 3, 3) without the global orientation, of SMPL's pose (..., 72)."""
    return to_rotations(pose[..., 3:], "axis_angle")


def _card(
    kind: Kind, job: TrainJob, splits: dict[SplitName, PoseSet], settings: str, metrics: list[str]
) -> str:
    """The model card."""
    lines = [
        *data_lines(splits, job.angle),
        f"Settings: {settings}.",
        f"Command: `{job.command()}`, bodyloop {__version__}.",
        *metrics,
        "Licence: weights Apache-2.0.",
    ]
    return card_text(kind.title, kind.text, lines)


@dataclass(frozen=True)
class SampleJob:
    """Draw poses from a prior and picture them.

    Attributes:
        kind: name of the prior.
        out: folder for samples.png, samples.npz and, where there is a latent space, interpolation.png.
        weights: file of a prior of this kind; the one that ships if None.
        count: poses.
        seed: of the draws.
        temperature: factor of the draws' spread; below 1, poses are more usual.
    """

    kind: PriorName
    out: Path
    weights: Path | None = None
    count: int = 16
    seed: int = 0
    temperature: float = 1.0


@torch.no_grad()
def sample_prior(job: SampleJob, tell: Tell = print) -> list[Path]:
    """Draw, picture and save poses; returns the files.

    Args:
        job: what to do.
        tell: called with a line whenever there is something to say.

    Raises:
        InputError: a prior that is not there or cannot be sampled, or files that cannot be written.
    """
    from bodyloop.view import pose_sheet, save_picture

    if not 1 <= job.count <= MOST_SAMPLES:
        raise InputError(f"--count: expected 1 to {MOST_SAMPLES}, got {job.count}")
    if not 0 <= job.temperature < math.inf:
        raise InputError(f"--temperature: expected a number from 0 on, got {job.temperature:g}")
    prior = load_prior(job.kind, job.weights)
    if not isinstance(prior, LatentPrior | GaussianMixture):
        raise InputError(
            f"the prior {job.kind!r} judges poses and cannot draw them; expected a mixture, a flow or a "
            "variational autoencoder"
        )
    make_folder(job.out)
    generator = torch.Generator().manual_seed(job.seed)
    body = builtin_body()
    tell(f"drawing {job.count} poses")
    found = {"samples": prior.sample(job.count, generator, job.temperature)}
    if isinstance(prior, LatentPrior):
        ends = job.temperature * torch.randn(2, prior.latent_size, generator=generator)
        found["interpolation"] = prior.interpolate(ends[0], ends[1], INTERPOLATED)
    files = []
    for name, rotations in found.items():
        files.append(job.out / f"{name}.png")
        tell(f"picturing {name}")
        save_picture(files[-1], pose_sheet(body, rotations, columns=_columns(name, len(rotations))))
    return [*files, _save_poses(job, found)]


def _columns(name: str, count: int) -> int:
    """A row between two latents stays a row; other sheets are about as wide as high."""
    return count if name == "interpolation" else math.ceil(math.sqrt(count))


def _save_poses(job: SampleJob, found: dict[str, Tensor]) -> Path:
    """samples.npz: for each picture the poses (N, 72), axis-angle with zero global orientation, and the job."""
    arrays = {
        name: torch.nn.functional.pad(to_coordinates(rotations, "axis_angle"), (3, 0)).float().numpy()
        for name, rotations in found.items()
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        pose=arrays.pop("samples"),
        **arrays,
        prior=np.array(job.kind),
        seed=np.array(job.seed),
        temperature=np.array(job.temperature),
        version=np.array(__version__),
    )
    write_atomic(job.out / "samples.npz", buffer.getvalue())
    return job.out / "samples.npz"
