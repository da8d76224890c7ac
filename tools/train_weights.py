"""Train the keypoint lifter that ships from motion capture, and write its model card.

    python tools/train_weights.py lifter --mocap DATA

DATA holds ``cmu/bvh`` and ``cmu/npz_deepmimic``. Only training subjects train; validation subjects choose.
A killed run goes on from its checkpoint.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import tyro

from bodyloop.body import builtin_body
from bodyloop.data.splits import SplitName, data_lines, read_poses
from bodyloop.train.cards import card_text, settings_text
from bodyloop.train.lifter import LifterConfig, lifter_error, train_lifter

PACKAGE = Path(__file__).parents[1] / "src" / "bodyloop"


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
        names: tuple[SplitName, ...] = ("train", "validation")
        splits = {name: read_poses(self.mocap, name, self.angle, self.cache, print) for name in names}
        poses, held_out = splits["train"], splits["validation"]
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
        text = (
            f"29 2D keypoints with confidence to 24 rotations and 10 betas; {parameters:,} parameters, half precision. "
            "Residual network on points after Martinez et al. 2017."
        )
        lines = [
            *data_lines(splits, self.angle),
            f"Settings: {settings_text(self.config)}.",
            f"Command: `python tools/train_weights.py lifter --mocap DATA{self._arguments()}`.",
            f"Validation, with the training's noise, missing keypoints and keypoint sets: MPJPE "
            f"{error['mpjpe_mm']:.1f} mm, PA-MPJPE {error['pa_mpjpe_mm']:.1f} mm.",
            "Licence: weights Apache-2.0.",
        ]
        card = card_text("Keypoint lifter", text, lines)
        self.out.with_suffix(".md").write_text(card)
        print(card)

    def _arguments(self) -> str:
        usual = asdict(LifterConfig())
        changed = {k: v for k, v in asdict(self.config).items() if v != usual[k]}
        return "".join(f" --config.{k} {v}" for k, v in changed.items())


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"lifter": LifterRun}).run()
