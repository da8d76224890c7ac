"""`PartMap`: which part of a person each pixel shows, from whatever file a data set keeps it in."""

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from bodyloop.body.matlab import load_mat
from bodyloop.body.parts import partition
from bodyloop.errors import InputError
from bodyloop.evidence import DensePoseAnnotation
from bodyloop.evidence.part_map import UNKNOWN


@dataclass(frozen=True, eq=False)
class PartMap:
    """Parts of one person in an image.

    Attributes:
        labels: (H, W) uint8: 0 background, n + 1 for part n of the partition, `UNKNOWN` where nobody knows.
        partition: name in `bodyloop.body.PARTITIONS`; "person" for a silhouette.

    Raises:
        ValueError: on another shape or type, or labels beyond the partition's.
        KeyError: for an unknown partition.
    """

    labels: np.ndarray
    partition: str

    def __post_init__(self) -> None:
        count = len(partition(self.partition).parts)
        if self.labels.ndim != 2 or self.labels.dtype != np.uint8:
            raise ValueError(f"a part map is (H, W) uint8, got {self.labels.shape} {self.labels.dtype}")
        known = self.labels[self.labels != UNKNOWN]
        if known.size and known.max() > count:
            raise ValueError(f"labels of {self.partition!r} are 0 to {count}, got {known.max()}")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.labels.shape[1], self.labels.shape[0]

    def read(self) -> "PartMap":
        """Itself: a map in memory is a `PartSource` too."""
        return self

    def merged(self, name: str) -> "PartMap":
        """The same map in a coarser partition, or the same one.

        Raises:
            ValueError: if the other partition is not coarser.
        """
        if name == self.partition:
            return self
        return PartMap(_table(self.partition, name)[self.labels], name)

    def swapped(self) -> "PartMap":
        """The same pixels with left and right parts exchanged."""
        flip = np.arange(256, dtype=np.uint8)
        flip[1 : 1 + len(partition(self.partition).flip)] = np.array(partition(self.partition).flip) + 1
        return PartMap(flip[self.labels], self.partition)


@lru_cache
def merges_into(fine: str, coarse: str) -> bool:
    """Whether every part of one partition lies within one part of the other."""
    pairs = set(zip(partition(fine).part_of_joint, partition(coarse).part_of_joint, strict=True))
    return len(pairs) == len(partition(fine).parts)


@lru_cache
def _table(fine: str, coarse: str) -> np.ndarray:
    """(256,) uint8: label of each label in the coarser partition."""
    if not merges_into(fine, coarse):
        raise ValueError(f"parts of {fine!r} do not each lie within one part of {coarse!r}")
    table = np.full(256, UNKNOWN, np.uint8)
    table[0] = 0
    for own, other in zip(partition(fine).part_of_joint, partition(coarse).part_of_joint, strict=True):
        table[own + 1] = other + 1
    return table


class PartSource(Protocol):
    """Where a part map comes from; it is read when it is needed.

    Attributes:
        partition: of the map.
    """

    @property
    def partition(self) -> str:
        """Name of the partition."""

    def read(self) -> PartMap:
        """The map, of the image's size.

        Raises:
            InputError: if it cannot be read.
        """


@dataclass(frozen=True)
class GreyPng:
    """Labels as the grey levels of an image file: part 1, 2 ..., `UNKNOWN`; of a silhouette, all above 0.

    Attributes:
        path: the file.
        partition: of the map.
        parts: what labels 1, 2 ... mean; the partition's parts in its own order if None.
    """

    path: Path
    partition: str
    parts: tuple[str, ...] | None = None

    def read(self) -> PartMap:
        """See `PartSource`."""
        from PIL import Image

        try:
            with Image.open(io.BytesIO(self.path.read_bytes())) as image:
                mode, pixels = image.mode, np.array(image)
        except (OSError, ValueError, SyntaxError) as error:  # pillow's for broken PNGs
            raise InputError(
                f"{self.path}: expected a PNG of labels, got a file that cannot be read ({error}); check the path"
            ) from None
        if mode == "1" or (mode in ("RGB", "RGBA") and self.partition == "person"):
            pixels = pixels if mode == "1" else pixels[..., :3].max(-1)
        elif mode not in ("L", "P"):
            raise InputError(
                f"{self.path}: expected grey levels that are labels, got an image of mode {mode}"
            )
        if self.partition == "person":
            return PartMap((pixels > 0).astype(np.uint8), "person")
        found = _checked(pixels.astype(np.uint8), self.partition, str(self.path))
        return found if self.parts is None else PartMap(self._own_order()[found.labels], self.partition)

    def _own_order(self) -> np.ndarray:
        """(256,) uint8: label of the partition for each of the file's."""
        assert self.parts is not None, "asked only of files with an order of their own"
        names, table = partition(self.partition).parts, np.arange(256, dtype=np.uint8)
        table[1 : 1 + len(self.parts)] = [names.index(name) + 1 for name in self.parts]
        return table


@dataclass(frozen=True, eq=False)
class DensePoseMasks:
    """The 14 masks that COCO-DensePose's annotators drew of one person, in an image of `size` (width, height)."""

    annotation: DensePoseAnnotation
    size: tuple[int, int]
    partition: str = "densepose"

    def read(self) -> PartMap:
        """See `PartSource`. Pixels outside of the annotators' frame, the person's box, are unknown."""
        labels = self.annotation.image_part_mask(self.size)
        x0, y0, x1, y1 = self.annotation.box
        x, y = np.arange(self.size[0]), np.arange(self.size[1])
        inside = ((y >= y0) & (y <= y1))[:, None] & ((x >= x0) & (x <= x1))
        return PartMap(np.where(inside, labels, np.uint8(UNKNOWN)), "densepose")


@dataclass(frozen=True)
class MatFrame:
    """One frame of a MATLAB file with a map for each, such as SURREAL's ``segm_1``, ``segm_2`` ...

    Attributes:
        path: the file.
        key: name of the frame's array (H, W).
        partition: of its labels.
        swapped: whether left means right.
    """

    path: Path
    key: str
    partition: str
    swapped: bool = False

    def read(self) -> PartMap:
        """See `PartSource`."""
        labels = load_mat(self.path, "expected maps, one for each frame", (self.key,)).get(self.key)
        if labels is None or labels.ndim != 2 or labels.dtype.kind not in "uif":
            raise InputError(
                f"{self.path}: expected a map {self.key!r} (H, W), got none; extract the data set again"
            )
        found = _checked(labels.astype(np.uint8), self.partition, f"{self.path}, {self.key}")
        return found.swapped() if self.swapped else found


def _checked(labels: np.ndarray, name: str, where: str) -> PartMap:
    try:
        return PartMap(labels, name)
    except ValueError as error:
        raise InputError(f"{where}: expected labels of {name!r}, got others ({error})") from None
