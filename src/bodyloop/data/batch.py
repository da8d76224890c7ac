"""`Batch`: crops and whatever labels they have as tensors, with a mask for all that may be missing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bodyloop.body import Bodies, Skeleton, convert
from bodyloop.body.skeletons import UNION45
from bodyloop.data.augment import Change, assumed_camera
from bodyloop.data.part_maps import merges_into
from bodyloop.data.record import BodyLabel, Record
from bodyloop.evidence import Evidence, IuvMap
from bodyloop.geometry import Camera, keypoint_boxes

GENDERS = ("unknown", "female", "male", "neutral")
"""What the numbers of `Batch.gender` mean."""


@dataclass(frozen=True)
class Layout:
    """What a batch has room for.

    Attributes:
        skeleton: of 2D keypoints and 3D joints.
        dense: dense keypoints at most; of more, a random part is kept. Rong et al. 2019 have 100 to 150.
        parts: partition that part maps are brought into; None leaves them out. Maps of a coarser one count as missing.
        iuv: whether IUV maps are wanted.
    """

    skeleton: Skeleton = UNION45
    dense: int = 150
    parts: str | None = None
    iuv: bool = False


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops with labels: leading dimensions (B,), or none for one sample. S is the crop's side.

    Attributes:
        image: (..., 3, S, S) float32 RGB in [0, 1].
        has_image: (...) bool.
        skeleton: of the K keypoints and joints.
        keypoints: (..., K, 2) crop pixels; 0 where unseen.
        confidence: (..., K) in [0, 1].
        detected: (..., K) bool, found by a detector rather than labelled by people.
        joints: (..., K, 3) metres, the crop camera's axes; 0 where unknown.
        joints_known: (..., K) bool.
        joints_absolute: (...) bool, whether the origin is the camera's centre; else only differences mean something.
        bodies: (...) SMPL parameters in the crop camera's frame; at rest where unknown.
        has_pose: (...) bool, the rotations of the 23 joints.
        has_orientation: (...) bool, the global orientation.
        has_betas: (...) bool.
        has_translation: (...) bool.
        camera: (...) of the crop: it sees `bodies` where `keypoints` are.
        has_camera: (...) bool; where False the camera is assumed (`assumed_camera`).
        dense_pixels: (..., D, 2) crop pixels.
        dense_part: (..., D) int64 I, 1 to 24; 0 for no point.
        dense_uv: (..., D, 2) U, V.
        dense_weight: (..., D), 0 for no point.
        parts: (..., S, S) uint8, as `PartMap.labels`; None if not asked for.
        has_parts: (...) bool.
        iuv: (..., 3, S, S) float32 I, U, V; None if not asked for.
        has_iuv: (...) bool.
        gender: (...) int64 index into `GENDERS`.
        crop_center: (..., 2) the crop's place in its image, pixels.
        crop_size: (...) its side in the image, pixels.
        crop_angle: (...) radians, as `CropTransform.angle`.
        flipped: (...) bool.
        source: (...) int64 number of the data set in a mixture.
        row: (...) int64 number of the record in it.
        names: "DATASET/ID" of every sample.
    """

    image: Tensor
    has_image: Tensor
    skeleton: Skeleton
    keypoints: Tensor
    confidence: Tensor
    detected: Tensor
    joints: Tensor
    joints_known: Tensor
    joints_absolute: Tensor
    bodies: Bodies
    has_pose: Tensor
    has_orientation: Tensor
    has_betas: Tensor
    has_translation: Tensor
    camera: Camera
    has_camera: Tensor
    dense_pixels: Tensor
    dense_part: Tensor
    dense_uv: Tensor
    dense_weight: Tensor
    parts: Tensor | None
    has_parts: Tensor
    iuv: Tensor | None
    has_iuv: Tensor
    gender: Tensor
    crop_center: Tensor
    crop_size: Tensor
    crop_angle: Tensor
    flipped: Tensor
    source: Tensor
    row: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @staticmethod
    def stack(samples: "Sequence[Batch]") -> "Batch":
        """Samples of one layout as a batch; serves as a loader's ``collate_fn``.

        Raises:
            ValueError: if the samples' layouts differ.
        """
        first = samples[0]
        if any(s.skeleton != first.skeleton for s in samples):
            raise ValueError("samples of one batch need one skeleton; give all data sets the same layout")

        def together(pick: Callable[[Batch], Any]) -> Any:
            values = [pick(sample) for sample in samples]
            if any((value is None) != (values[0] is None) for value in values):
                raise ValueError(
                    "samples of one batch need the same maps; give all data sets the same layout"
                )
            return None if values[0] is None else torch.stack(values)

        people = [s.bodies for s in samples]
        bodies = Bodies(
            *(torch.stack([getattr(b, k) for b in people]) for k in ("rotations", "betas", "translation"))
        )
        camera = Camera(
            torch.stack([s.camera.focal for s in samples]),
            torch.stack([s.camera.center for s in samples]),
            first.camera.size,
        )
        own = {"skeleton", "bodies", "camera", "names"}
        tensors = {
            f.name: together(lambda sample, key=f.name: getattr(sample, key))  # type: ignore[misc]
            for f in fields(Batch)
            if f.name not in own
        }
        names = tuple(name for s in samples for name in s.names)
        return replace(first, bodies=bodies, camera=camera, names=names, **tensors)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """Change every tensor."""
        changed: dict[str, Any] = {
            f.name: change(getattr(self, f.name))
            for f in fields(self)
            if isinstance(getattr(self, f.name), Tensor)
        }
        b, c = self.bodies, self.camera
        changed["bodies"] = Bodies(change(b.rotations), change(b.betas), change(b.translation))
        changed["camera"] = Camera(change(c.focal), change(c.center), c.size)
        return replace(self, **changed)

    def __getitem__(self, rows: Tensor) -> "Batch":
        """Some samples of a batch (B,), by their numbers (N,)."""
        names = tuple(self.names[row] for row in rows.tolist())
        return replace(self._each(lambda tensor: tensor[rows]), names=names)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """The same batch in page-locked memory, for faster copies to a GPU; a loader calls this."""
        return self._each(lambda tensor: tensor.pin_memory())

    def evidence(self) -> Evidence:
        """2D keypoints of a batch (B,), as fits take them; boxes are around the seen keypoints, in crop pixels."""
        boxes = keypoint_boxes(self.keypoints, self.confidence)
        return Evidence(self.skeleton, self.keypoints, self.confidence, boxes, self.names)


def to_sample(
    crop: Record,
    change: Change,
    layout: Layout,
    rng: np.random.Generator,
    camera: Camera | None,
    source: int = 0,
    row: int = 0,
) -> Batch:
    """One sample of a record that was changed already.

    Args:
        crop: what `Change.apply` gave.
        change: what was done.
        layout: of the batch.
        rng: picks the dense points that stay.
        camera: to assume where the record has none; None assumes one for the crop alone.
        source, row: as in `Batch`.
    """
    side = change.crop.resolution
    pixels = crop.image if isinstance(crop.image, np.ndarray) else None
    image = torch.zeros(3, side, side)
    if pixels is not None:
        image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).float() / 255
    lens = crop.camera or camera or assumed_camera((side, side))
    values: dict[str, Any] = {
        **_keypoints(crop, layout),
        **_joints(crop, layout),
        **_body(crop.body),
        **_dense(crop, layout, rng),
        **_maps(crop, layout, side),
    }
    return Batch(
        image=image,
        has_image=torch.tensor(pixels is not None),
        skeleton=layout.skeleton,
        camera=lens,
        has_camera=torch.tensor(crop.camera is not None),
        gender=torch.tensor(GENDERS.index(crop.gender or "unknown")),
        crop_center=change.crop.center.float(),
        crop_size=change.crop.size.float(),
        crop_angle=torch.tensor(float(change.crop.angle)),
        flipped=torch.tensor(change.crop.flip),
        source=torch.tensor(source),
        row=torch.tensor(row),
        names=(f"{crop.dataset}/{crop.id}",),
        **values,
    )


def _keypoints(crop: Record, layout: Layout) -> dict[str, Tensor]:
    count = len(layout.skeleton)
    if crop.keypoints is None:
        return {
            "keypoints": torch.zeros(count, 2),
            "confidence": torch.zeros(count),
            "detected": torch.zeros(count, dtype=torch.bool),
        }
    found, own = crop.keypoints, crop.keypoints.skeleton
    # Of two copies of a landmark people's counts before a detector's, however sure that is.
    rank = torch.where(found.confidence > 0, found.confidence + 2.0 * ~found.detected, 0.0)
    columns = torch.cat([found.pixels, found.confidence[:, None], found.detected[:, None].float()], 1)
    columns, _ = convert(columns, rank, own, layout.skeleton)
    seen = columns[:, 2] > 0
    pixels = torch.where(seen[:, None], columns[:, :2], 0.0)
    return {"keypoints": pixels, "confidence": columns[:, 2], "detected": (columns[:, 3] > 0) & seen}


def _joints(crop: Record, layout: Layout) -> dict[str, Tensor]:
    count = len(layout.skeleton)
    if crop.joints is None:
        points, known = torch.zeros(count, 3), torch.zeros(count)
    else:
        joints = crop.joints
        points, known = convert(joints.points, joints.mask.float(), joints.skeleton, layout.skeleton)
        points = torch.where(known[:, None] > 0, points, 0.0)
    absolute = crop.joints is not None and crop.joints.frame == "camera"
    return {"joints": points, "joints_known": known > 0, "joints_absolute": torch.tensor(absolute)}


def _body(label: BodyLabel | None) -> dict[str, Any]:
    there = label is not None
    return {
        "bodies": Bodies.rest() if label is None else label.bodies.to(torch.float32),
        "has_pose": torch.tensor(there),
        "has_orientation": torch.tensor(label is not None and label.frame == "camera"),
        "has_betas": torch.tensor(label is not None and label.has_betas),
        "has_translation": torch.tensor(
            label is not None and label.has_translation and label.frame == "camera"
        ),
    }


def _dense(crop: Record, layout: Layout, rng: np.random.Generator) -> dict[str, Tensor]:
    d = layout.dense
    pixels, part = torch.zeros(d, 2), torch.zeros(d, dtype=torch.int64)
    uv, weight = torch.zeros(d, 2), torch.zeros(d)
    chosen = rng.permutation(0 if crop.dense is None else len(crop.dense))[:d]
    if crop.dense is not None and len(chosen):
        points, n = crop.dense[torch.from_numpy(np.sort(chosen))], len(chosen)
        pixels[:n], part[:n], uv[:n], weight[:n] = points.pixels, points.part, points.uv, points.weight
    return {"dense_pixels": pixels, "dense_part": part, "dense_uv": uv, "dense_weight": weight}


def _maps(crop: Record, layout: Layout, side: int) -> dict[str, Tensor | None]:
    parts = iuv = None
    has_parts = has_iuv = False
    if layout.parts is not None:
        parts = torch.zeros(side, side, dtype=torch.uint8)
        if crop.parts is not None and merges_into(crop.parts.partition, layout.parts):
            parts, has_parts = torch.from_numpy(crop.parts.read().merged(layout.parts).labels), True
    if layout.iuv:
        iuv = torch.zeros(3, side, side)
        if isinstance(crop.iuv, IuvMap):
            whole = np.concatenate([crop.iuv.part[None], crop.iuv.uv.transpose(2, 0, 1)])
            iuv, has_iuv = torch.from_numpy(whole.astype(np.float32)), True
    return {
        "parts": parts,
        "has_parts": torch.tensor(has_parts),
        "iuv": iuv,
        "has_iuv": torch.tensor(has_iuv),
    }
