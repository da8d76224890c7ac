"""Augmentation: a record cut out, turned, mirrored, recoloured and partly covered, with all its labels.

What comes out is a record again, of the square crop: `Change.apply`. All labels stay true: the crop's camera sees the
changed body where the changed keypoints are. This is exact, since pictures are turned only about the optical axis:
turning a picture about any pixel is turning it about the principal point and then shifting it, turning it about the
principal point is turning the world about the optical axis, and shifts move the principal point
(`CropTransform.image_to_crop_camera`). Pixels that are not square are made so by the crop.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bodyloop.body import Bodies, BodyModel, ChartMirror
from bodyloop.data.part_maps import PartMap
from bodyloop.data.record import BodyLabel, Box, Joints3D, Keypoints2D, Record
from bodyloop.errors import InputError
from bodyloop.evidence import DenseKeypoints, IuvMap, read_iuv
from bodyloop.evidence.iuv import CHART_COUNT
from bodyloop.geometry import Camera, CropTransform, default_focal, square_boxes


@dataclass(frozen=True)
class AugmentConfig:
    """How records are changed at random. The defaults are those of SPIN's released code (``datasets/base_dataset.py``,
    ``augm_params``, and ``utils/train_options.py``); the paper does not tell them.

    Attributes:
        resolution: side of the crop in pixels.
        margin: side of the crop before jitter, as a multiple of the box's longer side.
        scale_sd, scale_limit: the side is multiplied by a normal number of mean 1, cut at 1 +- the limit.
        shift: the crop's centre is moved by at most this share of its side each way, evenly. SPIN has none.
        rotation_chance: share of crops that are turned at all (SPIN leaves 60 % upright).
        rotation_sd, rotation_limit: radians; normal, cut at +- the limit.
        flip_chance: share of crops that are mirrored.
        channel_gain: each colour is multiplied by an even number from 1 - this to 1 + this.
        occlusion_chance: share of crops in which a box or an ellipse of one colour covers something. SPIN has none.
        occlusion_size: its least and greatest width and height, as a share of the crop.
    """

    resolution: int = 224
    margin: float = 1.2
    scale_sd: float = 0.25
    scale_limit: float = 0.25
    shift: float = 0.0
    rotation_chance: float = 0.4
    rotation_sd: float = math.radians(30)
    rotation_limit: float = math.radians(60)
    flip_chance: float = 0.5
    channel_gain: float = 0.4
    occlusion_chance: float = 0.0
    occlusion_size: tuple[float, float] = (0.1, 0.4)

    def __post_init__(self) -> None:
        chances = self.rotation_chance, self.flip_chance, self.occlusion_chance
        widths = self.scale_sd, self.shift, self.rotation_sd, self.rotation_limit
        low, high = self.occlusion_size
        fine = (
            self.resolution >= 8
            and self.margin > 0
            and all(0 <= x <= 1 for x in chances)
            and all(x >= 0 for x in widths)
            and 0 <= self.scale_limit < 1
            and 0 <= self.channel_gain <= 1
            and 0 < low <= high <= 1
        )
        if not fine:
            raise ValueError(
                "an AugmentConfig needs chances in [0, 1], widths from 0, scale_limit below 1, channel_gain up to 1, a "
                f"rising occlusion_size in (0, 1], a margin above 0 and a resolution from 8, got {self}"
            )

    @classmethod
    def none(cls, resolution: int = 224, margin: float = 1.2) -> "AugmentConfig":
        """The crop alone, as for evaluation."""
        return cls(
            resolution,
            margin,
            scale_sd=0,
            rotation_chance=0,
            flip_chance=0,
            channel_gain=0,
            occlusion_chance=0,
        )


@dataclass(frozen=True)
class Occluder:
    """Something in front: x0, y0, x1, y1 in crop pixels, an ellipse or the whole box, of one colour."""

    box: Box
    ellipse: bool
    color: tuple[int, int, int]

    def covers(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Whether it covers crop pixels (...)."""
        x0, y0, x1, y1 = self.box
        across, down = (2 * x - x0 - x1) / (x1 - x0), (2 * y - y0 - y1) / (y1 - y0)
        inside = across**2 + down**2 <= 1 if self.ellipse else np.maximum(abs(across), abs(down)) <= 1
        return np.asarray(inside)

    def mask(self, resolution: int) -> np.ndarray:
        """(S, S) bool."""
        pixels = np.arange(resolution, dtype=np.float64)
        return self.covers(pixels[None, :], pixels[:, None])


@dataclass(frozen=True, eq=False)
class Change:
    """What is done to one record.

    Attributes:
        crop: from the image to the crop.
        gains: what red, green and blue are multiplied by.
        occluder: what covers a part of the crop, if anything.
    """

    crop: CropTransform
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    occluder: Occluder | None = None

    @classmethod
    def draw(cls, config: AugmentConfig, record: Record, rng: np.random.Generator) -> "Change":
        """A random change for a record, around its box.

        The same numbers are drawn whatever the options, so that one of them does not change the others' outcome.

        Args:
            config: ranges.
            record: with a box, keypoints, or an image size to cut out.
            rng: all draws come from here.

        Raises:
            InputError: if there is nothing to cut out.
        """
        normal, even = rng.standard_normal(2), rng.random(16)
        center, side = square_boxes(torch.tensor(crop_box(record), dtype=torch.float64), config.margin)
        side = side * float(
            np.clip(1 + config.scale_sd * normal[0], 1 - config.scale_limit, 1 + config.scale_limit)
        )
        center = center + torch.from_numpy(2 * even[:2] - 1) * config.shift * side
        turned = even[2] < config.rotation_chance
        angle = float(np.clip(config.rotation_sd * normal[1], -config.rotation_limit, config.rotation_limit))
        crop = CropTransform(
            center,
            side,
            config.resolution,
            angle if turned else 0.0,
            bool(even[3] < config.flip_chance),
            stretch_of(record.camera),
        )
        red, green, blue = (1 + config.channel_gain * (2 * even[4:7] - 1)).tolist()
        hidden = even[7] < config.occlusion_chance
        return cls(crop, (red, green, blue), _occluder(config, even[8:]) if hidden else None)

    def apply(
        self, record: Record, image: np.ndarray | None, body: BodyModel, mirror: ChartMirror | None = None
    ) -> Record:
        """The record of the crop: pixels, camera and 3D are the crop's.

        2D keypoints and all that is 3D keep what is hidden, as annotators label it too. Maps and dense points say what
        pixels show: the occluder makes pixels background and removes points.

        Args:
            record: in its image.
            image: (H, W, 3) uint8 its pixels; None if there are none.
            body: model of the SMPL parameters, whose root turns about its rest pelvis.
            mirror: of the atlas that IUV labels are for; without it mirrored records lose them.
        """
        source = None if record.parts is None else record.parts.read()
        iuv = read_iuv(record.iuv, size=record.size) if isinstance(record.iuv, Path) else record.iuv
        side = self.crop.resolution
        return replace(
            record,
            image=None if image is None else self.picture(image),
            size=(side, side),
            box=None if record.box is None else self.box(record.box),
            keypoints=None if record.keypoints is None else self.keypoints(record.keypoints),
            joints=None if record.joints is None else self.joints(record.joints),
            body=None if record.body is None else self.body(record.body, body),
            camera=None if record.camera is None else self.camera(record.camera),
            dense=None if record.dense is None else self.dense(record.dense, mirror),
            parts=None if source is None else self.parts(source),
            iuv=None if iuv is None else self.iuv(iuv, mirror),
            silhouette=None,
        )

    def camera(self, camera: Camera) -> Camera:
        """The crop's camera, of the turned and mirrored world."""
        seen = self.crop.image_to_crop_camera(camera.to(torch.float64))
        return Camera(seen.focal.float(), seen.center.float(), seen.size)

    def picture(self, image: np.ndarray) -> np.ndarray:
        """(S, S, 3) uint8 of an image (H, W, 3) uint8, black outside of it."""
        out = crop_picture(image, self.crop)
        if self.gains != (1.0, 1.0, 1.0):
            out = np.rint(out * np.array(self.gains)).clip(0, 255).astype(np.uint8)
        if self.occluder is not None:
            out = out.copy()
            out[self.occluder.mask(self.crop.resolution)] = self.occluder.color
        return out

    def _pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.crop.image_to_crop(pixels.double()).to(pixels)

    def box(self, box: Box) -> Box:
        """Box around the four corners of a box."""
        x0, y0, x1, y1 = box
        corners = self._pixels(torch.tensor([[x0, y0], [x1, y0], [x0, y1], [x1, y1]]).double())
        (a, b), (c, d) = corners.amin(0).tolist(), corners.amax(0).tolist()
        return (a, b, c, d)

    def keypoints(self, keypoints: Keypoints2D) -> Keypoints2D:
        """Keypoints in crop pixels, 0 where unseen; of a mirrored person, left for right."""
        pixels, confidence, detected = (
            self._pixels(keypoints.pixels),
            keypoints.confidence,
            keypoints.detected,
        )
        pixels = torch.where(confidence[:, None] > 0, pixels, 0.0)
        if self.crop.flip:
            flip = list(keypoints.skeleton.flip)
            pixels, confidence, detected = pixels[flip], confidence[flip], detected[flip]
        return Keypoints2D(keypoints.skeleton, pixels, confidence, detected)

    def _world(self, points: torch.Tensor) -> torch.Tensor:
        """Camera-frame points (..., 3) in the turned and mirrored world."""
        points = points @ self.crop.turn.to(points).T
        return points * points.new_tensor([-1.0, 1, 1]) if self.crop.flip else points

    def joints(self, joints: Joints3D) -> Joints3D:
        """3D joints turned about the optical axis, and mirrored."""
        points, mask = self._world(joints.points), joints.mask
        if self.crop.flip:
            flip = list(joints.skeleton.flip)
            points, mask = points[flip], mask[flip]
        return Joints3D(joints.skeleton, points, mask, joints.frame)

    def body(self, label: BodyLabel, body: BodyModel) -> BodyLabel:
        """SMPL parameters turned about the optical axis, unless they are in a world of their own, and mirrored.

        Mirroring is exact for bodies whose mesh is symmetric.
        """
        bodies: Bodies = label.bodies
        if label.frame == "camera":
            turn = self.crop.turn.to(bodies.translation)
            with torch.no_grad():
                pelvis = body.rest_pelvis(bodies.betas.to(body.v_template)).to(bodies.translation)
            turned = bodies.turned(turn, pelvis)
            bodies = turned if label.has_translation else replace(turned, translation=bodies.translation)
        return replace(label, bodies=bodies.mirrored() if self.crop.flip else bodies)

    def dense(self, dense: DenseKeypoints, mirror: ChartMirror | None) -> DenseKeypoints | None:
        """Points at crop pixels, without those that the occluder covers; None without a mirror that is needed."""
        part, uv = dense.part, dense.uv
        if self.crop.flip:
            if mirror is None:
                return None
            part, uv = mirror(part, uv)
        found = DenseKeypoints(self._pixels(dense.pixels), part, uv.clamp(0, 1), dense.weight)
        if self.occluder is None:
            return found
        x, y = found.pixels.double().numpy().T
        return found[torch.from_numpy(~self.occluder.covers(x, y))]

    def _sources(self) -> np.ndarray:
        """(S, S, 2) image pixels that the crop's pixels are centred on."""
        side = torch.arange(self.crop.resolution, dtype=torch.float64)
        y, x = torch.meshgrid(side, side, indexing="ij")
        return self.crop.crop_to_image(torch.stack([x, y], -1).flatten(0, 1)).unflatten(0, x.shape).numpy()

    def parts(self, parts: PartMap) -> PartMap:
        """Labels of the nearest pixels, background outside of the image."""
        labels = _nearest(parts.labels, self._sources())
        if self.occluder is not None:
            labels[self.occluder.mask(self.crop.resolution)] = 0
        found = PartMap(labels, parts.partition)
        return found.swapped() if self.crop.flip else found

    def iuv(self, iuv: IuvMap, mirror: ChartMirror | None) -> IuvMap | None:
        """I, U, V of the nearest pixels; None without a mirror that is needed."""
        places = iuv.image_to_map(self._sources())
        part = _nearest(iuv.part, places)
        uv = _nearest(iuv.uv, places)
        if self.occluder is not None:
            part[self.occluder.mask(self.crop.resolution)] = 0
        if self.crop.flip:
            if mirror is None:
                return None
            flipped, mirrored = mirror(torch.from_numpy(part.astype(np.int64)), torch.from_numpy(uv))
            part, uv = flipped.numpy().astype(np.uint8), mirrored.numpy().clip(0, 1)
        assert part.max() <= CHART_COUNT, "a mirror of charts gives charts"
        return IuvMap(part, np.where(part[..., None] > 0, uv, 0).astype(iuv.uv.dtype))


def _occluder(config: AugmentConfig, even: np.ndarray) -> Occluder:
    """From eight even numbers in [0, 1)."""
    low, high = config.occlusion_size
    side = config.resolution - 1
    width, height = (low + (high - low) * even[:2]) * side
    x, y = even[2:4] * side
    red, green, blue = (even[5:8] * 256).astype(int).tolist()
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return Occluder(box, bool(even[4] < 0.5), (red, green, blue))


def _nearest(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values (H, W, ...) at the pixels nearest to places (S, S, 2) x, y; 0 outside."""
    height, width = values.shape[:2]
    x, y = np.floor(places[..., 0] + 0.5).astype(np.int64), np.floor(places[..., 1] + 0.5).astype(np.int64)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    out: np.ndarray = values[y.clip(0, height - 1), x.clip(0, width - 1)]
    out[~inside] = 0
    return out


def stretch_of(camera: Camera | None) -> float:
    """What makes a camera's pixels square, 1 if there is none."""
    return 1.0 if camera is None else float(camera.focal[0]) / float(camera.focal[1])


def assumed_camera(size: tuple[int, int]) -> Camera:
    """The camera of an image of which nothing is known but its size (width, height)."""
    return Camera.from_focal(default_focal(*size), *size)


def crop_box(record: Record) -> Box:
    """What to cut out: the box, else what is around the 2D keypoints, else the whole image.

    Raises:
        InputError: if the record has none of these.
    """
    if record.box is not None:
        return record.box
    keypoints = record.keypoints
    if keypoints is not None and int((keypoints.confidence > 0).sum()) > 1:
        seen = keypoints.pixels[keypoints.confidence > 0]
        (x0, y0), (x1, y1) = seen.amin(0).tolist(), seen.amax(0).tolist()
        return (x0, y0, x1, y1)
    if record.size is not None:
        return (-0.5, -0.5, record.size[0] - 0.5, record.size[1] - 0.5)
    raise InputError(
        f"{record.dataset}, record {record.id}: expected a box, keypoints or an image to cut out, got none; give the "
        "data set's annotations"
    )


def crop_picture(image: np.ndarray, crop: CropTransform) -> np.ndarray:
    """(S, S, 3) uint8: the crop of an image (H, W, 3) uint8, black outside of it.

    Large crops are first averaged over squares of whole pixels, then sampled bilinearly.
    """
    from PIL import Image

    side = crop.resolution
    corners = torch.tensor(
        [[0.0, 0], [side - 1, 0], [0, side - 1], [side - 1, side - 1]], dtype=torch.float64
    )
    places = crop.crop_to_image(corners).numpy()
    matrix = np.stack([places[1] - places[0], places[2] - places[0]], 1) / (side - 1)
    reduce = max(1, int(math.sqrt(abs(np.linalg.det(matrix)))))
    height, width = image.shape[:2]
    low = np.floor(places.min(0)).astype(int) - 2 * reduce
    high = np.ceil(places.max(0)).astype(int) + 2 * reduce + 1
    (x0, y0), (x1, y1) = low.clip(0, (width, height)), high.clip(0, (width, height))
    if x1 - x0 < 1 or y1 - y0 < 1:
        return np.zeros((side, side, 3), np.uint8)
    part = Image.fromarray(np.ascontiguousarray(image[y0:y1, x0:x1]))
    if reduce > 1:
        part = part.reduce(reduce)
    # pillow's coordinates have pixel 0 from 0 to 1
    linear = matrix / reduce
    shift = (places[0] + 0.5 - (x0, y0)) / reduce - linear @ (0.5, 0.5)
    coefficients = (*linear[0], shift[0], *linear[1], shift[1])
    cut = part.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.array(cut)
