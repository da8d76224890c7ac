import dataclasses

import numpy as np
import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from bodyloop.view.actors import actors, of_one_shape, upright
from made_up_tracks import in_viewer, small_body, track


@pytest.fixture(scope="module")
def small() -> BodyModel:
    return small_body()


def test_camera_axes_become_the_viewers(small: BodyModel):
    one = track()
    [turned] = upright([one], small)
    np.testing.assert_allclose(
        small.joints(turned.bodies).numpy(), in_viewer(small.joints(one.bodies)), atol=2e-6
    )
    np.testing.assert_allclose(
        small.vertices(turned.bodies).numpy(), in_viewer(small.vertices(one.bodies)), atol=2e-6
    )
    [again] = upright([turned], small)
    assert again is turned  # the world stays


def test_all_are_put_on_the_ground_together(small: BodyModel):
    people = [track(), track("ben", 5, seed=3)]
    before, after = upright(people, small), upright(people, small, ground=True)
    low = [float(small.vertices(one.bodies)[..., 1].min()) for one in after]
    assert min(low) == pytest.approx(0, abs=1e-5)
    moved = [b.bodies.translation - a.bodies.translation for a, b in zip(before, after, strict=True)]
    shift = torch.cat(moved)
    torch.testing.assert_close(shift, shift[:1].expand_as(shift), atol=1e-6, rtol=0)
    assert (shift[:, [0, 2]].abs() < 1e-6).all()


def test_one_shape_keeps_the_roots(small: BodyModel):
    bodies = track().bodies
    bodies = dataclasses.replace(bodies, betas=torch.randn(9, 10, generator=torch.Generator().manual_seed(5)))
    one = of_one_shape(bodies, small)
    torch.testing.assert_close(one.betas, bodies.betas.mean(0).expand(9, 10))
    torch.testing.assert_close(small.joints(one)[:, 0], small.joints(bodies)[:, 0])


def test_times_count_from_the_first_of_all(small: BodyModel):
    late, early = actors([track(start=2.0), track("ben", start=1.5)], small)
    assert (late.times[0], early.times[0]) == (0.5, 0)
    assert (late.color != early.color).any()


def test_nobody_namesakes_and_other_bodies_are_refused(small: BodyModel):
    for people in ([], [track(), track()]):
        with pytest.raises(ValueError, match="different name"):
            actors(people, small)
    with pytest.raises(InputError, match="model 'small', got one of 'builtin'"):
        upright([track(body="builtin")], small)
