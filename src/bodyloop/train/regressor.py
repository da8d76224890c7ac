"""What a regression network is trained by: its answers beside the labels, in the axes of the crops' cameras."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bodyloop.body import Bodies, BodyModel, vertex_parts
from bodyloop.body.skeletons import UNION45
from bodyloop.data.batch import Batch
from bodyloop.data.crop_batches import Lesson
from bodyloop.evidence import place_in_view
from bodyloop.geometry import Camera, CropTransform
from bodyloop.nets.candidates import draw_candidate
from bodyloop.nets.estimator import Crops, Estimate, Estimator, InputKind
from bodyloop.nets.heatmaps import draw_gaussians
from bodyloop.nets.multistage import Multistage, StagedEstimate
from bodyloop.nets.pose2pose import JointEstimate, Pose2Pose
from bodyloop.priors import load_prior
from bodyloop.priors.adversarial import Adversarial, generator_loss
from bodyloop.priors.prior import PosePrior
from bodyloop.terms import (
    betas_loss,
    crop_coordinates,
    dense_loss,
    heatmap_loss,
    joint_loss,
    keypoint_loss,
    known_mean,
    known_only,
    mesh_loss,
    part_loss,
    part_map_loss,
    prior_loss,
    rotation_loss,
    scale_loss,
    shape_loss,
)
from bodyloop.train.candidates import CandidateStock, candidates_in
from bodyloop.train.config import Supervision

NEAREST = 0.2
"""Metres; what an answer places nearer to the camera is projected as if it were there."""
FEWEST = 4
"""Keypoints by which a person is placed; of fewer, the network's own are taken."""
ROOTS = ("left_hip_extra", "right_hip_extra")
"""3D joints count from their middle: SPIN's released code takes the hips that annotators click."""


@dataclass(frozen=True, eq=False)
class Targets:
    """Bodies that supervise B people, labelled or fitted.

    Attributes:
        bodies: B people in the axes of the crops' cameras.
        has_rotations: (B, 24) bool.
        has_betas: (B,) bool.
        has_mesh: (B,) bool: all rotations and betas are known.
        calm: (B,) bool: the shape is not to be trusted, and pulled to the mean (SPIN, section 3.5).
    """

    bodies: Bodies
    has_rotations: Tensor
    has_betas: Tensor
    has_mesh: Tensor
    calm: Tensor

    @classmethod
    def labelled(cls, batch: Batch) -> "Targets":
        """The labels of a batch."""
        pose, orientation, betas = batch.has_pose, batch.has_orientation, batch.has_betas
        rotations = torch.cat([orientation[:, None], pose[:, None].expand(-1, 23)], 1)
        return cls(batch.bodies, rotations, betas, pose & orientation & betas, torch.zeros_like(pose))


def crops_of(batch: Batch, kinds: Sequence[InputKind]) -> Crops:
    """What networks look at, of these kinds."""
    iuv = parts = None
    if "iuv" in kinds:
        assert batch.iuv is not None, "lessons were asked for without IUV maps"
        iuv = batch.iuv / batch.iuv.new_tensor([24.0, 1.0, 1.0])[:, None, None]
    if "parts" in kinds:
        assert batch.parts is not None, "lessons were asked for without maps of parts"
        parts = batch.parts.long() - 1
        parts = torch.where(parts == 254, -1, parts)
    return Crops(batch.image if "image" in kinds else None, iuv, parts)


class Regressor:
    """A network with all that its losses need."""

    def __init__(self, network: Estimator, body: BodyModel, mesh_points: int = 600) -> None:
        """Prepare on the body's device.

        Args:
            network: the bare one, without wrappers.
            body: model of all people.
            mesh_points: vertices of mesh and part losses; 0 for all.
        """
        self.network, self.body = network, body
        count = len(body.v_template)
        everything = torch.arange(count, device=body.device)
        self.vertices = everything if mesh_points in (0, count) else body.spread_vertices(mesh_points)
        self.roots = torch.tensor([UNION45.index(name) for name in ROOTS], device=body.device)
        self.points, _ = body.keypoints(UNION45)
        self._parts: dict[str, Tensor] = {}
        self._priors: dict[str, PosePrior] = {}

    def crops(
        self,
        batch: Batch,
        stocks: Mapping[int, CandidateStock] | None = None,
        features: Mapping[str, Tensor] | None = None,
    ) -> Crops:
        """What the network looks at.

        Args:
            batch: people.
            stocks: candidates of the sources of a batch, by number (`Batch.source`), for networks that need some:
                in training any of a person's, by torch's own random numbers, otherwise the first.
            features: of the crops, where they are known: then pictures and maps are not looked at.
        """
        crops = crops_of(batch, self.network.inputs) if features is None else Crops(features=features)
        candidate = None
        if self.network.needs_candidate:
            share = torch.rand(len(batch)) if self.network.training else torch.zeros(len(batch))
            bodies = candidates_in(batch, stocks or {}, self.body, share)
            candidate = draw_candidate(self.body, bodies, batch.camera, self.network.candidate_map)
        return replace(crops, candidate=candidate)

    def refined(self, batch: Batch, candidates: Bodies) -> Bodies:
        """The people whom a network that starts from candidates makes of them, in the axes of the crops' cameras.

        Args:
            batch: people.
            candidates: as many.
        """
        candidate = draw_candidate(self.body, candidates, batch.camera, self.network.candidate_map)
        return self.placed(self.network(Crops(batch.image, candidate=candidate)), batch)

    def placed(self, estimate: Estimate, batch: Batch) -> Bodies:
        """The people of an answer in the axes of the crops' cameras.

        By their weak-perspective cameras; of networks without, by the labelled keypoints, as SPIN's released code
        places fits, where there are enough: their own may be anywhere at first.
        """
        side = batch.image.shape[-1]
        middle = batch.image.new_full((len(batch), 2), (side - 1) / 2)
        crop = CropTransform(middle, batch.image.new_full((len(batch),), float(side)), side)
        own = estimate.to_bodies(batch.camera, crop, self.body)
        if not isinstance(estimate, StagedEstimate):
            return own
        seen = place_in_view(self.body, own, batch.evidence(), batch.camera)
        enough = ((batch.confidence > 0).sum(1) >= FEWEST)[:, None]
        return Bodies(own.rotations, own.betas, torch.where(enough, seen.translation, own.translation))

    def losses(
        self,
        estimate: Estimate,
        lesson: Lesson,
        targets: Targets,
        weights: Supervision,
        adversary: Adversarial | None = None,
    ) -> dict[str, Tensor]:
        """Weighted losses by name; those of several stages are averaged.

        Args:
            estimate: of the network, in single precision.
            lesson: what it saw, with labels, on the same device.
            targets: bodies that supervise.
            weights: of the losses.
            adversary: the discriminators, where they have a weight.
        """
        stages = estimate.all_stages if weights.every_stage else (estimate,)
        total: dict[str, Tensor] = {}
        for stage in stages:
            for name, loss in self._stage(stage, lesson, targets, weights, adversary).items():
                total[name] = total.get(name, 0) + loss / len(stages)
        if isinstance(estimate, StagedEstimate):
            total |= self._maps(estimate, lesson, weights)
        if isinstance(estimate, JointEstimate) and weights.heatmaps:
            total["heatmaps"] = weights.heatmaps * joint_place_loss(estimate, lesson.batch)
        return total

    def _stage(
        self,
        estimate: Estimate,
        lesson: Lesson,
        targets: Targets,
        weights: Supervision,
        adversary: Adversarial | None,
    ) -> dict[str, Tensor]:
        """Losses of one answer."""
        batch, w = lesson.batch, weights
        side = batch.image.shape[-1]
        bodies = self.placed(estimate, batch)
        found: dict[str, Tensor] = {}
        if w.joints or w.keypoints:
            points = self.body.points(bodies, self.points)
        if w.joints:
            loss = joint_loss(points, batch.joints, batch.joints_known, self.roots, w.joint_distance)
            found["joints"] = w.joints * loss
        if w.keypoints:
            pixels = project(points, batch.camera)
            sure = torch.where(batch.detected, w.detected * batch.confidence, batch.confidence)
            loss = keypoint_loss(pixels, batch.keypoints, sure, side, w.keypoint_distance)
            found["keypoints"] = w.keypoints * loss
        if w.rotations:
            loss = rotation_loss(
                bodies.rotations, targets.bodies.rotations, targets.has_rotations, w.parameter_distance
            )
            found["rotations"] = w.rotations * loss
        if w.betas:
            loss = betas_loss(bodies.betas, targets.bodies.betas, targets.has_betas, w.parameter_distance)
            found["betas"] = w.betas * (loss + shape_loss(bodies.betas, targets.calm) / 10)
        if w.mesh:
            mine, theirs = self.rooted(bodies), self.rooted(targets.bodies)
            found["mesh"] = w.mesh * mesh_loss(mine, theirs, targets.has_mesh, w.mesh_distance)
        if w.dense:
            points = self.body.surface_points(bodies, lesson.corners, lesson.barycentric)
            pixels = project(points, batch.camera)
            found["dense"] = w.dense * dense_loss(
                pixels, batch.dense_pixels, batch.dense_weight, side, w.dense_distance
            )
        if w.parts:
            assert lesson.part_targets is not None, "lessons were asked for without maps of parts"
            mesh = project(self.body.chosen_vertices(bodies, self.vertices), batch.camera)
            labels, known = self._labels(w.partition), lesson.has_part_targets
            found["parts"] = w.parts * part_loss(mesh, labels, lesson.part_targets, known, side)
        if w.prior:
            found["prior"] = w.prior * self._prior_loss(estimate, w.pose_prior)
        if w.shape:
            found["shape"] = w.shape * shape_loss(bodies.betas)
        if w.scale and estimate.camera is not None:
            found["scale"] = w.scale * scale_loss(estimate.camera.scale)
        if w.adversarial:
            assert adversary is not None, "an adversarial loss needs discriminators"
            found["adversarial"] = w.adversarial * generator_loss(adversary.scores(bodies.rotations[:, 1:]))
        return found

    def _maps(self, estimate: StagedEstimate, lesson: Lesson, weights: Supervision) -> dict[str, Tensor]:
        """Losses of heatmaps and part maps, averaged over their stages."""
        batch, seen, found = lesson.batch, estimate.seen, dict[str, Tensor]()
        if weights.heatmaps:
            rows = [UNION45.index(name) for name in seen.skeleton.keypoints]
            places = crop_coordinates(batch.keypoints[:, rows], batch.image.shape[-1])
            known = (batch.confidence[:, rows] > 0).to(places)
            losses = []
            for maps in seen.heatmaps:
                wanted = draw_gaussians(places, known, maps.shape[-1])
                losses.append(heatmap_loss(maps.float(), wanted, known))
            found["heatmaps"] = weights.heatmaps * torch.stack(losses).mean()
        if weights.part_maps:
            assert lesson.part_targets is not None, "lessons were asked for without maps of parts"
            targets, known = lesson.part_targets, lesson.has_part_targets
            losses = [part_map_loss(logits.float(), targets, known) for logits in seen.part_logits]
            found["part_maps"] = weights.part_maps * torch.stack(losses).mean()
        return found

    def rooted(self, bodies: Bodies) -> Tensor:
        """The mesh points (..., V, 3) from the pelvis."""
        flat = Bodies(bodies.rotations, bodies.betas, torch.zeros_like(bodies.translation))
        pelvis = self.body.rest_pelvis(bodies.betas)
        return self.body.chosen_vertices(flat, self.vertices) - pelvis[..., None, :]

    def _labels(self, partition: str) -> Tensor:
        """(V,) parts of the mesh points."""
        if partition not in self._parts:
            self._parts[partition] = vertex_parts(self.body, partition)[self.vertices]
        return self._parts[partition]

    def _prior_loss(self, estimate: Estimate, name: str) -> Tensor:
        if name == "own" and isinstance(estimate, StagedEstimate) and isinstance(self.network, Multistage):
            return self.network.prior_energy(estimate).mean()
        if name == "own" and isinstance(estimate, JointEstimate) and isinstance(self.network, Pose2Pose):
            return self.network.prior_energy(estimate).mean()
        name = "flow" if name == "own" else name
        if name not in self._priors:
            self._priors[name] = load_prior(name).to(self.body.v_template)
            if isinstance(prior := self._priors[name], nn.Module):
                prior.eval().requires_grad_(False)
        return prior_loss(self._priors[name], estimate.rotations)


def joint_place_loss(estimate: JointEstimate, batch: Batch) -> Tensor:
    """L1 of the joints that Pose2Pose reads rotations off at: in the crop, where they are labelled and inside, and
    metres behind the middle of the hips, where 3D joints are known."""
    rows = [UNION45.index(name) for name in estimate.skeleton.keypoints]
    wanted = crop_coordinates(batch.keypoints[:, rows], batch.image.shape[-1])
    inside = (batch.confidence[:, rows] > 0) & (wanted.abs() < 1).all(-1)
    flat = known_mean((estimate.places[..., :2] - known_only(wanted, inside)).abs().sum(-1), inside)
    hips = [UNION45.index(name) for name in ROOTS]
    behind = batch.joints[:, rows, 2] - batch.joints[:, hips, 2].mean(1, keepdim=True)
    known = batch.joints_known[:, rows] & batch.joints_known[:, hips].all(1, keepdim=True)
    return flat + known_mean((estimate.places[..., 2] - known_only(behind, known)).abs(), known)


def project(points: Tensor, camera: Camera) -> Tensor:
    """Crop pixels (B, N, 2) of points (B, N, 3); what lies behind the camera or at it goes far away, but not wild."""
    return camera.project(torch.cat([points[..., :2], points[..., 2:].clamp_min(NEAREST)], -1))
