"""`PartMap`: which part of a body each pixel of a photo shows, and the files that such maps come in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bodyloop.body.atlas import PART_OF_CHART
from bodyloop.body.parts import PARTITIONS
from bodyloop.errors import InputError
from bodyloop.evidence.iuv import IuvMap, read_iuv
from bodyloop.evidence.pixels import read_pixels

UNKNOWN = 255
"""Label of pixels of which the annotators do not say what they show."""

UPI_PARTS = ("head", "torso", "right_arm", "left_arm", "right_leg", "left_leg")
"""What labels 1 to 6 mean in UPi-S1h's part segmentation of LSP: the order of ``six_region_groups`` in the data set's
code (Lassner et al. 2017, ``up_tools/model.py``), which has the right side first."""

EXPECTED = "a PNG of part labels (8-bit grey or palette; 0 = background), or an IUV map"


@dataclass(frozen=True, eq=False)
class PartMap:
    """Parts of bodies on an image's pixels.

    Attributes:
        labels: (H, W) uint8; 0 is background, k + 1 the k-th part of the partition.
        partition: a name of `bodyloop.body.parts.PARTITIONS`.

    Raises:
        ValueError: on another shape or type, an unknown partition, or labels outside it.
    """

    labels: np.ndarray
    partition: str = "densepose"

    def __post_init__(self) -> None:
        if self.partition not in PARTITIONS:
            raise ValueError(f"no partition {self.partition!r}; there are {', '.join(PARTITIONS)}")
        if self.labels.ndim != 2 or 0 in self.labels.shape or self.labels.dtype != np.uint8:
            raise ValueError(f"part labels are (H, W) uint8, got {self.labels.shape} {self.labels.dtype}")
        if self.labels.max() > (most := len(PARTITIONS[self.partition].parts)):
            raise ValueError(f"{self.partition} labels are 0 to {most}, got {self.labels.max()}")

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.labels.shape[1], self.labels.shape[0]

    @classmethod
    def from_iuv(cls, iuv: IuvMap) -> "PartMap":
        """DensePose's 14 parts, which its 24 charts are halves of.

        Raises:
            ValueError: for a map of a box, whose pixels are not the image's.
        """
        if iuv.box is not None:
            raise ValueError("a map of parts covers the whole image, this IUV map covers a box of it")
        return cls(np.array((0, *PART_OF_CHART), np.uint8)[iuv.part], "densepose")


def read_parts(
    path: str | Path, partition: str = "densepose", size: tuple[int, int] | None = None
) -> PartMap:
    """Read a map of parts.

    Args:
        path: 8-bit PNG whose grey values or palette indices are labels: 0 is background, k + 1 the k-th part of the
            partition; or an IUV map as `read_iuv` reads, whose charts become DensePose's 14 parts.
        partition: what the labels of a PNG mean: "densepose" (14 parts), "smpl" (24), "lsp" (6, in the files in the
            order of `UPI_PARTS`). `UNKNOWN` is read as background: no part is drawn to either.
        size: (width, height) of the photo: a map of another size is refused.

    Raises:
        InputError: unreadable, of another kind or size, labels outside the partition, or nothing but background.
    """
    path = Path(path)
    if partition not in PARTITIONS:
        raise InputError(f"parts: expected one of {', '.join(PARTITIONS)}, got {partition!r}")
    if path.suffix.lower() == ".npz" or _is_coloured(path):
        iuv = read_iuv(path, size=size)
        if iuv.box is not None:
            raise InputError(
                f"{path}: expected a map of the whole photo, got one of a box in it; paste it into the photo's size"
            )
        return PartMap.from_iuv(iuv)
    labels = read_pixels(path, ("L", "P"), EXPECTED)
    if size is not None and labels.shape != (size[1], size[0]):
        raise InputError(
            f"{path}: expected the photo's size, {size[0]} x {size[1]}, got {labels.shape[1]} x {labels.shape[0]}; "
            "give the map of this photo at its full size (not resized: that mixes labels)"
        )
    labels = np.where(labels == UNKNOWN, np.uint8(0), labels)
    most = len(PARTITIONS[partition].parts)
    if labels.max() > most:
        raise InputError(
            f"{path}: expected labels 0 to {most} of the parts {partition!r}, got up to {labels.max()}; say which "
            f"parts they are ({', '.join(PARTITIONS)}), or write the labels themselves, not their colours"
        )
    if labels.max() == 0:
        raise InputError(f"{path}: expected {EXPECTED}, got one that is all background; leave the photo out")
    if partition == "lsp":
        own = PARTITIONS[partition].parts
        labels = np.array([0, *(own.index(name) + 1 for name in UPI_PARTS)], np.uint8)[labels]
    return PartMap(labels, partition)


def _is_coloured(path: Path) -> bool:
    """Whether a file is a PNG with colour channels, by its header: bytes 24 and 25 are depth and colour type."""
    try:
        with path.open("rb") as file:
            head = file.read(26)
    except (OSError, ValueError):
        return False  # told where it is read
    return head[:4] == b"\x89PNG" and len(head) == 26 and head[25] in (2, 6)
