"""The keypoint lifter: 2D keypoints of one person to a posed, shaped, placed body.

A residual network on points (Martinez et al., "A simple yet effective baseline for 3D human pose estimation",
ICCV 2017), with 6D rotations out (SPIN starts its static fits from a network of this kind, section 3.5).
It sees the person through a virtual camera that looks at the middle of the keypoints, so that its input does
not depend on where in the image the person stands; the answer is turned back exactly.
"""

from functools import lru_cache
from importlib import resources
from pathlib import Path

import roma
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from bodyloop.body import SMPL_FLIP, Bodies, BodyModel, Skeleton, convert
from bodyloop.evidence import Evidence, place_in_view
from bodyloop.geometry import Camera, View, look_at_points, mirror_rotmat, rot6d_to_rotmat

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

    Attributes:
        spread: (69,) radians: the error of each number of the body pose that 68 % of held-out people stay
            below; how far a fit may leave the lifter's pose at a cost of one.
    """

    spread: Tensor

    def __init__(self, width: int = 640, blocks: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.inputs = nn.Linear(3 * len(LIFTER29) + 1, width)
        self.blocks = nn.Sequential(*(_Block(width, dropout) for _ in range(blocks)))
        self.outputs = nn.Linear(width, 24 * 6 + 10)
        self.register_buffer("spread", torch.full((69,), 0.2))
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

    def in_camera(self, view: View, confidence: Tensor) -> Bodies:
        """`forward`'s answer as B people in the real camera's axes, at the origin; arguments as there."""
        return self._turned_back(view, *self(view, confidence))

    def in_camera_both_ways(self, view: View, confidence: Tensor) -> Bodies:
        """The mean of `in_camera` and of the mirror image's answer, mirrored back.

        So a mirrored photo gives the mirrored body, exactly; errors fall a little, too.
        """
        flip, swap = list(LIFTER29.flip), list(SMPL_FLIP)
        rays = view.rays[:, flip] * view.rays.new_tensor([-1.0, 1.0])
        rotations, betas = self(view, confidence)
        mirrored, other_betas = self(View(rays, view.size, view.turn), confidence[:, flip])
        mean = roma.special_procrustes(rotations + mirror_rotmat(mirrored[:, swap]))
        return self._turned_back(view, mean, (betas + other_betas) / 2)

    @staticmethod
    def _turned_back(view: View, rotations: Tensor, betas: Tensor) -> Bodies:
        rotations = torch.cat([view.turn[:, None] @ rotations[:, :1], rotations[:, 1:]], 1)
        return Bodies(rotations, betas, torch.zeros_like(betas[:, :3]))

    @torch.no_grad()
    def lift(self, evidence: Evidence, camera: Camera, body: BodyModel) -> Bodies:
        """Bodies of all people, in camera axes, with the translation that fits the keypoints best.

        Args:
            evidence: any skeleton; keypoints that the lifter does not know are ignored.
            camera: one for all, or one a person.
            body: whose keypoints are matched for the translation.

        Returns:
            N people on the body's device, whichever the network's is.
        """
        given, lens = evidence.to(self.spread), camera.expand(len(evidence)).to(self.spread)
        rays = (given.keypoints - lens.center[:, None]) / lens.focal[:, None]
        own, confidence = convert(rays, given.confidence, given.skeleton, LIFTER29)
        view = look_at_points(own, confidence > 0)
        return place_in_view(body, self.in_camera_both_ways(view, confidence), evidence, camera)


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
