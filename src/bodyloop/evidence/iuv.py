"""IUV maps: which point of the body's surface each pixel shows, and the files that they come in.

Güler, Neverova, Kokkinos, "DensePose: Dense Human Pose Estimation in the Wild", 2018: I is one of 24 charts of
the surface, U and V are places in [0, 1] within it; I = 0 is the background.
"""

import io
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bodyloop.body.atlas import CHART_FLIP, PART_OF_CHART
from bodyloop.body.parts import PARTITIONS
from bodyloop.errors import InputError
from bodyloop.evidence.pixels import read_bytes, read_pixels
from bodyloop.writing import write_atomic

CHART_COUNT = 24

SEGMENTS: dict[str, tuple[int, ...]] = {
    name: tuple(i for i, part in enumerate(PART_OF_CHART, 1) if part == k)
    for k, name in enumerate(PARTITIONS["densepose"].parts, 1)
}
"""Charts of each body segment, in DensePose's numbering. A segment's charts are in the order of its mirror image's."""

LIMBS = {"arm": ("upper_arm", "lower_arm", "hand"), "leg": ("upper_leg", "lower_leg", "foot")}
"""Segments of each limb, without the side."""

EXPECTED = "an IUV map: DensePose's PNG (I in the blue channel, U in green, V in red), or npz with I, U, V"


def mirrored_parts() -> np.ndarray:
    """(25,) uint8: the part that each I from 0 to 24 becomes when left and right are taken for each other.

    The torso's charts, back and front, stay; the head's two halves trade places.
    """
    return np.array((0, *CHART_FLIP), dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class IuvMap:
    """Surface coordinates of an image's pixels, or of a box in it.

    Attributes:
        part: (H, W) uint8 I: chart 1 to 24, 0 = background.
        uv: (H, W, 2) float U, V in [0, 1]; without meaning on the background.
        box: x0, y0, x1, y1, the outer edges of the map in image pixels; None where the map's pixels are the
            image's. A map of the integer box x, y, w, h has (x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5).
        instance: (H, W) int, number of the person on each pixel, -1 on the background; None if not known.

    Raises:
        ValueError: on other shapes, types or ranges.
    """

    part: np.ndarray
    uv: np.ndarray
    box: tuple[float, float, float, float] | None = None
    instance: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = self.part.shape
        if len(shape) != 2 or 0 in shape or self.part.dtype != np.uint8 or self.uv.shape != (*shape, 2):
            raise ValueError(
                f"an IUV map needs part (H, W) uint8 and uv (H, W, 2), got {shape} {self.part.dtype} and "
                f"{self.uv.shape}"
            )
        if self.part.max() > CHART_COUNT:
            raise ValueError(f"parts are 0 to {CHART_COUNT}, got {self.part.max()}")
        if not (np.issubdtype(self.uv.dtype, np.floating) and ((self.uv >= 0) & (self.uv <= 1)).all()):
            raise ValueError(
                f"uv must be floats in [0, 1], got {self.uv.dtype}, {self.uv.min()} to {self.uv.max()}"
            )
        if self.box is not None and not (self.box[2] > self.box[0] and self.box[3] > self.box[1]):
            raise ValueError(f"a box needs x1 > x0 and y1 > y0, got {self.box}")
        if self.instance is not None and self.instance.shape != shape:
            raise ValueError(f"instance must be {shape} as part is, got {self.instance.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in the map's own pixels."""
        return self.part.shape[1], self.part.shape[0]

    @property
    def foreground(self) -> np.ndarray:
        """(H, W) bool: where there is a body."""
        return self.part > 0

    @property
    def instances(self) -> tuple[int, ...]:
        """Numbers of the people that have a pixel; none where `instance` is not known."""
        if self.instance is None:
            return ()
        return tuple(np.unique(self.instance[self.foreground]).tolist())

    def of_instance(self, number: int) -> "IuvMap":
        """The map with everybody but one person made background.

        Raises:
            ValueError: if nobody has that number.
        """
        if self.instance is None or number not in self.instances:
            raise ValueError(f"no person {number} in this map; it has {list(self.instances)}")
        return self.without(self.instance != number)

    def without(self, pixels: np.ndarray) -> "IuvMap":
        """The map with `pixels` (H, W) bool made background, where I, U and V are 0."""
        part, uv = np.where(pixels, np.uint8(0), self.part), np.where(pixels[..., None], 0.0, self.uv)
        instance = None if self.instance is None else np.where(pixels, -1, self.instance)
        return replace(self, part=part, uv=uv.astype(self.uv.dtype), instance=instance)

    def image_to_map(self, pixels: np.ndarray) -> np.ndarray:
        """Image pixels (..., 2) x, y to the map's; both have centres at whole numbers."""
        if self.box is None:
            return np.asarray(pixels, dtype=np.float64)
        low, high = np.array(self.box[:2]), np.array(self.box[2:])
        return (pixels - low) * (np.array(self.size) / (high - low)) - 0.5

    def map_to_image(self, pixels: np.ndarray) -> np.ndarray:
        """The map's pixels (..., 2) x, y to image pixels."""
        if self.box is None:
            return np.asarray(pixels, dtype=np.float64)
        low, high = np.array(self.box[:2]), np.array(self.box[2:])
        return (pixels + 0.5) * ((high - low) / np.array(self.size)) + low


def read_iuv(
    path: str | Path, indices: str | Path | None = None, size: tuple[int, int] | None = None
) -> IuvMap:
    """Read an IUV map; the format, PNG or npz, is told by the content.

    The PNG is the one that DensePose's ``infer_simple.py`` writes with OpenCV from the channels I, U * 255,
    V * 255: read as RGB, these are blue, green and red. It rounds U and V down; they are read as they stand.

    Args:
        path: ``name_IUV.png``, or npz with I, U, V (H, W) and, as `write_iuv` puts them there, ``box`` and
            ``instance``. Floats U and V are in [0, 1], whole numbers in 0 to 255.
        indices: ``name_INDS.png``, which numbers the people. DensePose numbers them from 0, so 0 where the
            map has a body is a person too, and numbers may be missing between.
        size: (width, height) of the photo, if it is known: a map of another size is refused (unless it tells
            its box).

    Raises:
        InputError: unreadable, not of these formats, of another size than the photo or the indices, labels
            outside 0 to 24, U or V outside their range, or no body in it.
    """
    path = Path(path)
    head = read_bytes(path, EXPECTED)[:4]
    iuv = _read_npz(path) if head.startswith(b"PK") else _read_png(path)
    if not iuv.foreground.any():
        raise InputError(
            f"{path}: expected {EXPECTED}, got one that is all background; leave the photo out, or lower the "
            "detector's threshold"
        )
    if size is not None and iuv.box is None and iuv.size != tuple(size):
        raise InputError(
            f"{path}: expected the photo's size, {size[0]} x {size[1]}, got {iuv.size[0]} x {iuv.size[1]}; give "
            "the map of this photo at its full size (not resized: that mixes labels)"
        )
    return iuv if indices is None else _with_indices(iuv, path, Path(indices))


def write_iuv(path: str | Path, iuv: IuvMap, indices: str | Path | None = None) -> None:
    """Write what `read_iuv` reads: npz, which is exact, or DensePose's PNG, which has 8 bits for U and V.

    Args:
        path: the suffix says which.
        iuv: the map.
        indices: where to write ``name_INDS.png``; npz keeps the numbers of the people itself.

    Raises:
        InputError: if a file cannot be written.
        ValueError: another suffix, a box (PNG cannot tell it), or numbers of people that are not there or
            beyond 0 to 255.
    """
    path = Path(path)
    if path.suffix == ".npz":
        arrays = {"I": iuv.part, "U": iuv.uv[..., 0], "V": iuv.uv[..., 1]}
        if iuv.box is not None:
            arrays["box"] = np.array(iuv.box)
        if iuv.instance is not None:
            arrays["instance"] = iuv.instance
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        write_atomic(path, file.getvalue())
    elif path.suffix == ".png":
        if iuv.box is not None:
            raise ValueError("a PNG cannot tell the box that a map covers; write .npz")
        vui = np.concatenate([np.rint(iuv.uv[..., ::-1] * 255), iuv.part[..., None]], -1)
        write_atomic(path, _png(np.where(iuv.foreground[..., None], vui, 0).astype(np.uint8)))
    else:
        raise ValueError(f"an IUV map is written as .png or .npz, got {path.name!r}")
    if indices is not None:
        numbers = iuv.instances
        if not numbers or numbers[0] < 0 or numbers[-1] > 255 or iuv.instance is None:
            raise ValueError(f"an INDS PNG needs people with numbers 0 to 255, got {list(numbers)}")
        write_atomic(indices, _png(np.where(iuv.foreground, iuv.instance, 0).astype(np.uint8)))


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _read_png(path: Path) -> IuvMap:
    vui = read_pixels(path, ("RGB",), EXPECTED)
    part = vui[..., 2]
    if part.max() > CHART_COUNT:
        turned = vui[..., 0].max() <= CHART_COUNT
        remedy = (
            "red does hold such labels, so it was written as RGB: swap red and blue"
            if turned
            else "it is a picture of a map or resized: give the map itself"
        )
        raise InputError(
            f"{path}: expected labels 0 to {CHART_COUNT} in blue, got up to {part.max()}; {remedy}"
        )
    uv = vui[..., 1::-1].astype(np.float32) / 255
    return IuvMap(part.copy(), np.where(part[..., None] > 0, uv, np.float32(0)))


def _read_npz(path: Path) -> IuvMap:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(
            f"{path}: expected {EXPECTED}, got a file that numpy cannot read ({error}); write it again with "
            "numpy.savez"
        ) from None
    if not {"I", "U", "V"} <= arrays.keys():
        raise InputError(
            f"{path}: expected npz with I, U, V, got {', '.join(sorted(arrays)) or 'no arrays'}; name the "
            "arrays so"
        )
    part, u, v = (arrays[name] for name in "IUV")
    shapes = part.shape, u.shape, v.shape
    if len(set(shapes)) != 1 or part.ndim != 2 or 0 in part.shape:
        raise InputError(f"{path}: expected I, U, V of one shape (H, W), got {shapes}; save single maps")
    if not all(a.dtype.kind in "uif" for a in (part, u, v)):
        raise InputError(
            f"{path}: expected numbers in I, U, V, got {part.dtype}, {u.dtype}, {v.dtype}; save numeric arrays"
        )
    if not ((part >= 0) & (part <= CHART_COUNT) & (np.floor(part) == part)).all():
        raise InputError(
            f"{path}: expected whole labels 0 to {CHART_COUNT} in I, got {part.min()} to {part.max()}; save the "
            "charts' numbers"
        )
    body = part > 0
    full = [1.0 if a.dtype.kind == "f" else 255.0 for a in (u, v)]
    uv = np.stack([np.where(body, a, 0) / top for a, top in zip((u, v), full, strict=True)], -1)
    if not ((uv >= 0) & (uv <= 1)).all():
        raise InputError(
            f"{path}: expected U and V in [0, 1] as floats or 0 to 255 as whole numbers wherever I is not 0, got "
            f"{uv.min():g} to {uv.max():g}; divide them by 255 or mark what is not known as background"
        )
    keep = u.dtype if u.dtype == v.dtype and u.dtype.kind == "f" else np.float32
    try:
        box = tuple(float(x) for x in arrays["box"]) if "box" in arrays else None
        if box is not None and (len(box) != 4 or not np.isfinite(box).all()):
            raise ValueError(f"a box is x0, y0, x1, y1, got {box}")
        return IuvMap(part.astype(np.uint8), uv.astype(keep), box, arrays.get("instance"))  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: expected {EXPECTED}, got {error}; write it with write_iuv") from None


def _with_indices(iuv: IuvMap, path: Path, indices: Path) -> IuvMap:
    numbers = read_pixels(indices, ("L",), "DensePose's INDS PNG, 8-bit grey")
    if numbers.shape != iuv.part.shape:
        raise InputError(
            f"{indices}: expected the size of {path.name}, {iuv.size[0]} x {iuv.size[1]}, got "
            f"{numbers.shape[1]} x {numbers.shape[0]}; give the two files of one photo"
        )
    return replace(iuv, instance=np.where(iuv.foreground, numbers.astype(np.int16), np.int16(-1)))
