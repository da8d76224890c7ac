"""The camera of a photo: from the user, from EXIF, or assumed."""

import math
import numbers
import warnings

from bodyloop.errors import InputError
from bodyloop.evidence.photos import FULL_FRAME_DIAGONAL
from bodyloop.geometry import Camera, default_focal


def choose_camera(
    size: tuple[int, int], exif_focal: float | None = None, focal: float | None = None
) -> tuple[Camera, str]:
    """Camera of an image, and a few words on where its focal length comes from.

    Args:
        size: (width, height) in pixels.
        exif_focal: focal length in pixels read from the file (`Photo.focal_px`), or None.
        focal: the user's own value in pixels, which goes before all else, or None.

    Returns:
        The camera, and "--focal", "EXIF (35 mm equivalent 28)" or "assumed: image diagonal".

    Warns:
        UserWarning: if `focal` can only be millimetres (see `focal_warning`).

    Raises:
        InputError: if `focal` is not a positive number of pixels.
    """
    width, height = size
    if focal is not None:
        checked = _checked(focal, max(size))
        if message := focal_warning(checked, size):
            warnings.warn(message, stacklevel=2)
        return Camera.from_focal(checked, width, height), "--focal"
    if exif_focal is not None and math.isfinite(exif_focal) and exif_focal > 0:
        equivalent = exif_focal * FULL_FRAME_DIAGONAL / math.hypot(width, height)
        return Camera.from_focal(exif_focal, width, height), f"EXIF (35 mm equivalent {equivalent:.0f})"
    return Camera.from_focal(default_focal(width, height), width, height), "assumed: image diagonal"


def focal_warning(focal: float, size: tuple[int, int]) -> str | None:
    """What to tell a user whose focal length is too short to be pixels, or None.

    Below a fifth of the longer side the view would be wider than 136 degrees: more likely millimetres.
    """
    if focal >= 0.2 * max(size):
        return None
    pixels = focal * math.hypot(*size) / FULL_FRAME_DIAGONAL
    return (
        f"--focal {focal:g} is taken as pixels, but is very short for an image of {size[0]} x {size[1]}: if "
        f"it is millimetres (35 mm equivalent), give --focal {pixels:.0f} instead"
    )


def _checked(focal: float, longer_side: int) -> float:
    if isinstance(focal, bool) or not isinstance(focal, numbers.Real):
        raise InputError(f"--focal: expected a number of pixels, got {focal!r}; leave it out if not known")
    if not (math.isfinite(focal) and 0 < focal <= 1000 * longer_side):
        raise InputError(
            f"--focal: expected a positive number of pixels (mostly 0.5 to 5 times the longer side, "
            f"{longer_side}), got {focal:g}; leave it out if not known"
        )
    return float(focal)
