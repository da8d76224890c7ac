"""People in photos and videos: fit, infer; view, demo, export."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bodyloop.commands.options import File, MapFile
from bodyloop.errors import InputError


@dataclass(frozen=True)
class Photos:
    """What commands on photos share."""

    inputs: Annotated[
        tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO ...", help_behavior_hint="")
    ]
    """Images, folders of images, or quoted globs; for fit also videos."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the results."""
    keypoints: Annotated[Path | None, File] = None
    """2D keypoints instead of the detector: COCO, OpenPose, MediaPipe or bodyloop JSON."""
    boxes: Annotated[Path | None, File] = None
    """Boxes to look for people in: JSON or CSV of x, y, w, h."""
    iuv: Annotated[Path | None, MapFile] = None
    """DensePose's IUV map of the photo, or a folder of them: dense keypoints for fits, a picture for networks."""
    parts: Annotated[Path | None, MapFile] = None
    """Map of body parts (label PNG or IUV map), or a folder of them: aligned by fits, a picture for networks."""
    part_labels: Literal["densepose", "smpl", "lsp"] = "densepose"
    """What the labels of --parts mean: DensePose's 14 parts, SMPL's 24, or LSP's 6."""
    atlas: Annotated[Path | None, File] = None
    """DensePose's UV_Processed.mat, for fits to --iuv with SMPL's own --body."""
    focal: Annotated[float | None, tyro.conf.arg(metavar="PIXELS", help_behavior_hint="")] = None
    """Focal length in pixels. Without it: from EXIF, else the image diagonal."""
    body: Annotated[Path | None, File] = None
    """SMPL .npz or .pkl instead of the built-in body."""
    formats: tuple[Literal["npz", "glb", "obj", "ply"], ...] = ("npz", "glb")
    """Result files."""
    pictures: bool = True
    """Draw overlay.png and side.png."""
    resume: bool = False
    """Skip photos whose results are there already."""


@dataclass(frozen=True)
class Fit(Photos):
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
    judge: Annotated[Path | None, File] = None
    """That network, if not the one that ships: of bodyloop train cen."""
    pool: Annotated[Path | None, File] = None
    """Pool of candidates, if not the one that ships: of bodyloop pool build."""
    start_annotations: Annotated[Path | None, File] = None
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

            of_both = ("inputs", "out", "focal", "body", "detector", "pictures", "formats", "resume")
            for_videos = {*of_both, "moving_camera"}
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
class Infer(Photos):
    """Recover the people in photos by a trained network.

    Writes the same files as fit. Keypoints, where there are any, do not enter the network: they tell how well its
    answer fits, and --refine fits on to them.

    Exit status: 0 all went well, 1 some input failed (the rest is done), 2 nothing could be done.
    """

    detector: Literal["mediapipe", "rtmlib", "none"] = "mediapipe"
    """Finds people and keypoints; none: the boxes of --boxes are all that is known."""
    weights: Annotated[Path | None, File] = None
    """The network's weights (.safetensors), or mrt: the transformer that makes candidates better (docs/many_starts.md).
    The general network that ships, if left out."""
    refine: bool = False
    """Fit each person from the network's answer, and keep what has the lower energy."""
    paths: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Candidates of each person, for networks that make those better; 5 if not given."""
    choose: Annotated[
        Literal["cen", "energy"] | None, tyro.conf.arg(metavar="cen|energy", help_behavior_hint="")
    ] = None
    """Which answer from several candidates is a person's: the one that a network finds nearest to the photo (cen, if
    not given), or that of lowest energy. The others are kept in body.npz, for bodyloop view."""
    judge: Annotated[Path | None, File] = None
    """That network, if not the one that ships: of bodyloop train cen."""
    pool: Annotated[Path | None, File] = None
    """Pool of candidates, if not the one that ships: of bodyloop pool build."""
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
    html: Annotated[Path | None, File] = None
    """Write this page instead: it opens anywhere, without bodyloop and without network."""
    pictures: Annotated[Path | None, MapFile] = None
    """The photo, or a folder of photos, if they are no longer where they were. Of tracks: the video, or a folder with
    an image a frame."""
    body: Annotated[Path | None, File] = None
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
    body: Annotated[Path | None, File] = None
    """SMPL .npz or .pkl of the bodies instead of the built-in body."""
    ground: bool = False
    """Put the lowest point of all frames at height 0."""
    fps: Annotated[float | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Frames a second of bvh, amass and obj; each person's own mean rate if not given."""
    onnx: Annotated[Path | None, File] = None
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
