"""`Record`: one person of a data set with whatever labels there are, the same for every format.

`RecordSet`: the records of a data set, each made when it is asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, overload

import numpy as np
from torch import Tensor

from bodyloop.body import Bodies, Skeleton
from bodyloop.data.part_maps import PartSource
from bodyloop.evidence import DenseKeypoints, IuvMap
from bodyloop.geometry import Camera

Gender = Literal["female", "male", "neutral"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Keypoints2D:
    """2D keypoints of one person.

    Attributes:
        skeleton: which K landmarks.
        pixels: (K, 2) float32, image pixels; 0 where unseen.
        confidence: (K,) float32 in [0, 1]; 0 = unseen.
        detected: (K,) bool, which of them a detector found rather than a person.
    """

    skeleton: Skeleton
    pixels: Tensor
    confidence: Tensor
    detected: Tensor

    def __post_init__(self) -> None:
        k = len(self.skeleton)
        got = tuple(self.pixels.shape), tuple(self.confidence.shape), tuple(self.detected.shape)
        if got != ((k, 2), (k,), (k,)):
            raise ValueError(f"{self.skeleton.name} keypoints need ({k}, 2), ({k},), ({k},), got {got}")


@dataclass(frozen=True, eq=False)
class Joints3D:
    """3D joints of one person, in camera axes (x right, y down, z forward).

    Attributes:
        skeleton: which K landmarks.
        points: (K, 3) float32 metres.
        mask: (K,) bool, which are known.
        frame: "camera" if the origin is the camera's centre; "root" if it is anywhere, so that only differences mean
            something.
    """

    skeleton: Skeleton
    points: Tensor
    mask: Tensor
    frame: Literal["camera", "root"]

    def __post_init__(self) -> None:
        k = len(self.skeleton)
        got = tuple(self.points.shape), tuple(self.mask.shape)
        if got != ((k, 3), (k,)):
            raise ValueError(f"{self.skeleton.name} joints need points ({k}, 3) and mask ({k},), got {got}")


@dataclass(frozen=True, eq=False)
class BodyLabel:
    """SMPL parameters of one person.

    Attributes:
        bodies: rotations (24, 3, 3), betas (10,), translation (3,), without batch dimensions.
        frame: "camera": camera axes, with the origin at its centre; "world": some other axes, so that the global
            orientation says nothing about an image.
        has_betas: whether the shape is known.
        has_translation: whether the place is known.
    """

    bodies: Bodies
    frame: Literal["camera", "world"] = "camera"
    has_betas: bool = True
    has_translation: bool = True

    def __post_init__(self) -> None:
        if self.bodies.batch_shape:
            raise ValueError(
                f"the label of one person has no batch dimensions, got {tuple(self.bodies.batch_shape)}"
            )


@dataclass(frozen=True, eq=False)
class Record:
    """One person in one image, or of motion capture.

    Attributes:
        dataset: the data set's name.
        id: of the record within the data set; the same each time the files are read.
        image: file, or pixels (H, W, 3) uint8 RGB; None if there is none.
        size: (width, height) of the image, if known.
        box: x0, y0, x1, y1 around the person, image pixels, without margin.
        keypoints: 2D.
        joints: 3D.
        body: SMPL parameters.
        gender: of the body model that the SMPL parameters are for.
        camera: of the image, if known.
        dense: points of the surface seen at pixels.
        parts: map of parts, or a silhouette.
        silhouette: a second map, where a data set has a silhouette beside the parts, as LSP's annotators drew both.
            Crops (`bodyloop.data.augment`) leave it out.
        iuv: map of surface coordinates, or its file (`bodyloop.evidence.read_iuv`).
    """

    dataset: str
    id: str
    image: Path | np.ndarray | None = None
    size: tuple[int, int] | None = None
    box: Box | None = None
    keypoints: Keypoints2D | None = None
    joints: Joints3D | None = None
    body: BodyLabel | None = None
    gender: Gender | None = None
    camera: Camera | None = None
    dense: DenseKeypoints | None = None
    parts: PartSource | None = None
    iuv: IuvMap | Path | None = None
    silhouette: PartSource | None = None

    @property
    def has_smpl(self) -> bool:
        """Whether there are SMPL parameters."""
        return self.body is not None


@dataclass(frozen=True, eq=False)
class RecordSet(Sequence[Record]):
    """Records of a data set; each is made when it is asked for.

    Attributes:
        name: the data set's.
        path: where it was read.
        make: the record of a row of the file.
        rows: (N,) rows of the file that can be used.
        skipped: why others were left out, one line for each reason.
    """

    name: str
    path: Path
    make: Callable[[int], Record]
    rows: np.ndarray
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> "RecordSet": ...

    def __getitem__(self, index: int | slice) -> "Record | RecordSet":
        if isinstance(index, slice):
            return RecordSet(self.name, self.path, self.make, self.rows[index], self.skipped)
        return self.make(int(self.rows[index]))

    def changed(self, change: Callable[[Record], Record]) -> "RecordSet":
        """The same records, each changed when it is asked for (e.g. `bodyloop.data.labels.Labels`)."""
        return RecordSet(self.name, self.path, _Changed(self.make, change), self.rows, self.skipped)


@dataclass(frozen=True, eq=False)
class _Changed:
    """A record made and then changed; an object, so that other processes can have it."""

    make: Callable[[int], Record]
    change: Callable[[Record], Record]

    def __call__(self, row: int) -> Record:
        return self.change(self.make(row))
