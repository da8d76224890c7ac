"""`SyntheticSample`: a picture of a person and everything that is known about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, Skeleton
from bodyloop.geometry import Camera
from bodyloop.raster import Fragments

REACH = 1.6
"""A keypoint counts as seen where the surface in front of it is no farther than this times its own depth in the
body, and `SLACK` more."""
SLACK = 0.03  # metres: cloth, and the skin's own shape


@dataclass(frozen=True, eq=False)
class Keypoints:
    """A skeleton's keypoints of one person or of a batch.

    Attributes:
        image: (..., K, 2) pixels.
        camera: (..., K, 3) metres, camera frame.
        inside: (..., K) bool, whether they lie in the image.
        visible: (..., K) bool, whether the part of the body that they lie in is seen there: inside the image, not
            behind other things or people, and not behind the person's own body.
        known: (K,) bool, whether the body has this landmark at all; the others are never inside nor visible.
    """

    image: Tensor
    camera: Tensor
    inside: Tensor
    visible: Tensor
    known: Tensor


@dataclass(frozen=True, eq=False)
class SyntheticSample:
    """A picture and its labels, or a batch of them: leading dimensions (...), none for one picture.

    Part, IUV, PNCC and depth maps follow from `fragments` (`SurfaceLabeller`), whose faces are the body model's; where
    something else is in front of the person they see nothing.

    Attributes:
        image: (..., H, W, 3) uint8 RGB.
        bodies: the person in the camera frame, without clothes.
        camera: of this picture.
        fragments: faces of the body that are seen, with the cloth's depth.
        index: (...) int64 number of the sample.
        subject: (...) int64 number of the person among the domain's, -1 where every image has a new one.
        sequence: (...) int64 number of the sequence, -1 where there are none.
    """

    image: Tensor
    bodies: Bodies
    camera: Camera
    fragments: Fragments
    index: Tensor
    subject: Tensor
    sequence: Tensor

    def __getitem__(self, index: int) -> "SyntheticSample":
        """One sample of a batch."""
        camera, seen = self.camera, self.fragments
        return SyntheticSample(
            self.image[index],
            self.bodies[index],
            Camera(camera.focal[index], camera.center[index], camera.size),
            Fragments(seen.face_id[index], seen.barycentric[index], seen.depth[index]),
            self.index[index],
            self.subject[index],
            self.sequence[index],
        )

    @staticmethod
    def stack(samples: "Sequence[SyntheticSample]") -> "SyntheticSample":
        """Samples of one size as a batch; serves as a loader's ``collate_fn``."""
        people = [s.bodies for s in samples]
        return SyntheticSample(
            torch.stack([s.image for s in samples]),
            Bodies(
                torch.stack([b.rotations for b in people]),
                torch.stack([b.betas for b in people]),
                torch.stack([b.translation for b in people]),
            ),
            Camera(
                torch.stack([s.camera.focal for s in samples]),
                torch.stack([s.camera.center for s in samples]),
                samples[0].camera.size,
            ),
            Fragments(
                torch.stack([s.fragments.face_id for s in samples]),
                torch.stack([s.fragments.barycentric for s in samples]),
                torch.stack([s.fragments.depth for s in samples]),
            ),
            torch.stack([s.index for s in samples]),
            torch.stack([s.subject for s in samples]),
            torch.stack([s.sequence for s in samples]),
        )

    def keypoints(self, body: BodyModel, skeleton: Skeleton) -> Keypoints:
        """Keypoints of any skeleton in 2D and 3D.

        Args:
            body: the model that the sample was made with.
            skeleton: the keypoints wanted.
        """
        points, known = body.keypoints(skeleton)
        camera = body.points(self.bodies, points)
        image = self.camera.project(camera)
        limit = image.new_tensor(self.camera.size) - 0.5
        inside = ((image >= -0.5) & (image < limit)).all(-1) & (camera[..., 2] > 0) & known
        reach = REACH * _depth_inside(body, skeleton) + SLACK
        return Keypoints(image, camera, inside, inside & self._seen(image, camera, reach), known)

    def _seen(self, image: Tensor, camera: Tensor, reach: Tensor) -> Tensor:
        """Whether the visible surface comes within reach (K,) of points (..., K, 3), at their pixels or beside."""
        width, height = self.camera.size
        depth = self.fragments.depth.flatten(-2)
        seen = torch.zeros_like(image[..., 0], dtype=torch.bool)
        for shift in ((0, 0), (-2, 0), (2, 0), (0, -2), (0, 2)):
            pixel = image.nan_to_num().round().long() + torch.tensor(shift)
            pixel = torch.stack([pixel[..., 0].clamp(0, width - 1), pixel[..., 1].clamp(0, height - 1)], -1)
            there = depth.gather(-1, pixel[..., 1] * width + pixel[..., 0])
            surface = self.camera.unproject(pixel.to(camera), there)
            seen |= (surface - camera).norm(dim=-1) <= reach
        return seen


@lru_cache(maxsize=8)
def _depth_inside(body: BodyModel, skeleton: Skeleton) -> Tensor:
    """Metres (K,) from each keypoint of the mean body at rest to the nearest vertex."""
    points, _ = body.keypoints(skeleton)
    rest = body.points(Bodies.rest().to(body.v_template.dtype), points)
    return torch.cdist(rest, body.v_template).amin(-1)
