"""Synthetic people as records, so that they go through the same augmentation into the same batches as photos."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bodyloop.body.skeletons import UNION45
from bodyloop.data.part_maps import PartMap
from bodyloop.data.record import BodyLabel, Joints3D, Keypoints2D, Record, RecordSet
from bodyloop.data.synthetic.maps import SurfaceLabeller
from bodyloop.data.synthetic.sample import SyntheticSample
from bodyloop.evidence import IuvMap, sample_dense


def sample_record(
    sample: SyntheticSample,
    labeller: SurfaceLabeller,
    dataset: str,
    dense: int | tuple[int, int] = (100, 150),
) -> Record:
    """A sample with all its labels as a record with the picture in memory.

    Keypoints count as labelled where they are inside the picture, hidden or not, as annotators do; the box is around
    them. Withhold labels with `bodyloop.data.labels.Labels`.

    Args:
        sample: one, without batch dimensions.
        labeller: of the sample's body, with the partition "smpl".
        dataset: the records' name for where they come from.
        dense: number of dense keypoints, or the least and the most; drawn from the sample's number.
    """
    number = int(sample.index)
    points = sample.keypoints(labeller.body, UNION45)
    maps = labeller.maps(sample)
    part, uv = maps.iuv[..., 0].numpy().astype(np.uint8), maps.iuv[..., 1:].clamp(0, 1).numpy()
    iuv = IuvMap(part, uv)
    labels = (maps.parts + 1).to(torch.uint8).numpy()
    seen = points.image[points.inside]
    box = None
    if len(seen) > 1:
        (x0, y0), (x1, y1) = seen.amin(0).tolist(), seen.amax(0).tolist()
        box = (x0, y0, x1, y1)
    inside = points.inside
    return Record(
        dataset,
        str(number),
        sample.image.numpy(),
        (sample.camera.size[0], sample.camera.size[1]),
        box,
        Keypoints2D(
            UNION45,
            torch.where(inside[:, None], points.image, 0.0),
            inside.float(),
            torch.zeros(len(UNION45), dtype=torch.bool),
        ),
        Joints3D(UNION45, points.camera, points.known, "camera"),
        BodyLabel(sample.bodies),
        "neutral",
        sample.camera,
        sample_dense(iuv, torch.Generator().manual_seed(number), dense),
        PartMap(labels, "smpl"),
        iuv,
    )


@dataclass(frozen=True, eq=False)
class _Maker:
    sample: Callable[[int], SyntheticSample]
    labeller: SurfaceLabeller
    dataset: str
    dense: int | tuple[int, int]

    def __call__(self, row: int) -> Record:
        return sample_record(self.sample(row), self.labeller, self.dataset, self.dense)


def synthetic_records(
    sample: Callable[[int], SyntheticSample],
    rows: range,
    labeller: SurfaceLabeller,
    dataset: str,
    dense: int | tuple[int, int] = (100, 150),
) -> RecordSet:
    """Synthetic people as a set of records, drawn when asked for.

    Args:
        sample: the sample of a number: `SyntheticPeople.sample`, or the look-up in a list of samples.
        rows: numbers of the samples.
        labeller, dataset, dense: as for `sample_record`.

    Raises:
        ValueError: if the labeller's parts are not of the partition "smpl".
    """
    if labeller.partition != "smpl":
        raise ValueError(f"records need a labeller of the partition 'smpl', got {labeller.partition!r}")
    maker = _Maker(sample, labeller, dataset, dense)
    return RecordSet(dataset, Path(dataset), maker, np.array(rows, dtype=np.int64))
