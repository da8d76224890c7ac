"""Recovery from exact or disturbed 2D keypoints of held-out motion capture, where the 3D truth is known."""

from dataclasses import dataclass

import torch

from bodyloop.body import Bodies, BodyModel, Skeleton
from bodyloop.data.cameras import camera_rotations
from bodyloop.data.motion import Motion
from bodyloop.evaluate.metrics import mpjpe, pa_mpjpe, pve
from bodyloop.evidence import Evidence
from bodyloop.fit.problem import FitProblem
from bodyloop.geometry import Camera

IMAGE = 1000
FAILURE_MM = 120.0
"""PA-MPJPE above which a person counts as failed."""


@dataclass(frozen=True)
class HeldOut:
    """People with known truth.

    Attributes:
        truth: N people in camera axes.
        camera: the one that saw them; its focal length is given to the methods.
        evidence: their keypoints.
    """

    truth: Bodies
    camera: Camera
    evidence: Evidence

    def __len__(self) -> int:
        return len(self.evidence)

    def __getitem__(self, some: slice) -> "HeldOut":
        camera = self.camera.expand(len(self))
        camera = Camera(camera.focal[some], camera.center[some], camera.size)
        return HeldOut(self.truth[some], camera, self.evidence[some])

    def disturbed(self, share: float, seed: int) -> "HeldOut":
        """Gaussian noise on every keypoint, sigma = `share` of the box's longer side."""
        g = torch.Generator().manual_seed(seed)
        side = (self.evidence.boxes[:, 2:] - self.evidence.boxes[:, :2]).amax(-1)
        noise = torch.randn(self.evidence.keypoints.shape, generator=g) * share * side[:, None, None]
        evidence = Evidence.from_keypoints(
            self.evidence.skeleton, self.evidence.keypoints + noise, self.evidence.confidence
        )
        return HeldOut(self.truth, self.camera, evidence)

    def thinned(self, share: float, seed: int) -> "HeldOut":
        """Every keypoint is missing with probability `share`."""
        g = torch.Generator().manual_seed(seed)
        seen = torch.rand(self.evidence.confidence.shape, generator=g) >= share
        evidence = Evidence.from_keypoints(
            self.evidence.skeleton, self.evidence.keypoints, self.evidence.confidence * seen
        )
        return HeldOut(self.truth, self.camera, evidence)


def draw_people(
    motions: list[Motion], body: BodyModel, skeleton: Skeleton, count: int = 500, seed: int = 0
) -> HeldOut:
    """Frames drawn evenly from all good frames, with shapes from N(0, I), seen by random cameras.

    Cameras: any yaw, near level (`camera_rotations`); the person's height fills 30 to 80 % of a square
    image of 1000 pixels; a focal length of 1 to 2 image sides; off the middle by up to a tenth of the image.

    Raises:
        ValueError: if there are fewer than `count` good frames.
    """
    g = torch.Generator().manual_seed(seed)
    rotations = torch.cat([m.rotations[m.good] for m in motions])
    if len(rotations) < count:
        raise ValueError(f"need {count} good frames, got {len(rotations)}; ask for fewer people")
    chosen = torch.randperm(len(rotations), generator=g)[:count]
    turn = camera_rotations(count, g)
    local = rotations[chosen].float()
    local = torch.cat([(turn @ local[:, 0])[:, None], local[:, 1:]], 1)
    betas = torch.randn(count, 10, generator=g)
    bodies = Bodies(local, betas, torch.zeros(count, 3))
    focal = IMAGE * (1 + torch.rand(count, generator=g))
    share = 0.3 + 0.5 * torch.rand(count, generator=g)
    depth = 1.7 * focal / (share * IMAGE)
    aside = (torch.rand(count, 2, generator=g) * 0.2 - 0.1) * IMAGE * (depth / focal)[:, None]
    middle = body.joints(bodies).mean(1)
    bodies = Bodies(local, betas, torch.cat([aside, depth[:, None]], 1) - middle)
    center = torch.full((count, 2), (IMAGE - 1) / 2)
    camera = Camera(focal[:, None].expand(count, 2), center, (IMAGE, IMAGE))
    keypoints = camera.project(body.points(bodies, body.keypoints(skeleton)[0]))
    return HeldOut(
        bodies, camera, Evidence.from_keypoints(skeleton, keypoints, torch.ones(keypoints.shape[:2]))
    )


def errors(found: Bodies, people: HeldOut, body: BodyModel) -> dict[str, float]:
    """MPJPE, PA-MPJPE, PVE in mm, mean reprojection error as a share of the box, share of failures.

    The reprojection error is that of the undisturbed body's own keypoints if the evidence is exact; with
    noise it is the distance to the noisy evidence.
    """
    joints, truth = body.joints(found), body.joints(people.truth)
    pa = pa_mpjpe(joints, truth)
    vertex = torch.cat(
        [
            pve(
                body.vertices(found[i : i + 64]),
                body.vertices(people.truth[i : i + 64]),
                joints[i : i + 64, 0],
                truth[i : i + 64, 0],
            )
            for i in range(0, len(truth), 64)
        ]
    )
    problem = FitProblem.build(body, people.evidence, people.camera)
    pixels = people.camera.project(body.points(found, problem.points))
    seen = problem.weight > 0
    off = torch.where(seen, (pixels - people.evidence.keypoints).norm(dim=-1), 0.0).sum(1) / seen.sum(1)
    side = (people.evidence.boxes[:, 2:] - people.evidence.boxes[:, :2]).amax(-1)
    return {
        "mpjpe_mm": float(mpjpe(joints, truth).mean()),
        "pa_mpjpe_mm": float(pa.mean()),
        "pa_mpjpe_median_mm": float(pa.median()),
        "pve_mm": float(vertex.mean()),
        "reprojection_share_of_box": float((off / side).mean()),
        "failures": float((pa > FAILURE_MM).float().mean()),
    }
