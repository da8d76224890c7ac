"""Train the keypoint lifter and the small backbone that ship, and write their model cards.

    python tools/train_weights.py lifter --mocap DATA
    python tools/train_weights.py backbone --mocap DATA --crops FOLDER

DATA holds ``cmu/bvh`` and ``cmu/npz_deepmimic``. Only training subjects train; validation subjects choose.
A killed run goes on from its checkpoint.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import tyro

from bodyloop.body import builtin_body
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource
from bodyloop.data.crops import Surface
from bodyloop.data.mixture import Draw
from bodyloop.data.splits import SplitName, data_lines, read_poses
from bodyloop.data.synthetic.domains import DomainName
from bodyloop.data.synthetic.streams import stream
from bodyloop.train.backbone import BackboneConfig, KeypointNet, keypoint_labels, normalised, train_backbone
from bodyloop.train.cards import card_text, settings_text
from bodyloop.train.feed import Feed
from bodyloop.train.larder import Pantry
from bodyloop.train.lifter import LifterConfig, lifter_error, train_lifter
from bodyloop.train.recipes import SyntheticData, get_recipe

DOMAINS: tuple[DomainName, ...] = ("wild", "studio")
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


@dataclass(frozen=True)
class BackboneRun:
    """Train the small backbone on 2D keypoints of synthetic people."""

    mocap: Path
    crops: Path
    """Folder for pictures; those of other runs are shared."""
    out: Path = PACKAGE / "nets" / "weights" / "backbone-small.safetensors"
    cache: Path | None = None
    """Folder for the converted clips, so that the next run need not convert them."""
    people: int = 10_000
    """Of each domain."""
    workers: int = 1
    config: BackboneConfig = field(default_factory=BackboneConfig)

    def run(self) -> None:
        """Train, save, write the card."""
        pantry = Pantry(
            self.crops, builtin_body(), Surface.builtin(), self.mocap, self.cache, max(self.workers, 1), print
        )
        recipe = get_recipe("rong")
        data = [SyntheticData(d, self.people, size=160, poses="mocap") for d in DOMAINS]
        sources = [CropSource(pantry.crops(d, recipe)) for d in data]
        others = SyntheticData("wild", 200, split="validation", size=160, poses="mocap")
        held_out = CropSource(pantry.crops(others, recipe))
        body, side = pantry.body, self.config.resolution
        judged = CropBatches([held_out], AugmentConfig.none(side, recipe.augment.margin), body)
        augment = AugmentConfig(resolution=side, shift=0.05)
        feed = Feed(CropBatches(sources, augment, body), [0.6, 0.4], self.config.batch, seed=self.config.seed)

        @torch.no_grad()
        def judge(network: KeypointNet) -> float:
            batch = judged.lesson([Draw(0, i, i) for i in range(others.count)], stream(0)).batch
            places, known = keypoint_labels(batch)
            off = (network(normalised(batch.image)) - places).norm(dim=-1)
            return float(off[known].mean()) * 112

        network = train_backbone(
            feed, self.out, self.config, lambda line: print(line, flush=True), judge, self.workers
        )
        text = (
            f"ResNet ({self.config.kind}, {self.config.width} channels first) for crops of {side} pixels, half "
            f"precision, {sum(p.numel() for p in network.backbone.parameters()):,} parameters: where small networks "
            "start."
        )
        lines = [
            f"Data: {self.people:,} synthetic people each of wild and studio, shares 0.6 and 0.4, poses of the "
            "training subjects' motion capture; their 2D landmarks alone.",
            f"Settings: {settings_text(self.config)}.",
            "Command: `python tools/train_weights.py backbone --mocap DATA --crops FOLDER`.",
            f"Validation (200 people in the wild, validation subjects): landmarks {judge(network):.1f} px of a crop of "
            "224.",
            "Licence: weights Apache-2.0.",
        ]
        card = card_text("Small backbone", text, lines)
        self.out.with_suffix(".md").write_text(card)
        print(card)


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"lifter": LifterRun, "backbone": BackboneRun}).run()
