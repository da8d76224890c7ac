from pathlib import Path

import pytest
import torch

from bodyloop.body import BodyModel
from bodyloop.train.lifter import LifterConfig, all_points, draw_views, lifter_loss, train_lifter

POSE = torch.randn(200, 72, generator=torch.Generator().manual_seed(0)) * 0.15
WEIGHT = torch.full((200,), 1 / 200)
CONFIG = LifterConfig(steps=6, batch=16, width=24, blocks=1, seed=3)


def test_views_agree_with_their_bodies(body: BodyModel):
    points = all_points(body)
    views = draw_views(POSE[:32], body, points, torch.Generator().manual_seed(0), noise=False)
    placed = body.points(views.bodies, points)
    assert torch.allclose(placed, views.points, atol=1e-5)
    assert torch.allclose(placed[:, :29, :2] / placed[:, :29, 2:], views.rays, atol=1e-4)
    assert (views.points[..., 2] > 0.3).float().mean() > 0.99


def test_every_person_keeps_five_keypoints_or_what_its_set_has(body: BodyModel):
    views = draw_views(POSE.repeat(5, 1), body, all_points(body), torch.Generator().manual_seed(1))
    assert ((views.confidence > 0).sum(1) >= 5).all()
    assert torch.isfinite(views.rays).all()


def test_a_killed_run_resumes_to_the_same_weights(tmp_path: Path, body: BodyModel, monkeypatch):
    whole = train_lifter(POSE, WEIGHT, POSE[:20], body, tmp_path / "a.safetensors", CONFIG, lambda _: None)
    calls = 0

    def dies(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return lifter_loss(*args, **kwargs)

    monkeypatch.setattr("bodyloop.train.lifter.REPORT_EVERY", 2)
    with monkeypatch.context() as patch:
        patch.setattr("bodyloop.train.lifter.lifter_loss", dies)
        with pytest.raises(KeyboardInterrupt):
            train_lifter(POSE, WEIGHT, POSE[:20], body, tmp_path / "b.safetensors", CONFIG, lambda _: None)
    assert (tmp_path / "b.ckpt").exists()
    said: list[str] = []
    again = train_lifter(POSE, WEIGHT, POSE[:20], body, tmp_path / "b.safetensors", CONFIG, said.append)
    assert said[0] == "resumed at step 2"
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_training_lowers_the_loss(tmp_path: Path, body: BodyModel):
    config = LifterConfig(steps=60, batch=64, width=64, blocks=1, rate=3e-3)
    points = all_points(body)
    net = train_lifter(POSE, WEIGHT, POSE[:20], body, tmp_path / "c.safetensors", config, lambda _: None)
    fresh = train_lifter(
        POSE, WEIGHT, POSE[:20], body, tmp_path / "d.safetensors", LifterConfig(steps=2, batch=8, width=64, blocks=1),
        lambda _: None,
    )  # fmt: skip
    views = draw_views(POSE, body, points, torch.Generator().manual_seed(9))
    with torch.no_grad():
        assert lifter_loss(net, views, body, points)[0] < 0.8 * lifter_loss(fresh, views, body, points)[0]
