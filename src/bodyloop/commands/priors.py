"""What fits know before they begin: prior, pool."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bodyloop.commands.options import Cache, File, Mocap


@dataclass(frozen=True)
class PriorTrain:
    """Train a pose prior on CMU motion capture and write its weights and model card."""

    kind: Annotated[
        Literal["gmm", "flow", "vae", "adversarial", "limits"],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="KIND"),
    ]
    """gmm, flow, vae, adversarial or limits."""
    mocap: Mocap
    """Holds cmu/bvh and cmu/npz_deepmimic, or one of them."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")] = None
    """Weights; KIND.safetensors if not given. The model card, .md, goes beside them."""
    cache: Cache = None
    """For the converted clips, so that the next run need not convert them."""
    seed: int = 0
    """Of all random draws."""
    angle: float = 8.0
    """Degrees by which some joint of two training poses of a clip must differ."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Of training, instead of the kind's usual number."""
    representation: Annotated[
        Literal["axis_angle", "rot6d"] | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")
    ] = None
    """Of the flow: axis_angle or rot6d."""
    variant: Annotated[
        Literal["light", "full", "prelu"] | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")
    ] = None
    """Of the flow: light, full or prelu."""
    test: bool = False
    """Tell the figures of the test subjects too."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.prior_jobs import TrainJob
        from bodyloop.terminal import run_prior_training

        return run_prior_training(TrainJob(**vars(self)))


@dataclass(frozen=True)
class PriorSample:
    """Draw poses from a prior and picture them.

    Writes samples.png, samples.npz and, for a prior with a latent space, interpolation.png.
    """

    kind: Annotated[
        Literal["gmm", "flow", "flow-aa", "flow-light", "flow-prelu", "vae", "adversarial", "limits"],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="KIND"),
    ]
    """gmm, a flow or vae; adversarial and limits judge poses and cannot draw them."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the results."""
    weights: Annotated[Path | None, File] = None
    """Weights of this kind instead of those that ship."""
    count: int = 16
    """Poses."""
    seed: int = 0
    """Of the draws."""
    temperature: float = 1.0
    """Factor of the draws' spread; below 1, poses are more usual."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.prior_jobs import SampleJob
        from bodyloop.terminal import run_prior_sampling

        return run_prior_sampling(SampleJob(**vars(self)))


@dataclass(frozen=True)
class Prior:
    """Pose priors: train one, or see what it has learnt."""

    action: (
        Annotated[PriorTrain, tyro.conf.subcommand("train")]
        | Annotated[PriorSample, tyro.conf.subcommand("sample")]
    )

    def run(self) -> int:
        """Do it."""
        return self.action.run()


@dataclass(frozen=True)
class Pool:
    """Cluster CMU motion capture into a pool of poses and camera orientations, candidates for fits to start from."""

    action: Annotated[Literal["build"], tyro.conf.Positional, tyro.conf.arg(metavar="build")]
    """What is to be done."""
    mocap: Mocap
    """Holds cmu/bvh and cmu/npz_deepmimic, or one of them."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = Path("pool.npz")
    """The pool. Its card, .md, goes beside it."""
    cache: Cache = None
    """For the converted clips, so that the next run need not convert them."""
    poses: int = 10_000
    """Clusters of poses."""
    turns: int = 30
    """Clusters of camera orientations."""
    angle: float = 8.0
    """Degrees by which some joint of two poses of a clip must differ."""
    seed: int = 0
    """Of all random draws."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.pool_jobs import PoolJob
        from bodyloop.terminal import run_pool_building

        job = PoolJob(self.mocap, self.out, self.cache, self.poses, self.turns, self.angle, self.seed)
        return run_pool_building(job)
