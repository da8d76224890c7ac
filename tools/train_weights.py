"""Train what ships from motion capture: the mixture prior and the keypoint lifter, each with its model card.

    python tools/train_weights.py gmm --mocap DATA
    python tools/train_weights.py lifter --mocap DATA

DATA holds ``cmu/bvh`` and ``cmu/npz_deepmimic``. Only training subjects train; validation subjects choose.
A killed lifter run goes on from its checkpoint.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch
import tyro

from bodyloop.body import builtin_body
from bodyloop.data.mocap import SPLIT, MotionSet, load_split
from bodyloop.data.poses import PoseSet, distinct_poses
from bodyloop.train.gmm import train_gmm
from bodyloop.train.lifter import LifterConfig, lifter_error, train_lifter

PACKAGE = Path(__file__).parents[1] / "src" / "bodyloop"
DATA_CARD = """\
- Data: CMU motion capture (mocap.cs.cmu.edu, free for all uses), retargeted to the built-in body; good
  frames of which no two of a clip are within {angle:g} degrees, mirrored, clips weighted by the square root of
  their length: {train} training poses of subjects {subjects}.
- Validation: subjects {validation}. Test subjects {test} were not used.
- Seed: {seed}.
- Licence: weights Apache-2.0.
"""


@dataclass(frozen=True)
class Gmm:
    """Train the 8-mode mixture prior."""

    mocap: Path
    out: Path = PACKAGE / "priors" / "weights" / "gmm.safetensors"
    cache: Path | None = None
    """Folder for the converted clips, so that the next run need not convert them."""
    angle: float = 8.0
    modes: int = 8
    seed: int = 0

    def run(self) -> None:
        """Train, save, write the card."""
        poses, held_out = _poses(self.mocap, self.cache, self.angle)
        prior = train_gmm(poses, self.modes, seed=self.seed)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        prior.save(self.out)
        single = prior.to(torch.float32)
        quantiles = torch.tensor([0.05, 0.5, 0.95])
        trained, unseen = (
            _list(single.nearest_mode_energy(p.pose[:, 3:]).quantile(quantiles)) for p in (poses, held_out)
        )
        card = (
            "# Mixture pose prior\n\n8 full-covariance Gaussians over the 69 axis-angle numbers of the body pose "
            "(SMPLify's prior),\nby expectation maximisation.\n\n"
            f"{_data_card(self.angle, poses, self.seed)}"
            "- Command: `python tools/train_weights.py gmm --mocap DATA`.\n"
            f"- Energy of the nearest mode, in nats up to a constant (5, 50, 95 %): training {trained},\n"
            f"  validation {unseen}.\n"
        )
        self.out.with_suffix(".md").write_text(card)
        print(card)


@dataclass(frozen=True)
class LifterRun:
    """Train the keypoint lifter."""

    mocap: Path
    out: Path = PACKAGE / "nets" / "weights" / "lifter.safetensors"
    cache: Path | None = None
    """Folder for the converted clips, so that the next run need not convert them."""
    angle: float = 8.0
    config: LifterConfig = field(default_factory=LifterConfig)

    def run(self) -> None:
        """Train, save, write the card."""
        poses, held_out = _poses(self.mocap, self.cache, self.angle)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        body = builtin_body()
        lifter = train_lifter(
            poses.pose,
            poses.weight,
            held_out.pose,
            body,
            self.out,
            self.config,
            lambda line: print(line, flush=True),
        )
        error = lifter_error(lifter, held_out.pose, body)
        parameters = sum(p.numel() for p in lifter.parameters())
        settings = ", ".join(f"{k} {v}" for k, v in asdict(self.config).items())
        card = (
            f"# Keypoint lifter\n\n29 2D keypoints with confidence to 24 rotations and 10 betas; {parameters:,} "
            "parameters, half precision.\nResidual network on points after Martinez et al. 2017.\n\n"
            f"{_data_card(self.angle, poses, self.config.seed)}- Settings: {settings}.\n"
            "- Command: `python tools/train_weights.py lifter --mocap DATA`"
            f"{self._arguments()}.\n"
            f"- Validation, with the training's noise, missing keypoints and keypoint sets: MPJPE "
            f"{error['mpjpe_mm']:.1f} mm, PA-MPJPE {error['pa_mpjpe_mm']:.1f} mm.\n"
        )
        self.out.with_suffix(".md").write_text(card)
        print(card)

    def _arguments(self) -> str:
        usual = asdict(LifterConfig())
        changed = {k: v for k, v in asdict(self.config).items() if v != usual[k]}
        return "".join(f" `--config.{k} {v}`" for k, v in changed.items())


def _load(mocap: Path, cache: Path | None, split: Literal["train", "validation"]) -> MotionSet:
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    stored = None if cache is None else cache / f"{split}.npz"
    found = load_split(mocap, split, cache=stored)
    for path, reason in found.failures.items():
        print(f"left out: {path}: {reason}")
    return found


def _poses(mocap: Path, cache: Path | None, angle: float) -> tuple[PoseSet, PoseSet]:
    train = distinct_poses(_load(mocap, cache, "train").motions, angle)
    held_out = distinct_poses(_load(mocap, cache, "validation").motions, 10.0, mirror=False)
    return train, held_out


def _data_card(angle: float, poses: PoseSet, seed: int) -> str:
    return DATA_CARD.format(
        angle=angle,
        train=f"{len(poses):,}",
        subjects=" ".join(sorted(SPLIT["train"])),
        validation=" ".join(sorted(SPLIT["validation"])),
        test=" ".join(sorted(SPLIT["test"])),
        seed=seed,
    )


def _list(values: torch.Tensor) -> str:
    return " / ".join(f"{v:.1f}" for v in values.tolist())


if __name__ == "__main__":
    run: Gmm | LifterRun = tyro.extras.subcommand_cli_from_dict({"gmm": Gmm, "lifter": LifterRun})
    run.run()
