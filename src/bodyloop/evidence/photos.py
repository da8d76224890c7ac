"""Photos from disk: pixels the right way up, and the focal length that the camera wrote down."""

import glob
import math
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bodyloop.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".jpe",
        ".png",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".jp2",
        ".ppm",
        ".pgm",
        ".avif",
    )
)
"""What counts as a photo in a folder or a glob; a file named outright is tried whatever its suffix."""

MIN_SIDE = 16
"""Shortest side in pixels below which nobody can be made out."""

FULL_FRAME_DIAGONAL = math.hypot(36.0, 24.0)
"""Diagonal in millimetres of the film that "35 mm equivalent" speaks of."""

_ORIENTATION, _FOCAL, _FOCAL_35, _WIDTH = 0x0112, 0x920A, 0xA405, 0xA002
_PLANE_X_RESOLUTION, _PLANE_UNIT, _EXIF_IFD = 0xA20E, 0xA210, 0x8769
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


@dataclass(frozen=True, eq=False)
class Photo:
    """One image.

    Attributes:
        path: where it was read.
        pixels: (H, W, 3) uint8 RGB, turned as EXIF's orientation says.
        focal_px: focal length in pixels as EXIF tells it, or None.
        note: what was done to get 8-bit RGB ("16 bits reduced to 8"), empty if nothing.
    """

    path: Path
    pixels: np.ndarray
    focal_px: float | None = None
    note: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_photo(path: str | Path) -> Photo:
    """Read one image file of any kind that pillow knows; of an animation, the first frame.

    Raises:
        InputError: no such file, a folder, not an image, a truncated or broken one, one with too many
            pixels, or one too small to show anybody.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path}: expected an image file, got a folder; name a file in it, or use find_photos"
        )
    try:
        size = path.stat().st_size
    except (OSError, ValueError) as error:  # a null byte in the path is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: expected an image file, got '{reason}'; check the path") from None
    if size == 0:
        raise InputError(f"{path}: expected an image file, got an empty file; copy or download it again")
    return _decode(path)


def photo_sizes(paths: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """(width, height) by path, from the files' heads and turned as EXIF says; without unreadable files."""
    from PIL import Image

    sizes = {}
    for path in paths:
        try:
            with Image.open(path) as image:
                turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
                sizes[str(path)] = image.size[::-1] if turned else image.size
        except Exception:  # whatever a decoder says: `read_photo` will tell it to the user
            continue
    return sizes


def _decode(path: Path) -> Photo:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pillow's remarks on odd metadata and on large images
            with Image.open(path) as image:
                image.load()
                _check_size(path, image.size)
                exif = image.getexif()
                focal = exif_focal(exif, image.size)
                notes = []
                frames = getattr(image, "n_frames", 1)
                if frames > 1:
                    notes.append(f"first of {frames} frames")
                if exif.get(_ORIENTATION, 1) not in (1, None):
                    notes.append("turned as EXIF says")
                upright = ImageOps.exif_transpose(image)
                pixels, how = _to_rgb(upright)
    except InputError:
        raise
    except UnidentifiedImageError:
        with path.open("rb") as file:
            head = file.read(16)
        raise InputError(
            f"{path}: expected an image (JPEG, PNG, WebP, TIFF, BMP ...), got something else that starts "
            f"with {head!r}; convert it to JPEG or PNG"
        ) from None
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise InputError(
            f"{path}: expected at most {limit / 1e6:.0f} million pixels, got more ({error}); "
            "make a smaller copy of the image first"
        ) from None
    except MemoryError:
        raise InputError(f"{path}: the image does not fit in memory; make a smaller copy first") from None
    except Exception as error:  # whatever a decoder says of a broken file
        raise InputError(
            f"{path}: expected a complete image file, got one that cannot be decoded ({error}); it may be "
            "truncated: copy or download it again"
        ) from None
    return Photo(path, pixels, focal, "; ".join([*notes, *how]))


def _check_size(path: Path, size: tuple[int, int]) -> None:
    if min(size) < MIN_SIDE:
        raise InputError(
            f"{path}: expected an image of at least {MIN_SIDE} x {MIN_SIDE} pixels, got {size[0]} x "
            f"{size[1]}; use the original photo"
        )


def _to_rgb(image: "Image.Image") -> tuple[np.ndarray, list[str]]:
    """Any pillow mode to (H, W, 3) uint8, with remarks on what was lost."""
    from PIL import Image

    mode, notes = image.mode, []
    if mode.startswith(("I", "F")):
        grey = np.asarray(image, dtype=np.float64)
        grey = np.where(np.isfinite(grey), grey, 0.0)
        top = grey.max(initial=0.0)
        if mode.startswith("F"):
            full = 1.0 if top <= 1 else max(255.0, top)
        else:
            full = 65535.0 if mode.startswith("I;16") or top > 255 else 255.0
        grey8 = np.clip(np.rint(grey * (255.0 / max(full, top))), 0, 255).astype(np.uint8)
        return np.repeat(grey8[..., None], 3, axis=2), [f"{mode} grey levels reduced to 8 bits"]
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        above = image.convert("RGBA")
        if above.getchannel("A").getextrema() != (255, 255):
            notes.append("transparent parts made white")
        image = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
    return np.array(image.convert("RGB")), notes


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def exif_focal(exif: "Image.Exif", size: tuple[int, int]) -> float | None:
    """Focal length in pixels from EXIF, or None where it says nothing believable.

    The 35 mm equivalent is read over the diagonal, f_px = f35 * diagonal_px / 43.27 mm; failing that,
    FocalLength with the pixels per millimetre of the sensor (FocalPlaneXResolution, written for an image
    of width PixelXDimension).

    Args:
        exif: of the image before it is turned.
        size: (width, height) before it is turned.
    """
    try:
        tags = exif.get_ifd(_EXIF_IFD)
    except Exception:  # broken metadata is no reason to refuse a photo
        return None
    width, height = size
    equivalent = _positive(tags.get(_FOCAL_35))
    focal_mm, per_unit = _positive(tags.get(_FOCAL)), _positive(tags.get(_PLANE_X_RESOLUTION))
    focal = None
    if equivalent:
        focal = equivalent * math.hypot(width, height) / FULL_FRAME_DIAGONAL
    elif focal_mm and per_unit:
        unit = tags.get(_PLANE_UNIT, 2)
        unit_mm = _UNIT_MM.get(unit) if isinstance(unit, int) else None
        shrunk = width / (_positive(tags.get(_WIDTH)) or width)
        focal = focal_mm * per_unit / unit_mm * shrunk if unit_mm else None
    believable = focal is not None and 0.2 < focal / max(size) < 50
    return focal if believable else None


@dataclass(frozen=True)
class FoundPhotos:
    """Image files to read, in order and each once, and a message for every input that led to none."""

    paths: list[Path]
    errors: list[str]


def find_photos(inputs: Iterable[str | Path]) -> FoundPhotos:
    """Image files behind files, folders (one level, natural order: 2 before 10) and globs."""
    paths: dict[Path, Path] = {}
    errors: list[str] = []
    for given in inputs:
        found, problem = _look_up(given)
        if problem:
            errors.append(problem)
        for path in found:
            paths.setdefault(path.resolve(), path)
    return FoundPhotos(list(paths.values()), errors)


def _look_up(given: str | Path) -> tuple[list[Path], str]:
    try:
        path = Path(given).expanduser()
        if path.is_dir():
            found = _photos_among(path.iterdir())
            suffixes = ", ".join(sorted(SUFFIXES))
            return found, "" if found else f"{given}: no photos in this folder (looked for {suffixes})"
        if path.exists():
            return [path], ""
        if glob.has_magic(str(path)):
            found = _photos_among(map(Path, glob.glob(str(path))))
            return found, "" if found else f"{given}: no photo matches this pattern"
    except (OSError, ValueError, RuntimeError) as error:
        return [], f"{given}: cannot be read ({error})"
    return [], f"{given}: no such file or folder; check the path"


def _photos_among(paths: Iterable[Path]) -> list[Path]:
    kept = (p for p in paths if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file())
    return sorted(kept, key=natural_key)


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key that puts ``frame2`` before ``frame10``."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(p), p) if p.isdecimal() else (1, 0, p.lower()) for p in parts if p]
