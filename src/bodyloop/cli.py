"""The command line: parses and calls, no logic."""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from bodyloop.errors import InputError


@dataclass(frozen=True)
class Fit:
    """Fit bodies to the people in photos: images, folders or globs in, meshes and pictures out."""

    inputs: tyro.conf.Positional[tuple[str, ...]]
    """Images, folders of images, or globs."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the results; each photo gets a folder in it."""
    keypoints: Path | None = None
    """2D keypoints instead of the detector: COCO, OpenPose, MediaPipe or bodyloop JSON."""
    boxes: Path | None = None
    """Boxes to look for people in: JSON or CSV of x, y, w, h."""
    focal: float | None = None
    """Focal length in pixels. Without it: from EXIF, else the image diagonal."""
    body: Path | None = None
    """SMPL .npz or .pkl to fit instead of the built-in body."""
    detector: Literal["mediapipe", "rtmlib"] = "mediapipe"
    """Keypoint detector."""
    starts: tuple[Literal["lifter", "mean"], ...] = ("lifter", "mean")
    """Where fits start from; the best of each person wins."""
    formats: tuple[Literal["npz", "glb", "obj", "ply"], ...] = ("npz", "glb")
    """Result files."""
    pictures: bool = True
    """Draw overlay.png and side.png."""
    resume: bool = False
    """Skip photos whose body.npz is there already."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.photos import PhotoJob
        from bodyloop.terminal import run_photo_job

        return run_photo_job(PhotoJob(**vars(self)))


@dataclass(frozen=True)
class Demo:
    """Fit a body to a public-domain photo that is on this machine, and show what comes out."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("demo")
    """Folder for the photo and the results."""

    def run(self) -> int:
        """Do it."""
        from bodyloop.terminal import run_demo

        return run_demo(self.out)


COMMANDS = {"fit": Fit, "demo": Demo}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status is 0 if all went well, 1 if an input failed, 2 if nothing could be done."""
    warnings.showwarning = lambda message, *_, **__: print(f"warning: {message}", file=sys.stderr)
    try:
        command: Fit | Demo = tyro.extras.subcommand_cli_from_dict(
            COMMANDS, args=arguments, prog="bodyloop", description="3D bodies from photos and 2D keypoints."
        )
        return command.run()
    except InputError as error:
        print(f"bodyloop: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bodyloop: stopped; what was written stays, --resume goes on from there", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
