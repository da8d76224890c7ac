"""Train the networks that ship, but for the priors, and write their model cards.

    python tools/train_weights.py lifter --mocap DATA
    python tools/train_weights.py backbone --mocap DATA --crops FOLDER
    python tools/train_weights.py estimator --mocap DATA --crops FOLDER --folder RUN
    python tools/train_weights.py mion --mocap DATA --crops FOLDER --networks FOLDER   # two networks

DATA holds ``cmu/bvh`` and ``cmu/npz_deepmimic``. Only training subjects train; validation subjects choose.
A killed run goes on from its checkpoint.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro

from bodyloop.body import builtin_body
from bodyloop.data.augment import AugmentConfig
from bodyloop.data.crop_batches import CropBatches, CropSource, Wanted
from bodyloop.data.crops import Surface
from bodyloop.data.mixture import Draw
from bodyloop.data.splits import SplitName, data_lines, read_poses
from bodyloop.data.synthetic.domains import DomainName
from bodyloop.data.synthetic.streams import stream
from bodyloop.nets.backbones import LANDMARKS_BESIDE
from bodyloop.nets.build import load_estimator, save_estimator
from bodyloop.nets.cen import load_cen, save_cen
from bodyloop.nets.landmarks import LandmarkNet
from bodyloop.studies.measure import measured
from bodyloop.studies.mion_bench import Bench, cen_training, measure_paths, mion_recipe
from bodyloop.studies.networks import Workshop, train_all
from bodyloop.studies.study import Asked
from bodyloop.train.backbone import BackboneConfig, keypoint_distance, look_of, train_backbone
from bodyloop.train.cards import card_text, settings_text
from bodyloop.train.config import Recipe, SyntheticData
from bodyloop.train.feed import Feed
from bodyloop.train.larder import Pantry
from bodyloop.train.lifter import LifterConfig, lifter_error, train_lifter
from bodyloop.train.recipes import get_recipe
from bodyloop.train.regressor import Regressor
from bodyloop.train.run import Machine, train
from bodyloop.train_jobs import TrainingJob, make_tools, with_mocap

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
    """Train a small backbone on 2D keypoints of synthetic people."""

    mocap: Path
    crops: Path
    """Folder for pictures; those of other runs are shared."""
    out: Path | None = None
    cache: Path | None = None
    """Folder for the converted clips, so that the next run need not convert them."""
    wild: int = 10_000
    studio: int = 10_000
    """People of each domain."""
    workers: int = 1
    config: BackboneConfig = field(default_factory=BackboneConfig)

    def run(self) -> None:
        """Train, save, write the card."""
        config = self.config
        pantry = Pantry(
            self.crops, builtin_body(), Surface.builtin(), self.mocap, self.cache, max(self.workers, 1), print
        )
        recipe = get_recipe("rong")
        counts: tuple[tuple[DomainName, int], ...] = (("wild", self.wild), ("studio", self.studio))
        data = [SyntheticData(d, count, size=160, poses="mocap") for d, count in counts]
        sources = [CropSource(pantry.crops(d, recipe)) for d in data]
        others = SyntheticData("wild", 200, split="validation", size=160, poses="mocap")
        held_out = CropSource(pantry.crops(others, recipe))
        body, side = pantry.body, config.resolution
        wanted = Wanted("densepose" if config.looks_at == "parts" else None, config.looks_at == "iuv")
        judged = CropBatches([held_out], AugmentConfig.none(side, recipe.augment.margin), body, wanted)
        augment = AugmentConfig(resolution=side, shift=0.05)
        feed = Feed(CropBatches(sources, augment, body, wanted), [0.6, 0.4], config.batch, seed=config.seed)
        look, everybody = look_of(config.looks_at), [Draw(0, i, i) for i in range(others.count)]

        def judge(network: LandmarkNet) -> float:
            return keypoint_distance(network, judged.lesson(everybody, stream(0)).batch, look)

        name = f"landmarks-{config.looks_at}" if config.landmarks else "backbone-small"
        out = self.out or PACKAGE / "nets" / "weights" / f"{name}.safetensors"
        network = train_backbone(feed, out, config, lambda line: print(line, flush=True), judge, self.workers)
        saved = network if config.landmarks else network.backbone
        text = (
            f"ResNet ({config.kind}, {config.width} channels first) for crops of {side} pixels, half precision, "
            f"{sum(p.numel() for p in saved.parameters()):,} parameters: "
            + (
                "what small networks see by, and where landmarks are."
                if config.landmarks
                else "where they start."
            )
        )
        lines = [
            f"Data: {self.wild:,} synthetic people of wild and {self.studio:,} of studio, shares 0.6 and 0.4, poses of "
            "the training subjects' motion capture; their 2D landmarks alone.",
            f"Settings: {settings_text(config)}.",
            f"Command: `{self._command()}`.",
            f"Validation (200 people in the wild, validation subjects): landmarks {judge(network):.1f} px of a crop of "
            "224.",
            "Licence: weights Apache-2.0.",
        ]
        card = card_text(f"Small backbone ({config.looks_at})", text, lines)
        out.with_suffix(".md").write_text(card)
        print(card)

    def _command(self) -> str:
        """With the options that are not the defaults."""
        plain = BackboneRun(self.mocap, self.crops)
        own = [("--wild", self.wild, plain.wild), ("--studio", self.studio, plain.studio)]
        own += [
            (
                f"--config.{f.name.replace('_', '-')}",
                getattr(self.config, f.name),
                getattr(plain.config, f.name),
            )
            for f in fields(self.config)
        ]
        told = [
            name if value is True else f"{name} {value}" for name, value, default in own if value != default
        ]
        return " ".join(["python tools/train_weights.py backbone --mocap DATA --crops FOLDER", *told])


@dataclass(frozen=True)
class EstimatorRun:
    """Train the general network that `bodyloop infer` takes: every label of every domain."""

    mocap: Path
    crops: Path
    """Folder for pictures; those of other runs are shared."""
    folder: Path
    """Of the run; a killed one goes on."""
    out: Path = PACKAGE / "nets" / "weights" / "estimator.safetensors"
    cache: Path | None = None
    """For the converted clips, so that the next run need not convert them."""
    steps: int = 20_000
    wild: int = 20_000
    """People; of the other domains there are half as many."""

    def run(self) -> None:
        """Train, save, write the card."""
        recipe = with_mocap(get_recipe("everything"))
        assert isinstance(recipe, Recipe), "of a regression network"
        (phase,) = recipe.phases
        data = tuple(
            replace(d, count=self.wild) if isinstance(d, SyntheticData) and d.domain == "wild" else d
            for d in phase.data
        )
        recipe = replace(recipe, phases=(replace(phase, steps=self.steps, data=data),), validate_every=1000)
        body = builtin_body()
        pantry = Pantry(self.crops, body, Surface.builtin(), self.mocap, self.cache, 2, _tell)
        job = TrainingJob("everything", self.folder, mocap=self.mocap, cache=self.cache)
        tools = make_tools(job, body, _tell, lambda what, done, wanted: None)
        done = train(recipe, self.folder, pantry, tools, Machine("cpu", workers=0), resume=True)
        save_estimator(load_estimator(done.best), self.out, torch.half, _beside(self.out))
        network, texts = load_estimator(self.out), []
        for domain in ("wild", "bridge", "studio"):
            people = SyntheticData(
                domain, 500, seed=1, split="test", size=160, poses="mocap", skeleton="coco17"
            )  # type: ignore[arg-type]
            found = measured(network, recipe, people, pantry)
            texts.append(f"{domain} {found.mpjpe_mm:.1f} / {found.pa_mpjpe_mm:.1f} / {found.mpvpe_mm:.1f}")
        lines = [
            f"Data: {self.wild:,} synthetic people of wild, half as many each of studio and bridge, poses of the "
            "training subjects' motion capture; all labels.",
            f"Settings: {settings_text(network.config)}; {self.steps:,} steps of {recipe.optimiser.batch}, the best of "
            f"the validation people of the bridge, seed {recipe.seed}.",
            "Command: `python tools/train_weights.py estimator --mocap DATA --crops FOLDER --folder RUN`.",
            f"Test subjects, 500 people of each domain, seed 1: MPJPE / PA-MPJPE / PVE in mm: {'; '.join(texts)}.",
            "Licence: weights Apache-2.0.",
        ]
        text = f"Image to SMPL parameters and camera; {_parameters(network)} parameters, half precision."
        card = card_text("General network", text, lines)
        self.out.with_suffix(".md").write_text(card)
        print(card)


@dataclass(frozen=True)
class MionRun:
    """Train the small mesh refinement transformer and the small consistency network: those of `bodyloop reproduce
    mion-table1`."""

    mocap: Path
    crops: Path
    """Folder for pictures; those of other runs are shared."""
    networks: Path
    """Folder of the networks of tables; killed runs go on."""
    out: Path = PACKAGE / "nets" / "weights"
    cache: Path | None = None
    """For the converted clips, so that the next run need not convert them."""

    def run(self) -> None:
        """Train, save, write the cards."""
        shop = Workshop(self.networks, self.crops, self.mocap, self.cache)
        bench = Bench(Asked("cpu", mocap=True), 0, shop, _tell)
        recipe, training = mion_recipe(bench.asked, bench.seed), cen_training(bench.asked, bench.seed)
        train_all([recipe], shop, _tell)
        pantry, cen = shop.pantry(_tell), load_cen(bench.cen())
        network = bench.refiner(recipe, pantry.body).network
        beside = _beside(self.out / "mrt-small.safetensors")
        save_estimator(network, self.out / "mrt-small.safetensors", torch.half, beside)
        save_cen(cen, self.out / "cen-small.safetensors", torch.half, beside)
        refiner = Regressor(load_estimator(self.out / "mrt-small.safetensors"), pantry.body)
        people = SyntheticData("wild", 200, split="validation", size=160, poses="mocap", skeleton="coco17")
        found = measure_paths(refiner, cen, recipe, people, pantry)
        command = (
            "Command: `python tools/train_weights.py mion --mocap DATA --crops FOLDER --networks FOLDER`."
        )
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
                f"Settings: {settings_text(network.config)}; {recipe.steps:,} steps, seed {recipe.seed}.",
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


def _beside(file: Path) -> dict[str, Path]:
    """What the file may leave out: among those that ship, the backbone of landmarks."""
    return {k: path for k, path in LANDMARKS_BESIDE.items() if path.parent.resolve() == file.parent.resolve()}


def _parameters(network: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()):,}"


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    runs: dict[str, Any] = {
        "lifter": LifterRun,
        "backbone": BackboneRun,
        "estimator": EstimatorRun,
        "mion": MionRun,
    }
    tyro.extras.subcommand_cli_from_dict(runs).run()
