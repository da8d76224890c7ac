"""Images whose pixels are labels."""

import io
import warnings
from pathlib import Path

import numpy as np

from bodyloop.errors import InputError


def read_bytes(path: Path, expected: str) -> bytes:
    """A file's content.

    Raises:
        InputError: if it cannot be read or is empty, saying what was expected.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # a null byte in the path is a ValueError
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path}: expected {expected}, got '{reason}'; check the path") from None
    if not content:
        raise InputError(f"{path}: expected {expected}, got an empty file; write or copy it again")
    return content


def read_pixels(path: Path, modes: tuple[str, ...], expected: str) -> np.ndarray:
    """Pixels of a PNG whose values are labels: nothing may be converted.

    Args:
        path: the file.
        modes: pillow's modes that will do; an opaque RGBA is as good as RGB.
        expected: for the messages.

    Raises:
        InputError: if it is no complete PNG of these modes.
    """
    from PIL import Image

    content = read_bytes(path, expected)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pillow's remarks on large images
            with Image.open(io.BytesIO(content)) as image:
                kind, found, pixels = image.format, image.mode, np.array(image)
    except Exception as error:  # whatever a decoder says of a broken file
        raise InputError(
            f"{path}: expected {expected}, got a file that is no complete image ({error}); it starts with "
            f"{content[:8]!r}: write or copy it again"
        ) from None
    if kind != "PNG":
        raise InputError(
            f"{path}: expected {expected}, got {kind}, whose compression may change labels; write a PNG anew "
            "from the detector's output"
        )
    if found == "RGBA" and "RGB" in modes and (pixels[..., 3] == 255).all():
        return pixels[..., :3]
    if found not in modes:
        raise InputError(
            f"{path}: expected {expected}, got a PNG of mode {found}, not {' or '.join(modes)}; write it with 8 bits "
            "for each channel, as the detector does"
        )
    return pixels
