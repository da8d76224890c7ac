"""Surface evidence in the fit: the pull of parts against the gradient of eq. 7, and what dense evidence is worth."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bodyloop.body import Bodies, BodyModel
from bodyloop.body.atlas import builtin_atlas
from bodyloop.body.parts import face_parts, partition, vertex_parts
from bodyloop.evaluate.metrics import pve
from bodyloop.evidence import DenseKeypoints, Evidence
from bodyloop.fit import FitConfig, Fits, Fitter, Start, Surface
from bodyloop.fit.surface import LEAST_PX
from bodyloop.geometry import Camera
from bodyloop.priors.gmm import default_mixture
from bodyloop.raster import part_map, rasterize
from bodyloop.terms import PartTargets, part_alignment
from fit.people import CAMERA, nudged, observed

PARTS = "densepose"


def made_up_surface(seed: int = 0, scale: float = 1.0) -> tuple[Surface, Tensor, Tensor]:
    """Two parts as squares, and vertices of three parts scattered around them, in image pixels."""
    labels = torch.zeros(60, 60, dtype=torch.long)
    labels[8:20, 10:22], labels[35:50, 30:52] = 1, 2
    generator = torch.Generator().manual_seed(seed)
    at = 60 * torch.rand(40, 2, generator=generator, dtype=torch.float64)
    parts = torch.randint(0, 3, (40,), generator=generator)
    surface = Surface.none().with_parts(labels, PARTS, (5.0, -3.0), scale)
    return surface, at * scale + torch.tensor([5.0, -3.0]), parts


@pytest.mark.parametrize(("scale", "px"), [(1.0, 1.0), (2.5, 0.7)])
def test_the_pull_has_the_gradient_of_part_alignment(scale: float, px: float):
    surface, at, parts = made_up_surface(scale=scale)
    target, weight = surface.pulled(at, parts, px)
    pull = 2 * weight[:, None] * (at - target) * px
    assert surface.targets is not None
    own = ((at - torch.tensor(surface.origin)) / scale).requires_grad_()
    forward, backward = part_alignment(own, parts, surface.targets)
    share = len(at) / int((surface.targets.pixels[:, 0] >= 0).sum())
    (share * forward + backward).backward()
    assert own.grad is not None
    near = (own - surface.targets.pixels[surface.targets.nearest_pixels(own.detach(), parts)]).norm(dim=-1)
    far = (parts == 2) | (near * scale * px > 2 * LEAST_PX)  # nearer ones are held back on purpose
    alone = forward_partners(surface.targets, own.detach(), parts) == 0
    assert (far & alone).sum() > 10
    assert torch.allclose(pull[far & alone], own.grad[far & alone], atol=1e-6)
    assert (weight[parts == 2] == 0).all(), "a part that is not shown pulls nothing"


def forward_partners(targets: PartTargets, at: Tensor, parts: Tensor) -> Tensor:
    """How many pixels have each vertex as their nearest, among the pixels nearer than a few pixels."""
    first = targets.first.tolist()
    count = torch.zeros(len(at))
    for k in range(targets.parts):
        own = (parts == k).nonzero()[:, 0]
        pixels = targets.pixels[first[k] : first[k + 1]].to(at)
        if len(own) and len(pixels):
            distance, nearest = torch.cdist(pixels, at[own]).min(1)
            count.index_add_(0, own[nearest[distance < 4]], torch.ones(int((distance < 4).sum())))
    return count


def test_dense_keypoints_are_points_of_the_mesh(body: BodyModel):
    atlas = builtin_atlas()
    chosen = torch.arange(0, len(body.v_template), 500)
    iuv = atlas.vertex_iuv()[chosen]
    dense = DenseKeypoints(
        torch.zeros(len(chosen), 2), iuv[:, 0].long(), iuv[:, 1:].clamp(0, 1), torch.ones(len(chosen))
    )
    surface = Surface.from_dense(dense, atlas)
    assert len(surface) == len(chosen)
    rest = Bodies.rest(1)
    found = body.points(rest, surface.dense_points(body))[0]
    assert (found - body.vertices(rest)[0, chosen]).norm(dim=-1).max() < 1e-3


def fitted(
    body: BodyModel, evidence: Evidence, truth: Bodies, surfaces: list[Surface] | None, **more: object
) -> Fits:
    start = Start("near", nudged(truth, 0.15), oriented=True)
    config = FitConfig(**more)  # type: ignore[arg-type]
    return Fitter(body, default_mixture(), config)(evidence, CAMERA, [start], surfaces=surfaces)


def seen_surface(body: BodyModel, truth: Bodies, points: int, parts: bool) -> Surface:
    """Dense keypoints and parts of one person as the true body shows them."""
    coarse = 4.0
    camera = Camera(CAMERA.focal / coarse, CAMERA.center / coarse, (250, 250))
    seen = rasterize(body.vertices(truth)[0], body.faces, camera)
    rows, columns = seen.mask.nonzero(as_tuple=True)
    chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:points]
    rows, columns = rows[chosen], columns[chosen]
    surface = replace(
        Surface.none(),
        corners=body.faces[seen.face_id[rows, columns].long()],
        barycentric=seen.barycentric[rows, columns],
        pixels=torch.stack([columns, rows], -1) * coarse,
        confidence=torch.ones(len(rows)),
    )
    if parts:
        labels = part_map(seen, face_parts(body, PARTS)) + 1
        surface = surface.with_parts(labels, PARTS, scale=coarse)
    return surface


def off(body: BodyModel, fits: Fits, truth: Bodies) -> float:
    found, true = body.joints(fits.bodies), body.joints(truth)
    return float(pve(body.vertices(fits.bodies), body.vertices(truth), found[:, 0], true[:, 0]).mean())


def test_dense_keypoints_help(body: BodyModel):
    truth, evidence = observed(body, 1, seed=3)
    sparse = fitted(body, evidence, truth, None)
    dense = fitted(body, evidence, truth, [seen_surface(body, truth, 120, False)])
    assert off(body, dense, truth) < 0.6 * off(body, sparse, truth)
    assert (dense.terms["surface"] > 0).all()
    assert "surface" not in sparse.terms


def test_points_without_confidence_change_nothing(body: BodyModel):
    truth, evidence = observed(body, 1)
    surface = seen_surface(body, truth, 50, False)
    doubted = replace(surface, pixels=surface.pixels + 300, confidence=torch.zeros(50))
    without, ignored = (fitted(body, evidence, truth, s, rounds=0) for s in (None, [doubted]))
    assert torch.allclose(without.bodies.rotations, ignored.bodies.rotations, atol=1e-3)


def test_parts_are_aligned(body: BodyModel):
    truth, evidence = observed(body, 2, seed=5)
    surfaces = [seen_surface(body, truth[i : i + 1], 0, True) for i in range(2)]
    labels = vertex_parts(body, PARTS)

    def charged(fits: Fits) -> list[float]:
        at = CAMERA.project(body.vertices(fits.bodies)) / 4
        return [
            float(sum(part_alignment(at[i], labels, s.targets))) for i, s in enumerate(surfaces) if s.targets
        ]

    alone, together = fitted(body, evidence, truth, None), fitted(body, evidence, truth, surfaces)
    assert all(b < a for a, b in zip(charged(alone), charged(together), strict=True))
    assert len(partition(PARTS).parts) == 14


def test_rounds_that_stop_early_end_in_the_same_place(body: BodyModel):
    truth, evidence = observed(body, 2, seed=5)
    surfaces = [seen_surface(body, truth[i : i + 1], 0, True) for i in range(2)]
    whole, early = (fitted(body, evidence, truth, surfaces, rounds=0, part_steps=n) for n in (None, 3))
    assert torch.allclose(early.energy, whole.energy, rtol=0.05)
    assert off(body, early, whole.bodies) < 5


def test_people_fitted_together_are_fitted_as_alone(body: BodyModel):
    truth, evidence = observed(body, 2, seed=5)
    surfaces = [seen_surface(body, truth[i : i + 1], 0, True) for i in range(2)]
    together = fitted(body, evidence, truth, surfaces)
    start = nudged(truth, 0.15)
    parts = [
        Fitter(body, default_mixture())(
            evidence[i : i + 1],
            CAMERA,
            [Start("near", start[i : i + 1], oriented=True)],
            surfaces=[surfaces[i]],
        )
        for i in range(2)
    ]
    joined = Fits.cat(parts)
    assert torch.allclose(joined.bodies.rotations, together.bodies.rotations, atol=1e-2)
    assert joined.evidence.labels == evidence.labels
    assert joined.start == together.start
    assert joined.terms.keys() == together.terms.keys()
    assert joined.camera.focal.shape == (2, 2)


def test_fits_with_and_without_a_term_are_joined(body: BodyModel):
    truth, evidence = observed(body, 1)
    both = Fits.cat(
        [fitted(body, evidence, truth, s) for s in (None, [seen_surface(body, truth, 20, False)])]
    )
    assert both.terms["surface"][0] == 0
    assert both.terms["surface"][1] > 0
    with pytest.raises(ValueError, match="at least one"):
        Fits.cat([])


def test_a_surface_for_each_person(body: BodyModel):
    truth, evidence = observed(body, 2)
    surface = seen_surface(body, truth[:1], 20, False)
    with pytest.raises(ValueError, match="2 people need as many surfaces, got 1"):
        fitted(body, evidence, truth, [surface])
    with pytest.raises(ValueError, match="one by one"):
        fitted(body, evidence, truth, [surface, surface])


def test_people_together_need_maps_of_the_same_parts(body: BodyModel):
    truth, evidence = observed(body, 2)
    labels = torch.ones(20, 20, dtype=torch.long)
    with pytest.raises(ValueError, match="same parts, got densepose, lsp"):
        fitted(
            body, evidence, truth, [Surface.none().with_parts(labels, name) for name in ("lsp", "densepose")]
        )


def test_nothing_known_is_false():
    assert not Surface.none()
    assert Surface.none().with_parts(torch.ones(4, 4, dtype=torch.long), "lsp")
    with pytest.raises(ValueError, match=r"0\.\.6"):
        Surface.none().with_parts(torch.full((4, 4), 7), "lsp")
