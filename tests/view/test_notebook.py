from html import unescape
from itertools import pairwise

import numpy as np
import pytest
import torch
from unpack import page_content

import bodyloop
from bodyloop.body import SMPL_JOINTS, Bodies, BodyModel
from bodyloop.view.notebook import MOST, bodies_html, in_a_row
from made_up import random_bodies


def inner(html: str) -> str:
    return unescape(html.split('srcdoc="')[1].split('"')[0])


def test_bodies_show_themselves():
    html = random_bodies(2, spread=0.1)._repr_html_()
    header, _ = page_content(inner(html))
    assert len(header["figures"]) == 2
    assert 'sandbox="allow-scripts"' in html
    assert 'class="plain"' in inner(html)


def test_many_are_counted(ball: BodyModel):
    html = bodies_html(Bodies.rest(3, 5), ball)
    assert len(page_content(inner(html))[0]["figures"]) == MOST
    assert f"the first {MOST} of 15 bodies" in html


def test_they_stand_on_one_floor_side_by_side(body: BodyModel):
    scene = in_a_row(random_bodies(3, spread=0.1, dtype=torch.float32), body)
    joints = [places[0] for places in scene.joints]
    np.testing.assert_allclose([places[:, 1].min() for places in joints], 0, atol=1e-5)
    spans = [(places[:, 0].min(), places[:, 0].max()) for places in joints]
    assert all(left[1] < right[0] for left, right in pairwise(spans))


def test_the_axes_do_not_matter(body: BodyModel):
    upright = Bodies.from_smpl(torch.randn(2, 72, generator=torch.Generator().manual_seed(0)) * 0.1)
    half = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    turned = upright.turned(half, body.rest_pelvis(upright.betas))
    one, other = in_a_row(upright, body), in_a_row(turned, body)
    for first, second in zip(one.joints, other.joints, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
        assert first[0, SMPL_JOINTS.index("head"), 1] > 1


def test_what_cannot_be_drawn_stays_text(ball: BodyModel):
    for bodies in (Bodies.rest(0), Bodies.rest(1).to(torch.float32)):
        if len(bodies):
            bodies.rotations[0, 0, 0, 0] = torch.nan
        with pytest.raises(ValueError, match="finite bodies"):
            bodies_html(bodies, ball)
        with pytest.warns(UserWarning, match="no 3D view"):
            assert bodies._repr_html_() is None


def test_every_entry_leads_somewhere():
    from bodyloop import showing

    for address in bodyloop._SHOWN_BY.values():
        module, name = address.split(":")
        assert callable(getattr(__import__(f"bodyloop.{module}", fromlist=[name]), name))
    assert showing.html_of(object()) is None
