"""Networks: synth, train, evaluate, reproduce."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bodyloop.commands.options import Cache, File, Folder, MapFile
from bodyloop.table_names import TableName


@dataclass(frozen=True)
class Synth:
    """Make pictures of people with every label: WebDataset shards, a contact sheet, or both.

    The same options give the same bytes, whatever the workers; a stopped run goes on where it was.
    """

    domain: Annotated[
        Literal["studio", "wild", "bridge", "wild2"], tyro.conf.arg(metavar="NAME", help_behavior_hint="")
    ]
    """studio: few subjects, plain rooms. wild: everything varies. bridge: wild looks, few sequences.
    wild2: another wild, to test on."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """Folder for the shards."""
    count: Annotated[int, tyro.conf.arg(aliases=["-n"], metavar="N")] = 1000
    """Samples."""
    seed: int = 0
    """Of everything."""
    size: Annotated[int, tyro.conf.arg(metavar="PIXELS")] = 224
    """Width and height of the pictures."""
    split: Literal["train", "validation", "test"] = "train"
    """Whose motion capture, looks and places."""
    mocap: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Holds cmu/bvh and cmu/npz_deepmimic, or one of them. Without it, poses come from the flow that ships."""
    cache: Cache = None
    """For the converted clips, so that the next run need not convert them."""
    photos: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Backgrounds that show nobody, for half of the wild and bridge pictures."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Processes that draw; all cores if not given."""
    sheet: Annotated[Path | None, File] = None
    """PNG or JPEG of the first samples beside their labels."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.synth_jobs import SynthJob
        from bodyloop.terminal import run_synthesis

        return run_synthesis(SynthJob(**vars(self)))


@dataclass(frozen=True)
class Train:
    """Train a regression network by a recipe.

    The folder gets the best weights with their model card, the last ones, a log, pictures, and the state that
    --resume goes on from, also after a kill. Crops are drawn once and shared by all runs.
    """

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """rong, rong-iuv, rong-parts, rong-image-iuv, rong-image-parts, spin, spin-static, spin-unpaired, spin-anchored,
    hmr, hmr-unpaired, zanfir, mrt, mrt-place, everything, moon-f, moon-g, moon-g-hmr, moon-g-two-branch, pose2d; or a
    recipe.json."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder of this run."""
    scale: Annotated[
        Literal["smoke", "cpu", "gpu"] | None, tyro.conf.arg(metavar="smoke|cpu|gpu", help_behavior_hint="")
    ] = None
    """smoke: seconds, to see that all works. cpu: small networks, if not given. gpu: the paper's sizes."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...", help_behavior_hint="")] = ()
    """Changes of the recipe by dotted names, e.g. phases.0.steps=2000 optimiser.batch=32."""
    crops: Cache = None
    """For the crops of all runs; 'crops' beside the run's folder if not given."""
    mocap: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Holds cmu/bvh and cmu/npz_deepmimic, or one of them: synthetic people take their poses from there."""
    cache: Cache = None
    """For the converted clips, so that the next run need not convert them."""
    body: Annotated[Path | None, File] = None
    """SMPL .npz or .pkl, for data sets with its labels."""
    atlas: Annotated[Path | None, File] = None
    """DensePose's UV_Processed.mat, for dense labels with SMPL's own --body."""
    mirror: Annotated[Path | None, File] = None
    """DensePose's UV_symmetry_transforms.mat, with --atlas."""
    backbone: Annotated[str | None, tyro.conf.arg(metavar="FILE|FOLDER|hub", help_behavior_hint="")] = None
    """Trained weights of the backbones: a file, a folder of files with torchvision's names, or hub to download those
    that their makers published."""
    resume: bool = False
    """Go on with the run in the folder."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """What to run on."""
    devices: int = 1
    """How many of them in each machine."""
    nodes: int = 1
    """Machines."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Of the network."""
    channels_last: bool = False
    """Memory layout that is faster with bf16-mixed."""
    log: Literal["csv", "tensorboard"] = "csv"
    """tensorboard writes its files besides."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Processes that make batches, for each device."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.terminal import run_training
        from bodyloop.train_jobs import TrainingJob

        return run_training(TrainingJob(**vars(self)))


@dataclass(frozen=True)
class Evaluate:
    """Measure how well people are recovered, against a data set's truth or on synthetic people.

    Give one of --weights, --bodies and --method, and one of --data (with --protocol) and --synthetic. Writes
    scores.json, scores.csv and report.html; a stopped run goes on where it was when called again.

    Exit status: 0 all went well, 1 some people are left out (the notes say why), 2 nothing could be done.
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the results."""
    weights: Annotated[Path | None, File] = None
    """A network's weights (.safetensors)."""
    bodies: Annotated[Path | None, Folder] = None
    """Results of fit or infer: their body.npz files."""
    method: Annotated[Literal["fit"] | None, tyro.conf.arg(metavar="fit", help_behavior_hint="")] = None
    """fit: fits to the records' 2D keypoints."""
    data: Annotated[str | None, tyro.conf.arg(metavar="[FORMAT:]PATH", help_behavior_hint="")] = None
    """Data set; the format is told by the content if it is not named (docs/formats.md)."""
    protocol: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None
    """h36m-p1, h36m-p2, 3dpw, mpi-inf-3dhp, mupots-all, mupots-matched, lsp-segmentation, up-3d or coco-densepose."""
    images: Annotated[Path | None, Folder] = None
    """That the data set's image names are relative to."""
    masks: Annotated[Path | None, Folder] = None
    """That the names of its masks are relative to."""
    annotations: Annotated[Path | None, MapFile] = None
    """What goes with the labels: COCO's annotations for NeuralAnnot's."""
    split: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None
    """Of the data set, or of synthetic people: train, validation or test (if not given)."""
    synthetic: Annotated[
        Literal["studio", "wild", "bridge", "wild2"] | None,
        tyro.conf.arg(metavar="DOMAIN", help_behavior_hint=""),
    ] = None
    """Synthetic people: studio, wild, bridge or wild2."""
    mocap: Annotated[Path | None, Folder] = None
    """Motion capture for synthetic people (cmu/bvh, cmu/npz_deepmimic). Without it, poses of the flow that ships."""
    cache: Cache = None
    """For the converted clips, so that the next run need not convert them."""
    against: Literal["body", "image"] = "body"
    """What drawn bodies are compared with: the true body alone, or what the picture shows of it."""
    seed: int = 0
    """Of synthetic people."""
    count: Annotated[int | None, tyro.conf.arg(aliases=["-n"], metavar="N", help_behavior_hint="")] = None
    """People, spread evenly over the data set; all of it, or 1000 synthetic people, if not given."""
    body: Annotated[Path | None, File] = None
    """SMPL .npz or .pkl of the recovered bodies instead of the built-in body."""
    female: Annotated[Path | None, File] = None
    """SMPL file of true female bodies (3DPW)."""
    male: Annotated[Path | None, File] = None
    """SMPL file of true male bodies (3DPW)."""
    regressor: Annotated[Path | None, File] = None
    """J_regressor_h36m.npy: joints of the protocol from SMPL's mesh."""
    atlas: Annotated[Path | None, File] = None
    """DensePose's UV_Processed.mat (coco-densepose)."""
    device: Annotated[str, tyro.conf.arg(metavar="NAME")] = "cpu"
    """Where networks and fits run: cpu, cuda, cuda:1 ..."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Processes that read and crop images, or draw synthetic people."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.evaluate_jobs import EvaluateJob
        from bodyloop.terminal import run_evaluation

        return run_evaluation(EvaluateJob(**vars(self)))


@dataclass(frozen=True)
class Reproduce:
    """Measure a paper's table again and show its figures beside ours.

    Writes TABLE.json and TABLE.png, and TABLE-curves.png if it has curves.
    """

    table: Annotated[
        TableName,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="TABLE"),
    ]
    """zanfir-table1: fits with each pose prior (Zanfir et al. 2020). zanfir-table3: frames fitted together. dense-fits:
    fits of synthetic people to dense keypoints and parts, with noise, fewer points and swapped limbs (Rong et al. 2019,
    figures 5 and 6). All others train networks on synthetic people, for hours, and go on where they stopped;
    rong-table6 has images alone, rong-table6-all all inputs; moon-labels: what labels cost and are worth."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the results. Tables with the same folder share their networks."""
    mocap: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Holds cmu/bvh and cmu/npz_deepmimic, or one of them. Without it, people of tables of networks take poses of the
    flow that ships."""
    cache: Cache = None
    """For the converted clips, so that the next run need not convert them."""
    count: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Frames or people of the test subjects, instead of the table's own number."""
    seed: int = 0
    """Of all random draws."""
    quick: bool = False
    """A small run that shows that all works; its figures say little."""
    docs: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Record the claims in this folder's ledger, claims.json and claims.md."""
    scale: Literal["cpu", "gpu"] = "cpu"
    """Of trained networks: small ones, or the papers' own."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Rows of trained networks are means over so many seeds."""
    crops: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """For the pictures that networks are trained on; "crops" among the results if not given."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Networks trained at once; one a core if not given."""
    accelerator: Literal["cpu", "gpu"] = "cpu"
    """What networks are trained on."""
    backbones: Annotated[str | None, tyro.conf.arg(metavar="FOLDER|hub", help_behavior_hint="")] = None
    """At scale gpu, where networks begin: hub downloads ImageNet's classifiers, or a folder of files with torchvision's
    names. Random weights if not given."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.reproduce import ReproduceJob
        from bodyloop.terminal import run_reproduction

        return run_reproduction(ReproduceJob(**vars(self)))
