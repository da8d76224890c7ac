"""Part maps of recovered bodies against true part maps: accuracy, F1, IoU.

Everything follows from one table of counts a person, which classes' pixels were found as which (`Confusion`). Class 0
is the background; class p + 1 is part p of a partition of `bodyloop.body.parts`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, face_parts
from bodyloop.body.parts import partition
from bodyloop.geometry import Camera
from bodyloop.raster import part_map, rasterize

BACKGROUND = "background"
CHUNK = 32
"""People drawn at once: about 200 MB at 224 x 224 (``benchmarks/score_speed.py``)."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """Pixels by true and found class, of one person or of any batch.

    Every figure is (...), NaN where it has no pixels to speak of. `pooled` first for that of a data set, as Lassner et
    al., "Unite the People", 2017, and SPIN's table 2 report it; the mean of people's figures is another number.

    Attributes:
        classes: C names, "background" first.
        counts: (..., C, C) int64, [true class, found class].
        ignored: (..., C) int64, pixels without a true class by found class; zeros if there are none.
    """

    classes: tuple[str, ...]
    counts: Tensor
    ignored: Tensor

    def __post_init__(self) -> None:
        size = len(self.classes)
        if self.counts.shape[-2:] != (size, size) or self.ignored.shape != self.counts.shape[:-1]:
            raise ValueError(
                f"need counts (..., {size}, {size}) and ignored (..., {size}) for {size} classes, got "
                f"{tuple(self.counts.shape)} and {tuple(self.ignored.shape)}"
            )

    def pooled(self) -> "Confusion":
        """All people's pixels together."""
        size = len(self.classes)
        return Confusion(
            self.classes,
            self.counts.reshape(-1, size, size).sum(0),
            self.ignored.reshape(-1, size).sum(0),
        )

    def accuracy(self, ignored_as_background: bool = False) -> Tensor:
        """Share of pixels whose class was found.

        Args:
            ignored_as_background: count pixels without a true class as background, as the evaluation of UP-3D and SPIN
                (``eval.py``) does for accuracy, though not for F1; by default they count nowhere.
        """
        right, total = self.counts.diagonal(dim1=-2, dim2=-1).sum(-1), self.counts.sum((-2, -1))
        if ignored_as_background:
            right, total = right + self.ignored[..., 0], total + self.ignored.sum(-1)
        return right.double() / total

    def class_f1(self) -> Tensor:
        """F1 of each class (..., C): 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall."""
        right, true, found = self._sums()
        return 2 * right / (true + found)

    def class_iou(self) -> Tensor:
        """Intersection over union of each class (..., C)."""
        right, true, found = self._sums()
        return right / (true + found - right)

    def f1(self) -> Tensor:
        """Mean of the classes' F1, the background's too, over classes that are there or were found.

        SPIN's table 2: over 2 classes for foreground and background, over 7 for the six parts.
        """
        return self.class_f1().nanmean(-1)

    def iou(self) -> Tensor:
        """Mean of the parts' IoU without the background, over parts that are there or were found.

        With one part, as of `foreground`, the silhouette's IoU.
        """
        return self.class_iou()[..., 1:].nanmean(-1)

    def _sums(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels found rightly, truly there, and found, by class (..., C) float64."""
        counts = self.counts.double()
        return counts.diagonal(dim1=-2, dim2=-1), counts.sum(-1), counts.sum(-2)

    def merged(self, name: str) -> "Confusion":
        """The same pixels in a coarser partition.

        Args:
            name: of the coarser partition; this one has to be ``smpl``, of which all are exact unions.

        Raises:
            ValueError: if this is not the partition ``smpl``.
            KeyError: for an unknown partition.
        """
        coarse, fine = partition(name), partition("smpl")
        if self.classes != (BACKGROUND, *fine.parts):
            raise ValueError(
                f"only counts of the partition 'smpl' can be merged, got classes {', '.join(self.classes)}"
            )
        return self._union((BACKGROUND, *coarse.parts), (0, *(p + 1 for p in coarse.part_of_joint)))

    def foreground(self) -> "Confusion":
        """The same pixels as background and body."""
        return self._union((BACKGROUND, "body"), (0, *[1] * (len(self.classes) - 1)))

    def _union(self, classes: tuple[str, ...], target: tuple[int, ...]) -> "Confusion":
        # Float64 holds the counts exactly, and integers have no matrix product on a GPU.
        exact = torch.eye(len(classes), dtype=torch.float64)[list(target)].to(self.counts.device)
        counts = (exact.T @ self.counts.double() @ exact).long()
        return Confusion(classes, counts, (self.ignored.double() @ exact).long())

    @staticmethod
    def cat(parts: "list[Confusion]") -> "Confusion":
        """Join batches along the first dimension."""
        return Confusion(
            parts[0].classes, torch.cat([p.counts for p in parts]), torch.cat([p.ignored for p in parts])
        )

    def cpu(self) -> "Confusion":
        """The same in main memory."""
        return Confusion(self.classes, self.counts.cpu(), self.ignored.cpu())

    def __getitem__(self, index: int | slice | Tensor) -> "Confusion":
        return Confusion(self.classes, self.counts[index], self.ignored[index])


def confusion(
    found: Tensor, truth: Tensor, parts: tuple[str, ...], ignore: Tensor | None = None
) -> Confusion:
    """Count the pixels of part maps.

    Args:
        found, truth: (..., H, W) whole numbers, -1 for the background, else a part's number.
        parts: names of the parts.
        ignore: (..., H, W) bool, pixels whose true class is not known; their truth may be anything.

    Raises:
        ValueError: if the shapes differ, or a label is no part's number.
    """
    if found.shape != truth.shape or (ignore is not None and ignore.shape != truth.shape):
        raise ValueError(
            f"need maps of one shape (..., H, W), got found {tuple(found.shape)}, truth {tuple(truth.shape)}"
            + ("" if ignore is None else f", ignore {tuple(ignore.shape)}")
        )
    size, people = len(parts) + 1, truth.shape[:-2].numel()
    labels = truth if ignore is None else torch.where(ignore, size - 1, truth)
    for name, values in (("found", found), ("truth", truth if ignore is None else truth[~ignore])):
        if values.numel() and not (values.min() >= -1 and values.max() < len(parts)):
            raise ValueError(
                f"{name} has labels {int(values.min())} to {int(values.max())}, expected -1 for the background and "
                f"0 to {len(parts) - 1} for the {len(parts)} parts"
            )
    # A row more than there are classes takes the pixels without a true one.
    rows = labels.long() + 1
    cells = (rows * size + found.long() + 1).reshape(people, truth.shape[-2:].numel())
    offset = torch.arange(people, device=truth.device)[:, None] * (size * (size + 1))
    table = torch.bincount((cells + offset).flatten(), minlength=people * size * (size + 1))
    table = table.reshape(*truth.shape[:-2], size + 1, size)
    return Confusion((BACKGROUND, *parts), table[..., :size, :], table[..., size, :])


def draw_parts(
    bodies: Bodies, camera: Camera, body: BodyModel, name: str = "smpl", chunk: int = CHUNK
) -> Iterator[Tensor]:
    """Part maps of N bodies, some at a time: (n, H, W) int64, -1 where a pixel sees nothing.

    Args:
        bodies: N people in the camera frame, each drawn alone.
        camera: one for all, or N.
        body: their model.
        name: of the partition.
        chunk: the most people drawn at once, which bounds the memory.
    """
    labels, camera = face_parts(body, name), camera.expand(len(bodies))
    for first in range(0, len(bodies), chunk):
        some = slice(first, first + chunk)
        lens = Camera(camera.focal[some], camera.center[some], camera.size)
        yield part_map(rasterize(body.vertices(bodies[some]), body.faces, lens), labels)
