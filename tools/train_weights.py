"""Train the networks that ship, but for the priors, and write their model cards.

    python tools/train_weights.py lifter --mocap DATA
    python tools/train_weights.py backbone --mocap DATA --crops FOLDER
    python tools/train_weights.py mion --mocap DATA --crops FOLDER --folder RUN   # transformer and consistency network

DATA holds ``cmu/bvh`` and ``cmu/npz_deepmimic``. Only training subjects train; validation subjects choose.
A killed run goes on from its checkpoint.
"""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
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
from bodyloop.nets.build import load_estimator, save_estimator
from bodyloop.nets.cen import load_cen, save_cen
from bodyloop.studies.mion import cen_lessons, measure_paths
from bodyloop.train.backbone import BackboneConfig, KeypointNet, keypoint_labels, normalised, train_backbone
from bodyloop.train.cards import card_text, settings_text
from bodyloop.train.cen import CenTraining, train_cen
from bodyloop.train.feed import Feed
from bodyloop.train.larder import Pantry
from bodyloop.train.lifter import LifterConfig, lifter_error, train_lifter
from bodyloop.train.recipes import SyntheticData, get_recipe
from bodyloop.train.regressor import Regressor
from bodyloop.train.run import Machine, train
from bodyloop.train_jobs import TrainingJob, make_tools, with_mocap

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


@dataclass(frozen=True)
class MionRun:
    """Train the small mesh refinement transformer, then the small consistency network on what it makes."""

    mocap: Path
    crops: Path
    """Folder for pictures; those of other runs are shared."""
    folder: Path
    """Of the training runs; a killed one goes on."""
    out: Path = PACKAGE / "nets" / "weights"
    cache: Path | None = None
    """For the converted clips, so that the next run need not convert them."""
    steps: int = 4000
    """Of the transformer."""
    cen_steps: int = 3000
    """Of the consistency network."""
    workers: int = 0

    def run(self) -> None:
        """Train, save, write the cards."""
        recipe = with_mocap(get_recipe("mrt"))
        phases = tuple(replace(phase, steps=self.steps) for phase in recipe.phases)
        recipe = replace(recipe, phases=phases, validate_every=min(500, self.steps))
        body, cores = builtin_body(), max(self.workers, 1)
        pantry = Pantry(self.crops, body, Surface.builtin(), self.mocap, self.cache, cores, _tell)
        job = TrainingJob("mrt", self.folder, mocap=self.mocap, cache=self.cache)
        tools = make_tools(job, body, _tell, lambda what, done, wanted: None)
        machine = Machine("cpu", channels_last=True, workers=self.workers)
        done = train(recipe, self.folder / "mrt", pantry, tools, machine, resume=True)
        network = load_estimator(done.best)
        save_estimator(network, self.out / "mrt-small.safetensors", torch.half)
        refiner = Regressor(load_estimator(self.out / "mrt-small.safetensors"), body)
        training = CenTraining.small(self.cen_steps)
        feed, stocks = cen_lessons(recipe, training, pantry, tools)
        made = self.folder / "cen.safetensors"
        if not made.exists():
            train_cen(feed, stocks, body, made, training, _tell, refiner, self.workers)
        cen = load_cen(made)
        save_cen(cen, self.out / "cen-small.safetensors")
        people = SyntheticData("wild", 200, split="validation", size=160, poses="mocap", skeleton="coco17")
        found = measure_paths(refiner, cen, recipe, people, pantry)
        command = "Command: `python tools/train_weights.py mion --mocap DATA --crops FOLDER --folder RUN`."
        data = (
            "Data: 10,000 synthetic people each of studio and wild, poses of the training subjects' motion capture; 3D "
            "labels of the studio alone, 2D keypoints of all, candidates by keypoints off by 2 % of the box."
        )
        judged = "Validation (200 people in the wild, validation subjects, keypoints off by 2 % of the box)"
        one, start = found.figures(np.zeros(len(found.mpjpe), int)), found.start_pa[:, 0].mean()
        self._card(
            "mrt-small",
            "Mesh refinement transformer, small",
            f"Liu et al. 2021, section 3.2; {_parameters(network)} parameters, half precision.",
            [
                data,
                f"Settings: {settings_text(network.config)}; {self.steps:,} steps, the best of the validation people "
                "of the bridge.",
                command,
                f"{judged}: first candidate PA-MPJPE {start:.1f} mm, made better {one.pa_mpjpe_mm:.1f} mm, MPJPE "
                f"{one.mpjpe_mm:.1f} mm.",
            ],
        )
        five = {name: found.by(name, 5).mpjpe_mm for name in ("cen", "energy", "mpjpe")}
        self._card(
            "cen-small",
            "Consistency network, small",
            f"Liu et al. 2021, section 3.3; {_parameters(cen)} parameters, half precision.",
            [
                data.replace("3D labels of the studio alone, 2D keypoints of all", "3D labels of all"),
                f"Settings: {settings_text(training)}.",
                command,
                f"{judged}, MPJPE of five candidates made better: any {found.random(5).mpjpe_mm:.1f} mm, chosen by "
                f"this network {five['cen']:.1f} mm, by the energy of a fit {five['energy']:.1f} mm, the best "
                f"{five['mpjpe']:.1f} mm.",
            ],
        )

    def _card(self, name: str, title: str, text: str, lines: list[str]) -> None:
        card = card_text(title, text, [*lines, "Licence: weights Apache-2.0."])
        (self.out / f"{name}.md").write_text(card)
        print(card)


def _parameters(network: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()):,}"


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    runs: dict[str, Any] = {"lifter": LifterRun, "backbone": BackboneRun, "mion": MionRun}
    tyro.extras.subcommand_cli_from_dict(runs).run()
