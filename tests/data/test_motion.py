import numpy as np
import pytest
import torch

from bodyloop.data.motion import Motion
from bodyloop.geometry import geodesic_distance


def swing(frames=31, fps=30.0, seed=0):
    """Every joint turns evenly about its own axis, 60 degrees in all."""
    axes = torch.nn.functional.normalize(
        torch.randn(24, 3, generator=torch.Generator().manual_seed(seed)), dim=-1
    )
    angles = torch.linspace(0, np.pi / 3, frames)
    trans = torch.linspace(0, 1, frames)[:, None] * torch.tensor([1.0, 0.0, 2.0])
    return Motion.from_smpl((angles[:, None, None] * axes).flatten(1), trans, fps, "a", "01")


def test_bodies_and_pose_round_trip():
    motion = swing()
    assert len(motion.bodies()) == 31
    torch.testing.assert_close(motion.bodies().pose, motion.pose)
    assert motion.bodies().betas.abs().max() == 0


def test_resampling_an_even_turn_is_exact():
    motion = swing()
    for fps in (15.0, 60.0, 24.0):
        other = motion.resample(fps)
        assert other.fps == fps
        expected = swing(len(other), fps) if fps != 24 else None
        if expected is not None:
            torch.testing.assert_close(other.rotations, expected.rotations, atol=1e-5, rtol=0)
            torch.testing.assert_close(other.trans, expected.trans, atol=1e-5, rtol=0)
    torch.testing.assert_close(motion.resample(30.0).rotations, motion.rotations, atol=1e-5, rtol=0)


def test_thinned_frames_differ_and_cover():
    motion = swing()
    limit = 7.0
    thin = motion.thin(limit)
    turn = torch.rad2deg(geodesic_distance(thin.rotations[:, None, 1:], thin.rotations[None, :, 1:])).amax(-1)
    assert (turn + 1e9 * torch.eye(len(thin)) > limit).all()
    cover = torch.rad2deg(geodesic_distance(motion.rotations[:, None, 1:], thin.rotations[None, :, 1:])).amax(
        -1
    )
    assert (cover.amin(-1) <= limit + 0.01).all()


@pytest.mark.parametrize("fps", [30.0, 120.0])
def test_glitches_are_found_at_any_frame_rate(fps):
    motion = swing(61, fps)
    pose = motion.pose.clone()
    pose[20, 3:6] = torch.tensor([0.0, 0.0, 2.9])
    trans = motion.trans.clone()
    trans[40:] += 0.5
    marked = Motion.from_smpl(pose, trans, fps)
    assert (~marked.good).nonzero()[:, 0].tolist() == [19, 20, 21, 39, 40]
    assert not marked.resample(fps * 2).good[39]
    assert 20 not in marked.distinct_frames(1.0)


def test_mirror_twice_is_the_same():
    motion = swing()
    mirrored = motion.mirrored()
    torch.testing.assert_close(mirrored.bodies().rotations, motion.bodies().mirrored().rotations)
    torch.testing.assert_close(mirrored.mirrored().rotations, motion.rotations)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"rotations \(T, 24, 3, 3\)"):
        Motion(torch.zeros(2, 23, 3, 3), torch.zeros(2, 3), 30, "", "", torch.ones(2, dtype=torch.bool))
