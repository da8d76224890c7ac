"""The keypoint lifter: 2D keypoints of one person to a posed, shaped, placed body.

A residual network on points (Martinez et al., "A simple yet effective baseline for 3D human pose estimation",
ICCV 2017), with 6D rotations out (SPIN starts its static fits from a network of this kind, section 3.5).
It sees the person through a virtual camera that looks at the middle of the keypoints, so that its input does
not depend on where in the image the person stands; the answer is turned back exactly.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bodyloop.body import Bodies, BodyModel, Skeleton, convert
from bodyloop.evidence import Evidence
from bodyloop.geometry import Camera, rot6d_to_rotmat, solve_translation

LIFTER29 = Skeleton(
    "lifter29",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
        "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee",
        "right_knee", "left_ankle", "right_ankle", "left_hip_extra", "right_hip_extra", "neck_op", "pelvis",
        "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
        "neck_extra", "headtop",
    ),
    source="this network's input: what the common detectors and data sets see, by name",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """Keypoints as a virtual camera sees them that looks at the middle of the person.

    Attributes:
        rays: (B, K, 2) on the plane z = 1 of the virtual camera.
        size: (B,) extent of the seen keypoints on that plane.
        turn: (B, 3, 3) from virtual to real camera axes.
    """

    rays: Tensor
    size: Tensor
    turn: Tensor


def look_at_person(rays: Tensor, seen: Tensor) -> View:
    """Aim a virtual camera at the middle of the seen keypoints.

    Args:
        rays: (B, K, 2) keypoints on the plane z = 1 of the real camera.
        seen: (B, K) bool.
    """
    keep = seen[..., None]
    low = torch.where(keep, rays, torch.inf).amin(1)
    high = torch.where(keep, rays, -torch.inf).amax(1)
    middle = torch.where(torch.isfinite(low + high), (low + high) / 2, 0.0)
    forward = nn.functional.normalize(torch.cat([middle, torch.ones_like(middle[:, :1])], -1), dim=-1)
    down = torch.zeros_like(forward)
    down[:, 1] = 1.0
    right = nn.functional.normalize(torch.linalg.cross(down, forward), dim=-1)
    turn = torch.stack([right, torch.linalg.cross(forward, right), forward], -1)
    turned = torch.cat([rays, torch.ones_like(rays[..., :1])], -1) @ turn
    rays = turned[..., :2] / turned[..., 2:].clamp_min(1e-3)
    rays = torch.where(keep, rays, 0.0)
    extent = torch.where(keep, rays, -torch.inf).amax(1) - torch.where(keep, rays, torch.inf).amin(1)
    size = torch.where(torch.isfinite(extent), extent, 1.0).amax(-1).clamp_min(1e-4)
    return View(rays, size, turn)


class _Block(nn.Module):
    """Two layers and a skip."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(width, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Lifter(nn.Module):
    """29 keypoints with confidence to 24 rotations (6D) and 10 betas, as seen by the virtual camera.

    Args:
        width: of the hidden layers.
        blocks: residual blocks of two layers.
        dropout: in training.
    """

    def __init__(self, width: int = 640, blocks: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.inputs = nn.Linear(3 * len(LIFTER29) + 1, width)
        self.blocks = nn.Sequential(*(_Block(width, dropout) for _ in range(blocks)))
        self.outputs = nn.Linear(width, 24 * 6 + 10)
        nn.init.normal_(self.outputs.weight, std=0.01)
        with torch.no_grad():
            facing_camera = [1.0, 0.0, 0.0, 0.0, -1.0, 0.0]  # body axes (y up, z forward) in camera axes
            self.outputs.bias.copy_(torch.tensor(facing_camera + [1.0, 0, 0, 0, 1, 0] * 23 + [0.0] * 10))

    def forward(self, view: View, confidence: Tensor) -> tuple[Tensor, Tensor]:
        """Rotations (B, 24, 3, 3), the global one in virtual camera axes, and betas (B, 10).

        Args:
            view: LIFTER29 keypoints.
            confidence: (B, 29) in [0, 1].
        """
        places = view.rays / view.size[:, None, None] * (confidence > 0)[..., None]
        features = torch.cat([places.flatten(1), confidence, view.size.log()[:, None]], 1)
        out = self.outputs(self.blocks(self.inputs(features)))
        return rot6d_to_rotmat(out[:, :144].unflatten(1, (24, 6))), out[:, 144:]

    @torch.no_grad()
    def lift(self, evidence: Evidence, camera: Camera, body: BodyModel) -> Bodies:
        """Bodies of all people, in camera axes, with the translation that fits the keypoints best.

        Args:
            evidence: any skeleton; keypoints that the lifter does not know are ignored.
            camera: one for all, or one a person.
            body: whose keypoints are matched for the translation.
        """
        camera = camera if camera.focal.dim() > 1 else camera.expand(len(evidence))
        rays = (evidence.keypoints - camera.center[:, None]) / camera.focal[:, None]
        own, confidence = convert(rays, evidence.confidence, evidence.skeleton, LIFTER29)
        view = look_at_person(own, confidence > 0)
        rotations, betas = self(view, confidence)
        rotations = torch.cat([view.turn[:, None] @ rotations[:, :1], rotations[:, 1:]], 1)
        return place_in_view(body, Bodies(rotations, betas, torch.zeros_like(betas[:, :3])), evidence, camera)


def place_in_view(body: BodyModel, bodies: Bodies, evidence: Evidence, camera: Camera) -> Bodies:
    """The same bodies, moved to where their keypoints meet the evidence best, and in front of the camera.

    Args:
        body: the model.
        bodies: B people whose translation is ignored.
        evidence: of the same B people.
        camera: one a person.
    """
    points, known = body.keypoints(evidence.skeleton)
    placed = body.points(Bodies(bodies.rotations, bodies.betas, torch.zeros_like(bodies.translation)), points)
    rays = (evidence.keypoints - camera.center[:, None]) / camera.focal[:, None]
    weight = evidence.confidence * known
    trans = solve_translation(placed, rays, weight)
    # A start that looks away from the evidence can solve to a place behind the camera or inside the body:
    # then the distance follows from the sizes instead.
    seen = weight > 0
    view = look_at_person(rays, seen)
    extent = _extent(placed[..., :2], seen).amax(-1).clamp_min(0.1)
    depth = (extent / view.size).clamp(0.5, 1000.0)
    share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-9))[..., None]
    mean_ray, mean_point = (share * rays).sum(1), (share * placed).sum(1)
    by_size = torch.cat([mean_ray * depth[:, None], depth[:, None]], 1) - mean_point
    nearest = torch.where(seen, placed[..., 2] + trans[:, None, 2], torch.inf).amin(1)
    plausible = torch.isfinite(trans).all(1) & (nearest > 0.3) & (trans[:, 2] < 3 * depth)
    return Bodies(bodies.rotations, bodies.betas, torch.where(plausible[:, None], trans, by_size))


def _extent(points: Tensor, seen: Tensor) -> Tensor:
    keep = seen[..., None]
    spread = torch.where(keep, points, -torch.inf).amax(1) - torch.where(keep, points, torch.inf).amin(1)
    return torch.where(torch.isfinite(spread), spread, 1.0)


def load_lifter(path: str | Path) -> Lifter:
    """A lifter from safetensors weights (any float precision).

    The sizes of the layers are read from the file.
    """
    state = {k: v.float() for k, v in load_file(str(path)).items()}
    blocks = 1 + max(int(k.split(".")[1]) for k in state if k.startswith("blocks."))
    lifter = Lifter(state["inputs.weight"].shape[0], blocks)
    lifter.load_state_dict(state)
    return lifter.eval()


@lru_cache(maxsize=1)
def default_lifter() -> Lifter:
    """The lifter that ships (see ``weights/lifter.md``)."""
    with resources.as_file(resources.files("bodyloop.nets").joinpath("weights/lifter.safetensors")) as path:
        return load_lifter(path)
