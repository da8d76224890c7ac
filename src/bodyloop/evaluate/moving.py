"""Recovery from 2D keypoints of held-out motion whose 3D truth is known: short clips seen by a camera that stands."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel, Skeleton
from bodyloop.data.cameras import camera_rotations
from bodyloop.data.motion import Motion
from bodyloop.evaluate.heldout import IMAGE
from bodyloop.evaluate.metrics import acceleration_error, mpjpe, pa_mpjpe
from bodyloop.evidence import Evidence
from bodyloop.fit.smoothness import REFERENCE_FPS
from bodyloop.geometry import Camera

MARGIN = 0.9
"""Share of the image that a clip's motion may fill."""


@dataclass(frozen=True)
class MovingPeople:
    """B clips of T frames of people with known truth, `REFERENCE_FPS` frames a second.

    Attributes:
        truth: (B, T) people in camera axes; a clip has one shape.
        camera: of each of the B T frames; a clip has one.
        evidence: keypoints of the B T frames, clip after clip.
    """

    truth: Bodies
    camera: Camera
    evidence: Evidence

    def __len__(self) -> int:
        return len(self.truth.betas)

    @property
    def frames(self) -> int:
        """T."""
        return self.truth.betas.shape[1]

    @property
    def times(self) -> Tensor:
        """(B, T) seconds."""
        return (torch.arange(self.frames, dtype=torch.float64) / REFERENCE_FPS).expand(len(self), -1)

    def __getitem__(self, clips: slice) -> "MovingPeople":
        chosen = torch.arange(len(self) * self.frames).reshape(len(self), -1)[clips].flatten()
        camera = Camera(self.camera.focal[chosen], self.camera.center[chosen], self.camera.size)
        return MovingPeople(self.truth[clips], camera, self.evidence[chosen])

    def cut(self, length: int) -> "MovingPeople":
        """The same frames in clips of another length, a divisor of T."""
        return MovingPeople(self.truth.reshape(-1, length), self.camera, self.evidence)

    def disturbed(self, noise: float, missing: float, seed: int) -> "MovingPeople":
        """Gaussian noise on every keypoint, sigma = `noise` of the box's longer side, and each missing with probability
        `missing`.
        """
        g = torch.Generator().manual_seed(seed)
        boxes, points = self.evidence.boxes, self.evidence.keypoints
        side = (boxes[:, 2:] - boxes[:, :2]).amax(-1)
        points = points + torch.randn(points.shape, generator=g) * noise * side[:, None, None]
        seen = torch.rand(points.shape[:2], generator=g) >= missing
        evidence = Evidence.from_keypoints(self.evidence.skeleton, points, self.evidence.confidence * seen)
        return MovingPeople(self.truth, self.camera, evidence)


def draw_clips(
    motions: list[Motion], body: BodyModel, skeleton: Skeleton, count: int, frames: int = 16, seed: int = 0
) -> MovingPeople:
    """Clips drawn evenly from all stretches of good frames, with shapes from N(0, I), seen by random cameras.

    Cameras as in `bodyloop.evaluate.heldout.draw_people`, but that all the motion stays in the image.

    Raises:
        ValueError: if there are fewer than `count` clips that do not overlap.
    """
    g = torch.Generator().manual_seed(seed)
    rotations, trans = _stretches(motions, frames)
    if len(rotations) < count:
        raise ValueError(f"need {count} clips of {frames} good frames, got {len(rotations)}; ask for fewer")
    chosen = torch.randperm(len(rotations), generator=g)[:count]
    turn = camera_rotations(count, g)[:, None]
    betas = torch.randn(count, 1, 10, generator=g).expand(-1, frames, -1)
    local, trans = rotations[chosen].float(), trans[chosen].float()
    pelvis = body.rest_pelvis(betas)
    place = ((trans + pelvis) @ turn[:, 0].mT) - pelvis
    local = torch.cat([(turn @ local[:, :, 0])[:, :, None], local[:, :, 1:]], 2)
    joints = body.joints(Bodies(local, betas, place))
    middle = (joints.amin((1, 2)) + joints.amax((1, 2))) / 2
    focal = IMAGE * (1 + torch.rand(count, generator=g))
    share = 0.3 + 0.5 * torch.rand(count, generator=g)
    reach = (joints - middle[:, None, None]).abs().amax((1, 2))
    depth = torch.maximum(
        1.7 * focal / (share * IMAGE), 2 * reach[:, :2].amax(-1) * focal / (MARGIN * IMAGE) + reach[:, 2]
    )
    aside = (torch.rand(count, 2, generator=g) * 0.2 - 0.1) * IMAGE * (depth / focal)[:, None]
    room = depth * IMAGE / focal / 2 - reach[:, :2].amax(-1)
    aside = torch.minimum(torch.maximum(aside, -room[:, None]), room[:, None])
    shift = torch.cat([aside, depth[:, None]], 1) - middle
    truth = Bodies(local, betas, place + shift[:, None])
    center = torch.full((count * frames, 2), (IMAGE - 1) / 2)
    camera = Camera(focal.repeat_interleave(frames)[:, None].expand(-1, 2), center, (IMAGE, IMAGE))
    places = body.points(truth, body.keypoints(skeleton)[0]).flatten(0, 1)
    keypoints = camera.project(places)
    evidence = Evidence.from_keypoints(skeleton, keypoints, torch.ones(keypoints.shape[:2]))
    return MovingPeople(truth, camera, evidence)


def _stretches(motions: list[Motion], frames: int) -> tuple[Tensor, Tensor]:
    """All clips of good frames that do not overlap: rotations (C, T, 24, 3, 3) and translations (C, T, 3)."""
    rotations, trans = [], []
    for motion in motions:
        even = motion if motion.fps == REFERENCE_FPS else motion.resample(REFERENCE_FPS)
        whole = len(even) // frames * frames
        good = even.good[:whole].unflatten(0, (-1, frames)).all(1)
        rotations.append(even.rotations[:whole].unflatten(0, (-1, frames))[good])
        trans.append(even.trans[:whole].unflatten(0, (-1, frames))[good])
    return torch.cat(rotations), torch.cat(trans)


def errors_over_time(found: Bodies, people: MovingPeople, body: BodyModel) -> dict[str, float]:
    """MPJPE, PA-MPJPE in mm, and the acceleration error in m/s^2, means over all frames of (B, T) people.

    Accelerations are those of the joints against the root, within each clip.
    """
    joints, truth = body.joints(found), body.joints(people.truth)
    rooted, true = joints - joints[..., :1, :], truth - truth[..., :1, :]
    return {
        "mpjpe_mm": float(mpjpe(joints, truth).mean()),
        "pa_mpjpe_mm": float(pa_mpjpe(joints, truth).mean()),
        "acceleration": float(acceleration_error(rooted, true, fps=REFERENCE_FPS).mean()) / 1000,
    }
