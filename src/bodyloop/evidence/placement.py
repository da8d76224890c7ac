"""Where a posed body must stand so that its keypoints meet the observed ones."""

import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.evidence.evidence import Evidence
from bodyloop.geometry import Camera, look_at_points, solve_translation


def place_in_view(body: BodyModel, bodies: Bodies, evidence: Evidence, camera: Camera) -> Bodies:
    """The same bodies, moved to where their keypoints meet the evidence best, and in front of the camera.

    Args:
        body: the model.
        bodies: B people whose translation is ignored.
        evidence: of the same B people.
        camera: one for all, or one a person.

    Returns:
        B people on the body's device, in its precision.
    """
    like = body.v_template
    bodies, evidence, camera = bodies.to(like), evidence.to(like), camera.expand(len(evidence)).to(like)
    points, known = body.keypoints(evidence.skeleton)
    placed = body.points(Bodies(bodies.rotations, bodies.betas, torch.zeros_like(bodies.translation)), points)
    rays = (evidence.keypoints - camera.center[:, None]) / camera.focal[:, None]
    weight = evidence.confidence * known
    trans = solve_translation(placed, rays, weight)
    # A start that looks away from the evidence can solve to a place behind the camera or inside the body:
    # then the distance follows from the sizes instead.
    seen = weight > 0
    view = look_at_points(rays, seen)
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
