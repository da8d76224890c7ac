"""The command line: parses and calls, no logic."""

import gc
import os
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import tyro

from bodyloop import __version__
from bodyloop.errors import InputError

_File = tyro.conf.arg(metavar="FILE", help_behavior_hint="")
_Folder = tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")
_MapFile = tyro.conf.arg(metavar="FILE|FOLDER", help_behavior_hint="")


@dataclass(frozen=True)
class _Photos:
    """What commands on photos share."""

    inputs: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO ...", help_behavior_hint="")
    ]
    """Images, folders of images, or quoted globs; for fit also videos."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the results."""
    keypoints: Annotated[Path | None, _File] = None
    """2D keypoints instead of the detector: COCO, OpenPose, MediaPipe or bodyloop JSON."""
    boxes: Annotated[Path | None, _File] = None
    """Boxes to look for people in: JSON or CSV of x, y, w, h."""
    iuv: Annotated[Path | None, _MapFile] = None
    """DensePose's IUV map of the photo, or a folder of them: dense keypoints for fits, a picture for networks."""
    parts: Annotated[Path | None, _MapFile] = None
    """Map of body parts (label PNG or IUV map), or a folder of them: aligned by fits, a picture for networks."""
    part_labels: Literal["densepose", "smpl", "lsp"] = "densepose"
    """What the labels of --parts mean: DensePose's 14 parts, SMPL's 24, or LSP's 6."""
    atlas: Annotated[Path | None, _File] = None
    """DensePose's UV_Processed.mat, for fits to --iuv with SMPL's own --body."""
    focal: Annotated[float | None, tyro.conf.arg(metavar="PIXELS", help_behavior_hint="")] = None
    """Focal length in pixels. Without it: from EXIF, else the image diagonal."""
    body: Annotated[Path | None, _File] = None
    """SMPL .npz or .pkl instead of the built-in body."""
    formats: tuple[Literal["npz", "glb", "obj", "ply"], ...] = ("npz", "glb")
    """Result files."""
    pictures: bool = True
    """Draw overlay.png and side.png."""
    resume: bool = False
    """Skip photos whose results are there already."""


@dataclass(frozen=True)
class Fit(_Photos):
    """Fit bodies to the people in photos, or over time to those in videos.

    Each photo gets a folder of its own in the output folder: overlay.png, side.png, body.npz (SMPL
    parameters, camera, scores) and body.glb. So does each video (extra video, docs/video.md): tracks.npz, world.npz,
    people.glb, overlay.mp4, summary.json; called again, it goes on where it was.

    Exit status: 0 all went well, 1 some input failed (the rest is done), 2 nothing could be done.
    """

    detector: Literal["mediapipe", "rtmlib"] = "mediapipe"
    """Keypoint detector."""
    starts: Annotated[tuple[str, ...], tyro.conf.arg(metavar="START ...")] = ("lifter", "mean")
    """Where fits start from: lifter, mean, candidates:5 (that many of the pool, each fitted), or a file of bodies that
    bodyloop, SPIN, EFT, NeuralAnnot, 4D-Humans, CameraHMR or GVHMR found (docs/formats.md). The best of each person
    wins."""
    choose: Literal["energy", "cen"] = "energy"
    """Which fit of candidates is a person's: the one of lowest energy, or the one that a network finds nearest to the
    photo. The others are kept in body.npz, for bodyloop view."""
    start_annotations: Annotated[Path | None, _File] = None
    """What goes with such a file: SPIN's .npz of the same rows, COCO's annotations for NeuralAnnot's labels."""
    prior: Literal["gmm", "flow"] = "gmm"
    """Pose prior: the mixture, or the flow, in whose latent space the best fit is fitted on (slower)."""
    hypotheses: bool = False
    """Write what every start led to as well, to be seen side by side with bodyloop view."""
    moving_camera: bool = False
    """Of videos: the camera does not stand still, so that there is no ground and no world to tell."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.terminal import run_photo_job, run_video_job

        if any(_is_video(name) for name in self.inputs):
            from bodyloop.videos import VideoJob

            for_videos = {
                "inputs",
                "out",
                "focal",
                "body",
                "detector",
                "pictures",
                "formats",
                "resume",
                "moving_camera",
            }
            rest = [field for field in fields(self) if field.name not in for_videos]
            if given := [field.name for field in rest if getattr(self, field.name) != field.default]:
                names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
                raise InputError(f"{names}: for photos only; leave it out for videos")
            return run_video_job(
                VideoJob(
                    self.inputs,
                    self.out,
                    self.focal,
                    self.body,
                    self.detector,
                    self.pictures,
                    "glb" in self.formats,
                    self.moving_camera,
                )
            )
        from bodyloop.photos import PhotoJob

        if self.moving_camera:
            raise InputError("--moving-camera: for videos only; leave it out for photos")
        own = {name: value for name, value in vars(self).items() if name != "moving_camera"}
        return run_photo_job(PhotoJob(**own))


def _is_video(name: str) -> bool:
    """Whether an input is a video, told by its name."""
    from bodyloop.evidence.videos import is_video

    return is_video(name)


@dataclass(frozen=True)
class Infer(_Photos):
    """Recover the people in photos by a trained network.

    Writes the same files as fit. Keypoints, where there are any, do not enter the network: they tell how well its
    answer fits, and --refine fits on to them.

    Exit status: 0 all went well, 1 some input failed (the rest is done), 2 nothing could be done.
    """

    detector: Literal["mediapipe", "rtmlib", "none"] = "mediapipe"
    """Finds people and keypoints; none: the boxes of --boxes are all that is known."""
    weights: Annotated[Path | None, _File] = None
    """The network's weights (.safetensors), or mrt: the transformer that makes candidates better (docs/many_starts.md).
    The general network that ships, if left out."""
    refine: bool = False
    """Fit each person from the network's answer, and keep what has the lower energy."""
    paths: int = 5
    """Candidates of each person, for networks that make those better."""
    choose: Literal["cen", "energy"] = "cen"
    """Which answer from several candidates is a person's: the one that a network finds nearest to the photo, or that of
    lowest energy. The others are kept in body.npz, for bodyloop view."""
    device: Annotated[str, tyro.conf.arg(metavar="NAME")] = "cpu"
    """Where network and fits run: cpu, cuda, cuda:1 ..."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.inference import InferJob
        from bodyloop.terminal import run_inference

        return run_inference(InferJob(**vars(self)))


@dataclass(frozen=True)
class View:
    """Look at results of fit and infer, or at people over time, in the browser.

    Serves them to this machine alone until it is stopped, or writes one page that needs no server.
    """

    results: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS")]
    """Folder of results, or one of their .npz files."""
    html: Annotated[Path | None, _File] = None
    """Write this page instead: it opens anywhere, without bodyloop and without network."""
    pictures: Annotated[Path | None, _MapFile] = None
    """The photo, or a folder of photos, if they are no longer where they were. Of tracks: the video, or a folder with
    an image a frame."""
    body: Annotated[Path | None, _File] = None
    """SMPL .npz or .pkl of the results instead of the built-in body."""
    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to serve at; 0.0.0.0 shows the results to the whole network."""
    port: Annotated[int, tyro.conf.arg(metavar="N")] = 8080
    """Port to serve at; the next free one if it is taken."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.terminal import run_viewer
        from bodyloop.view_jobs import ViewJob

        return run_viewer(ViewJob(**vars(self)))


@dataclass(frozen=True)
class Demo:
    """Fit a body to a public-domain photo that is on this machine, and show what comes out."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")] = Path("demo")
    """Folder for the photo and the results."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.terminal import run_demo

        return run_demo(self.out)


_Mocap = Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
_Cache = Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")]


@dataclass(frozen=True)
class PriorTrain:
    """Train a pose prior on CMU motion capture and write its weights and model card."""

    kind: Annotated[
        Literal["gmm", "flow", "vae", "adversarial", "limits"],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="KIND"),
    ]
    """gmm, flow, vae, adversarial or limits."""
    mocap: _Mocap
    """Holds cmu/bvh and cmu/npz_deepmimic, or one of them."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")] = None
    """Weights; KIND.safetensors if not given. The model card, .md, goes beside them."""
    cache: _Cache = None
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
    weights: Annotated[Path | None, _File] = None
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
    mocap: _Mocap
    """Holds cmu/bvh and cmu/npz_deepmimic, or one of them."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = Path("pool.npz")
    """The pool. Its card, .md, goes beside it."""
    cache: _Cache = None
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


@dataclass(frozen=True)
class Reproduce:
    """Measure a paper's table again and show its figures beside ours.

    Writes TABLE.json and TABLE.png, and TABLE-curves.png if it has curves.
    """

    table: Annotated[
        Literal[
            "zanfir-table1",
            "zanfir-table3",
            "dense-fits",
            "rong-table3",
            "rong-table4",
            "rong-table6",
            "rong-table6-all",
            "rong-table7",
            "rong-fig5",
            "rong-fig6",
            "spin-table1",
            "spin-unpaired",
            "zanfir-table2",
            "zanfir-fig4",
            "mion-table1",
            "mion-table2",
            "mion-table3",
            "mion-table6",
            "mion-speed",
            "moon-table2",
            "moon-table6",
            "moon-table7",
            "moon-table8",
            "moon-table9",
            "moon-table10",
        ],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="TABLE"),
    ]
    """zanfir-table1: fits with each pose prior (Zanfir et al. 2020). zanfir-table3: frames fitted together. dense-fits:
    fits of synthetic people to dense keypoints and parts, with noise, fewer points and swapped limbs (Rong et al. 2019,
    figures 5 and 6). All others train networks on synthetic people, for hours, and go on where they stopped;
    rong-table6 has images alone, rong-table6-all all inputs."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the results. Tables with the same folder share their networks."""
    mocap: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Holds cmu/bvh and cmu/npz_deepmimic, or one of them. Without it, people of tables of networks take poses of the
    flow that ships."""
    cache: _Cache = None
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
    cache: _Cache = None
    """For the converted clips, so that the next run need not convert them."""
    photos: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Backgrounds that show nobody, for half of the wild and bridge pictures."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Processes that draw; all cores if not given."""
    sheet: Annotated[Path | None, _File] = None
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
    """rong, rong-iuv, rong-parts, rong-image-iuv, rong-image-parts, spin, spin-static, spin-unpaired, hmr,
    hmr-unpaired, zanfir, everything, moon-f, moon-g, moon-g-hmr, moon-g-two-branch, pose2d; or a recipe.json."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder of this run."""
    scale: Literal["smoke", "cpu", "gpu"] = "cpu"
    """smoke: seconds, to see that all works. cpu: small networks. gpu: the paper's sizes."""
    set: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ...", help_behavior_hint="")] = ()
    """Changes of the recipe by dotted names, e.g. phases.0.steps=2000 optimiser.batch=32."""
    crops: _Cache = None
    """For the crops of all runs; 'crops' beside the run's folder if not given."""
    mocap: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Holds cmu/bvh and cmu/npz_deepmimic, or one of them: synthetic people take their poses from there."""
    cache: _Cache = None
    """For the converted clips, so that the next run need not convert them."""
    body: Annotated[Path | None, _File] = None
    """SMPL .npz or .pkl, for data sets with its labels."""
    atlas: Annotated[Path | None, _File] = None
    """DensePose's UV_Processed.mat, for dense labels with SMPL's own --body."""
    mirror: Annotated[Path | None, _File] = None
    """DensePose's UV_symmetry_transforms.mat, with --atlas."""
    backbone: Annotated[str | None, tyro.conf.arg(metavar="FILE|hub", help_behavior_hint="")] = None
    """Trained weights of the backbone, or hub to download those that its makers published."""
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
class Export:
    """Write bodies for Blender, game engines and notebooks, or a trained network for whoever runs it without bodyloop.

    Bodies are those of fit or infer, or tracks of people over time; docs/export.md says how to open each format.

    Exit status: 0 all went well, 1 some input failed (the rest is done), 2 nothing could be done.
    """

    source: Annotated[
        Path, tyro.conf.Positional, tyro.conf.arg(metavar="RESULTS|WEIGHTS", help_behavior_hint="")
    ]
    """Results: a folder, body.npz or tracks. With --onnx: weights of bodyloop train (safetensors)."""
    out: Annotated[
        Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE|FOLDER", help_behavior_hint="")
    ] = None
    """File, if only one comes of it and its name says the format; else folder."""
    format: Annotated[
        Literal["glb", "bvh", "amass", "obj", "npz", "usd"] | None,
        tyro.conf.arg(metavar="glb|bvh|amass|obj|npz|usd", help_behavior_hint=""),
    ] = None
    """glb, if not told by the file's name: skinned and animated, everybody in one file; usd (extra usd) likewise. bvh,
    amass, npz: a file a person. obj: a mesh a frame."""
    body: Annotated[Path | None, _File] = None
    """SMPL .npz or .pkl of the bodies instead of the built-in body."""
    ground: bool = False
    """Put the lowest point of all frames at height 0."""
    fps: Annotated[float | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Frames a second of bvh, amass and obj; each person's own mean rate if not given."""
    onnx: Annotated[Path | None, _File] = None
    """ONNX file to write."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.terminal import run_bodies_export, run_export

        if self.onnx is not None:
            from bodyloop.train_jobs import ExportJob

            return run_export(ExportJob(self.source, self.onnx))
        if self.out is None:
            raise InputError(
                "expected -o FILE or FOLDER for bodies, or --onnx FILE for a network; got neither"
            )
        from bodyloop.export_jobs import BodiesExportJob

        return run_bodies_export(
            BodiesExportJob(self.source, self.out, self.format, self.body, self.ground, self.fps)
        )


@dataclass(frozen=True)
class Evaluate:
    """Measure how well people are recovered, against a data set's truth or on synthetic people.

    Give one of --weights, --bodies and --method, and one of --data (with --protocol) and --synthetic. Writes
    scores.json, scores.csv and report.html; a stopped run goes on where it was when called again.

    Exit status: 0 all went well, 1 some people are left out (the notes say why), 2 nothing could be done.
    """

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the results."""
    weights: Annotated[Path | None, _File] = None
    """A network's weights (.safetensors)."""
    bodies: Annotated[Path | None, _Folder] = None
    """Results of fit or infer: their body.npz files."""
    method: Annotated[Literal["fit"] | None, tyro.conf.arg(metavar="fit", help_behavior_hint="")] = None
    """fit: fits to the records' 2D keypoints."""
    data: Annotated[str | None, tyro.conf.arg(metavar="[FORMAT:]PATH", help_behavior_hint="")] = None
    """Data set; the format is told by the content if it is not named (docs/formats.md)."""
    protocol: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None
    """h36m-p1, h36m-p2, 3dpw, mpi-inf-3dhp, lsp-segmentation, up-3d or coco-densepose."""
    images: Annotated[Path | None, _Folder] = None
    """That the data set's image names are relative to."""
    masks: Annotated[Path | None, _Folder] = None
    """That the names of its masks are relative to."""
    annotations: Annotated[Path | None, _MapFile] = None
    """What goes with the labels: COCO's annotations for NeuralAnnot's."""
    split: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None
    """Of the data set, or of synthetic people: train, validation or test (if not given)."""
    synthetic: Annotated[
        Literal["studio", "wild", "bridge", "wild2"] | None,
        tyro.conf.arg(metavar="DOMAIN", help_behavior_hint=""),
    ] = None
    """Synthetic people: studio, wild, bridge or wild2."""
    mocap: Annotated[Path | None, _Folder] = None
    """Motion capture for synthetic people (cmu/bvh, cmu/npz_deepmimic). Without it, poses of the flow that ships."""
    cache: _Cache = None
    """For the converted clips, so that the next run need not convert them."""
    against: Literal["body", "image"] = "body"
    """What drawn bodies are compared with: the true body alone, or what the picture shows of it."""
    seed: int = 0
    """Of synthetic people."""
    count: Annotated[int | None, tyro.conf.arg(aliases=["-n"], metavar="N", help_behavior_hint="")] = None
    """People, spread evenly over the data set; all of it, or 1000 synthetic people, if not given."""
    body: Annotated[Path | None, _File] = None
    """SMPL .npz or .pkl of the recovered bodies instead of the built-in body."""
    female: Annotated[Path | None, _File] = None
    """SMPL file of true female bodies (3DPW)."""
    male: Annotated[Path | None, _File] = None
    """SMPL file of true male bodies (3DPW)."""
    regressor: Annotated[Path | None, _File] = None
    """J_regressor_h36m.npy: joints of the protocol from SMPL's mesh."""
    atlas: Annotated[Path | None, _File] = None
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


_Formats = tuple[Literal["neuralannot", "eft", "spin", "human-data", "amass", "parquet"], ...]
_Verdicts = tuple[Literal["accept", "doubtful", "reject"], ...]


@dataclass(frozen=True)
class Annotate:
    """Give every person of a data set with 2D keypoints a body: SMPL parameters, camera, score and verdict.

    Writes labels in files of some hundred people, and report.html. A run that was stopped or killed goes on where it
    was when called again with the same options.

    Exit status: 0 all went well, 1 nothing was found for some people (the rest is done), 2 nothing could be done.
    """

    coco: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """COCO keypoint annotations, of any size."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for labels and report."""
    images: Annotated[Path | None, _Folder] = None
    """That the images' names are relative to: for networks, and for the pictures of the report."""
    method: Annotated[
        Literal["fit", "network", "spin", "candidates"], tyro.conf.arg(metavar="NAME", help_behavior_hint="")
    ] = "fit"
    """fit (if not given): to the keypoints. network: --estimator's answers to the pictures. spin: fits that start from
    those. candidates: fits from several candidates of the pool, one of which is kept."""
    estimator: Annotated[Path | None, tyro.conf.arg(metavar="WEIGHTS", help_behavior_hint="")] = None
    """A network's weights (.safetensors), for --method network and spin."""
    candidates: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Of each person, for --method candidates."""
    choose: Literal["energy", "cen"] = "energy"
    """Which fit from candidates is kept: the one of lowest energy, or the one that a network finds nearest to the
    picture."""
    starts: Annotated[
        tuple[Literal["lifter", "mean"], ...] | None, tyro.conf.arg(metavar="NAME ...", help_behavior_hint="")
    ] = None
    """Where fits to keypoints start from: lifter (if not given), mean, or both, which takes more than twice as long.
    With --method candidates: of one more fit."""
    focal: Annotated[float | None, tyro.conf.arg(metavar="PIXELS", help_behavior_hint="")] = None
    """Focal length of all images in pixels. Without it: each image's diagonal."""
    body: Annotated[Path | None, _File] = None
    """SMPL .npz or .pkl instead of the built-in body."""
    device: Annotated[str, tyro.conf.arg(metavar="NAME")] = "cpu"
    """Where networks and fits run: cpu, cuda, cuda:1 ..."""
    least: Annotated[int, tyro.conf.arg(metavar="N")] = 6
    """Keypoints that a person must have; others are left out and counted."""
    per_file: Annotated[int, tyro.conf.arg(metavar="N")] = 500
    """People in a file of labels."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Processes; one a core if not given."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """Work on a Ray cluster instead: its address, auto, or local."""
    write: _Formats = ()
    """Export accepted and doubtful labels, too: neuralannot, eft, spin, human-data, amass, parquet."""
    report: bool = True
    """Write report.html."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.annotate_jobs import AnnotateJob
        from bodyloop.terminal import run_annotation

        return run_annotation(AnnotateJob(**vars(self)))


@dataclass(frozen=True)
class Convert:
    """Write the labels of bodyloop annotate in the formats of others."""

    labels: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Of bodyloop annotate."""
    to: _Formats
    """neuralannot, eft, spin, human-data, amass, parquet."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FOLDER", help_behavior_hint="")] = None
    """For the files; export in the labels' folder if not given."""
    verdicts: _Verdicts = ("accept", "doubtful")
    """Whose labels are written. What a reviewer decided goes before."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.annotate_jobs import ConvertJob
        from bodyloop.terminal import run_conversion

        return run_conversion(ConvertJob(**vars(self)))


@dataclass(frozen=True)
class Review:
    """Look at labels on a local web page and accept, reject or send them back, by keyboard.

    Every decision is saved at once, in review.jsonl beside the labels.
    """

    labels: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Of bodyloop annotate."""
    images: Annotated[Path | None, _Folder] = None
    """That the images' names are relative to, if not the folder that was annotated."""
    verdicts: _Verdicts = ("doubtful",)
    """Whose labels are shown, the lowest score first."""
    port: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of the page; any free one if 0."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.review_jobs import ReviewJob
        from bodyloop.terminal import run_review

        return run_review(ReviewJob(**vars(self)))


Command = (
    Fit | Infer | View | Annotate | Convert | Review | Evaluate | Demo | Prior | Pool | Synth | Train | Export
    | Reproduce
)  # fmt: skip
COMMANDS: dict[str, Any] = {
    "fit": Fit,
    "infer": Infer,
    "view": View,
    "annotate": Annotate,
    "convert": Convert,
    "review": Review,
    "evaluate": Evaluate,
    "demo": Demo,
    "prior": Prior,
    "pool": Pool,
    "synth": Synth,
    "train": Train,
    "export": Export,
    "reproduce": Reproduce,
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: those of the process if None.

    Returns:
        The exit status: 0 if all went well, 1 if an input failed, 2 if nothing could be done.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"bodyloop {__version__}")
        return 0
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
        try:
            return _parse(arguments).run() if arguments else _help()
        except InputError as error:
            print(f"bodyloop: {error}", file=sys.stderr)
            return 2
        except SystemExit as stop:  # tyro has said why, or has shown the help
            return stop.code if isinstance(stop.code, int) else 2
        except KeyboardInterrupt:
            again = (
                "fit, infer and train --resume, annotate, prior train, synth and evaluate go on from there"
            )
            print(f"bodyloop: stopped; what was written stays, {again}", file=sys.stderr)
            return 130


def console() -> NoReturn:
    """Run a command and leave at once.

    Everything is on disk by then; taking torch, MediaPipe and numba down in order would cost most of a second.
    """
    gc.set_threshold(200_000)  # or much of the imports' time goes into looking for garbage among new modules
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _parse(arguments: list[str]) -> Command:
    command: Command = tyro.extras.subcommand_cli_from_dict(
        COMMANDS,
        args=arguments,
        prog="bodyloop",
        description=f"3D bodies from photos and 2D keypoints. Version {__version__}.",
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes),
    )
    return command


def _help() -> int:
    """Show what there is to a user who named no command."""
    with suppress(SystemExit):
        _parse(["--help"])
    return 2


if __name__ == "__main__":
    console()
