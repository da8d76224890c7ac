"""Bodies in a notebook: a small page of its own inside the cell, which needs no server and no network."""

from html import escape

import torch

from bodyloop.body import SMPL_JOINTS, Bodies, BodyModel, builtin_body
from bodyloop.view.page import scene_page
from bodyloop.view.scene import GAP, REACH, Figure, Moment, Scene

MOST = 6
"""Bodies that are drawn; of more, the first."""
HEIGHT = 360
"""Pixels of the cell."""


def bodies_html(bodies: Bodies, body: BodyModel | None = None) -> str:
    """An inline frame with the first bodies in a row, from the front; the mouse turns them.

    Only their pose, shape and orientation are shown, not their place. Bodies whose heads are below their feet are taken
    to be in camera axes (y down) and shown the right way up.

    Args:
        bodies: (...), flattened.
        body: their model; the built-in one if None.

    Raises:
        ValueError: if there is nobody, or a number is not finite.
    """
    body = (builtin_body() if body is None else body).to("cpu")
    flat = Bodies(
        bodies.rotations.reshape(-1, 24, 3, 3),
        bodies.betas.reshape(-1, 10),
        bodies.translation.reshape(-1, 3),
    )
    count = len(flat)
    flat = flat[:MOST].to(body.v_template)
    if not count or not all(x.isfinite().all() for x in (flat.rotations, flat.betas)):
        raise ValueError(f"expected finite bodies, got {count or 'none'}")
    page = scene_page(in_a_row(flat, body), plain=True)
    shown = f"the first {MOST} of {count:,} bodies" if count > MOST else ""
    caption = f'<div style="font: 12px system-ui, sans-serif">{shown}</div>' if shown else ""
    return (
        f'<iframe srcdoc="{escape(page)}" style="width: 100%; max-width: 720px; height: {HEIGHT}px; border: 0" '
        f'sandbox="allow-scripts" title="bodies"></iframe>{caption}'
    )


@torch.no_grad()
def in_a_row(bodies: Bodies, body: BodyModel) -> Scene:
    """A scene of bodies (N,) side by side on one floor, y up, facing as they do."""
    joints = body.joints(bodies)
    feet = [SMPL_JOINTS.index("left_foot"), SMPL_JOINTS.index("right_foot")]
    tall = joints[:, SMPL_JOINTS.index("head"), 1] - joints[:, feet, 1].mean(1)
    if float(tall.sum()) < 0:
        bodies = bodies.turned(torch.diag(torch.tensor([1.0, -1.0, -1.0])), body.rest_pelvis(bodies.betas))
        joints = body.joints(bodies)
    low, high = joints.amin(1), joints.amax(1)
    width = (high - low)[:, 0] + 2 * REACH + GAP
    left = width.cumsum(0) - width
    place = torch.stack([left + width / 2, torch.zeros(len(bodies)), torch.zeros(len(bodies))], -1)
    middle = (low + high) / 2
    move = place - torch.stack([middle[:, 0], low[:, 1], middle[:, 2]], -1)
    row = Bodies(bodies.rotations, bodies.betas, bodies.translation + move)
    figures = tuple(Figure(str(i), i, (0,), row[i : i + 1], (str(i),)) for i in range(len(row)))
    return Scene("bodies", body, (Moment("", 0.0, None),), figures, axes="world")
