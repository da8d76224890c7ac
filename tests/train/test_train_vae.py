"""Training of the pose autoencoder on made-up poses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.data.poses import PoseSet
from bodyloop.priors.representation import to_rotations
from bodyloop.priors.vae import Vae
from bodyloop.train.vae import VaeConfig, _divergence, _loss, spread_vertices, train_vae, vae_error


def poses(count: int, seed: int) -> PoseSet:
    """Poses of 3 dimensions, which a code of 4 holds."""
    ways = torch.randn(3, 72, generator=torch.Generator().manual_seed(7)) * 0.25
    code = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return PoseSet(code @ ways, torch.full((count,), 1 / count), torch.zeros(count, dtype=torch.long))


TRAIN, UNSEEN = poses(1000, 0), poses(100, 1)
CONFIG = VaeConfig(latent_size=4, width=32, vertices=12, steps=60, batch=64, rate=5e-3)


def test_poses_are_given_back_better_and_better(body: BodyModel):
    points = spread_vertices(body, 12)
    start = train_vae(TRAIN, UNSEEN, body, replace(CONFIG, steps=1, rate=1e-9), lambda _: None)
    said: list[str] = []
    end = train_vae(TRAIN, UNSEEN, body, CONFIG, said.append)
    before, after = (vae_error(vae, UNSEEN.pose, body, points)[0] for vae in (start, end))
    assert after < 0.6 * before
    assert f"vertices off {after:.1f} mm" in said[-1]
    assert not any(p.requires_grad for p in end.parameters())
    assert not end.training


def test_the_seed_decides(body: BodyModel):
    runs = [
        train_vae(TRAIN, UNSEEN, body, replace(CONFIG, steps=2, seed=seed), lambda _: None)
        for seed in (4, 4, 5)
    ]
    a, b, c = (vae.decode(torch.zeros(4)) for vae in runs)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_a_perfect_reconstruction_has_no_error(body: BodyModel):
    """Error in millimetres against the posed meshes of a network that gives back one pose, whatever it gets."""
    points = spread_vertices(body, 20)
    vae = Vae(latent_size=4, width=8).eval()
    pose = UNSEEN.pose[:1]
    with torch.no_grad():
        vae.decoder[-1].weight.zero_()
        vae.decoder[-1].bias.copy_(to_rotations(pose[0, 3:], "axis_angle")[..., :2].mT.flatten())
    assert vae_error(vae, pose, body, points)[0] < 0.01
    other = UNSEEN.pose[1:2].clone()
    other[:, :3] = 0
    truth = body.vertices(_upright(other))
    found = body.vertices(_upright(torch.nn.functional.pad(pose[:, 3:], (3, 0))))
    chosen = body.spread_vertices(20).tolist()
    expected = 1000 * float((truth - found)[:, chosen].norm(dim=-1).mean())
    assert vae_error(vae, other, body, points)[0] == pytest.approx(expected, rel=1e-3)


def _upright(pose: torch.Tensor):
    return Bodies.from_smpl(pose, torch.zeros(len(pose), 10), torch.zeros(len(pose), 3))


def test_the_divergence_against_torchs():
    mean, spread = torch.randn(20, 4), torch.rand(20, 4) + 0.1
    normal = torch.distributions.Normal
    twin = torch.distributions.kl_divergence(normal(mean, spread), normal(torch.zeros(4), torch.ones(4)))
    assert torch.allclose(_divergence(mean, spread), twin.sum(1), atol=1e-5)
    assert torch.equal(_divergence(torch.zeros(2, 4), torch.ones(2, 4)), torch.zeros(2))


def test_each_term_enters_by_its_weight(body: BodyModel):
    """The loss is linear in its weights, each term positive; no weight, no loss."""
    points = spread_vertices(body, 12)
    torch.manual_seed(0)
    vae = Vae(latent_size=4, width=8).eval()
    names = ("mesh", "kl", "orthogonal", "rotation")

    def loss(**weights: float) -> float:
        torch.manual_seed(1)  # the same draw of the code
        config = replace(CONFIG, **dict.fromkeys(names, 0.0) | weights)
        with torch.no_grad():
            return float(_loss(vae, TRAIN.pose[:32, 3:], body, points, config))

    assert loss() == 0
    single = {name: loss(**{name: 1.0}) for name in names}
    assert all(value > 0 for value in single.values())
    weights = {"mesh": 3.0, "kl": 0.5, "orthogonal": 0.1, "rotation": 2.0}
    assert loss(**weights) == pytest.approx(sum(weights[n] * single[n] for n in names), rel=1e-4)
    with torch.no_grad():
        mean, spread = vae.posterior(TRAIN.pose[:32, 3:])
    assert single["kl"] == pytest.approx(float(_divergence(mean, spread).mean()), rel=1e-4)


def test_the_loss_has_the_gradient_of_finite_differences(body: BodyModel):
    points, big = spread_vertices(body, 12).to(torch.float64), body.to(torch.float64)
    torch.manual_seed(0)
    vae = Vae(latent_size=4, width=8).double().eval()
    pose, weight = TRAIN.pose[:8, 3:].double(), vae.decoder[-1].bias

    def loss() -> torch.Tensor:
        torch.manual_seed(1)
        return _loss(vae, pose, big, points, CONFIG)

    (gradient,) = torch.autograd.grad(loss(), weight)
    for index in (0, 31, 137):
        ends = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight[index] += step
                ends.append(float(loss()))
                weight[index] -= step
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(float(gradient[index]), rel=1e-3, abs=1e-6)


def test_spread_vertices_are_each_the_farthest_from_those_before(body: BodyModel):
    chosen = body.spread_vertices(15).tolist()
    points = spread_vertices(body, 15)
    assert len(set(chosen)) == 15
    places = body.v_template.numpy()
    for count in range(1, 15):
        to_chosen = np.linalg.norm(places[:, None] - places[chosen[:count]], axis=-1).min(1)
        assert to_chosen[chosen[count]] == pytest.approx(to_chosen.max(), rel=1e-6)
    rest = _upright(torch.zeros(1, 72))
    assert torch.allclose(body.points(rest, points)[0], body.vertices(rest)[0, chosen], atol=1e-5)
