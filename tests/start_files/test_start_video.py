"""4D-Humans' tracks and GVHMR's results: a file for a video, a photo for a frame."""

import os
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch

from bodyloop.body import Bodies, BodyModel
from bodyloop.errors import InputError
from bodyloop.geometry import Camera
from bodyloop.start_files import read_starts
from start_files.made_up_starts import CAMERA, crowd, evidence_of, joints_off, projected, smpl_like

N = 2
SQUARE = Camera.from_focal(5000 / 256 * 1000, 1000, 800)
"""PHALP's camera of a frame of 1000 x 800."""


@pytest.fixture
def bodies() -> Bodies:
    return crowd(N, focal=float(SQUARE.focal[0]))


def phalp_frame(body: BodyModel, bodies: Bodies, name: str, time: int, ghost: bool = False) -> dict[str, Any]:
    """What PHALP keeps of a frame; lists run over the people, ghosts included."""
    rotations, boxes = bodies.rotations.numpy(), evidence_of(body, bodies, SQUARE).boxes.numpy()
    size = boxes[:, 2:] - boxes[:, :2]
    people = range(len(bodies))
    return {
        "time": time, "shot": 0, "frame_path": name,
        "tracked_ids": [i + 1 for i in people if not (ghost and i)],
        "tracked_bbox": [np.concatenate([boxes[i, :2], size[i]]) for i in people if not (ghost and i)],
        "tid": [i + 1 for i in people],
        "bbox": [np.concatenate([boxes[i, :2], size[i]]) for i in people],
        "tracked_time": [int(ghost and i > 0) for i in people],
        "center": [(boxes[i, :2] + boxes[i, 2:]) / 2 for i in people],
        "scale": [size[i] for i in people],
        "size": [[800, 1000] for _ in people],
        "img_path": [name for _ in people], "img_name": [name.rsplit("/")[-1] for _ in people],
        "class_name": [np.int64(0) for _ in people], "conf": [np.float32(0.9) for _ in people],
        "annotations": [[] for _ in people],
        "smpl": [
            {
                "global_orient": rotations[i, :1], "body_pose": rotations[i, 1:], "betas": bodies.betas[i].numpy(),
            }
            for i in people
        ],
        "camera": [bodies.translation[i].numpy() for i in people],
        "camera_bbox": [np.array([0.9, 0, 0], np.float32) for _ in people],
        "3d_joints": [np.zeros((45, 3), np.float32) for _ in people],
        "2d_joints": [np.zeros(90, np.float32) for _ in people],
        "mask": [[{"size": [800, 1000], "counts": "abc"}] for _ in people],
    }  # fmt: skip


def phalp(path: Path, frames: dict[Any, Any]) -> Path:
    joblib.dump(frames, path, compress=3)
    return path


def frames_of(body: BodyModel, bodies: Bodies, **more: Any) -> dict[str, Any]:
    names = [f"outputs//_DEMO/gym/img/{i:06d}.jpg" for i in (1, 2)]
    return {name: phalp_frame(body, bodies, name, i, **more) for i, name in enumerate(names)}


def test_phalp(tmp_path: Path, body: BodyModel, bodies: Bodies):
    """The camera's focal length is 5000 pixels of the frame as a square of 256."""
    smpl = smpl_like(body)
    starts = read_starts(phalp(tmp_path / "demo_gym.pkl", frames_of(body, bodies)))
    assert len(starts.keys) == 2 * N
    expected = SQUARE.project(smpl.joints(bodies)).numpy()
    assert np.allclose(projected(starts, smpl, bodies), expected, atol=0.05)
    evidence = evidence_of(smpl, bodies, SQUARE)
    for name in ("000002.jpg", "000002.png", "frames/frame_2.jpg"):
        found = starts.for_people(name, evidence, CAMERA, smpl)
        assert found.known.all()
        off = joints_off(found, smpl, bodies, SQUARE) / (evidence.boxes[:, 3] - evidence.boxes[:, 1])
        assert float(off.max()) < 0.02, "but for the perspective that the long focal length lacks"
        assert float(found.bodies.translation[:, 2].max()) < 15, "metres: PHALP's camera is far away"
        assert torch.allclose(found.bodies.betas, bodies.betas)
    assert not starts.for_people("frame_3.jpg", evidence, CAMERA, smpl).known.any()
    assert not starts.for_people("portrait.jpg", evidence, CAMERA, smpl).known.any()


def test_frames_of_another_size(tmp_path: Path, body: BodyModel, bodies: Bodies):
    """A photo of half the frame's size shows everybody at half the pixels."""
    smpl, small = smpl_like(body), Camera.from_focal(600, 500, 400)
    starts = read_starts(phalp(tmp_path / "demo_gym.pkl", frames_of(body, bodies)))
    far = Camera.from_focal(5000 / 256 * 500, 500, 400)
    evidence = evidence_of(smpl, bodies, far)
    found = starts.for_people("000001.jpg", evidence, small, smpl)
    assert found.known.all()
    assert float(joints_off(found, smpl, bodies, far, small).max()) < 4


def test_ghosts_are_left_out(tmp_path: Path, body: BodyModel, bodies: Bodies):
    smpl = smpl_like(body)
    starts = read_starts(phalp(tmp_path / "demo_gym.pkl", frames_of(body, bodies, ghost=True)))
    found = starts.for_people("000001.jpg", evidence_of(smpl, bodies, SQUARE), CAMERA, smpl)
    assert found.known.tolist() == [True, False]


def test_frames_that_were_never_files(tmp_path: Path, body: BodyModel, bodies: Bodies):
    """PHALP then names them by the video and the moment."""
    frames = {
        ("gym.mp4", 512 * i): phalp_frame(body, bodies, "gym.mp4", i) | {"frame_path": ("gym.mp4", 512 * i)}
        for i in range(3)
    }
    starts = read_starts(phalp(tmp_path / "demo_gym.pkl", frames))
    evidence = evidence_of(body, bodies, SQUARE)
    assert starts.for_people("frame_0002.jpg", evidence, CAMERA, body).known.all()
    assert not starts.for_people("frame_0003.jpg", evidence, CAMERA, body).known.any()


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("echo",)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"smpl": [{}, {}]}, "missing or no number"),
        ({"smpl": [5, None]}, "missing or no number"),
        ({"smpl": {"a": 1}}, "'smpl' that is no list"),
        ({"camera": [np.zeros(3)] * N}, "without extent"),
        ({"camera": [np.full(3, np.nan)] * N}, "not finite"),
        ({"size": []}, "missing or no number"),
        ({"bbox": 3}, "'bbox' that is no list"),
    ],
)
def test_broken_phalp(tmp_path: Path, body: BodyModel, bodies: Bodies, change: dict[str, Any], why: str):
    frames = frames_of(body, bodies)
    first = next(iter(frames))
    one_broken = frames | {first: frames[first] | change}
    starts = read_starts(phalp(tmp_path / "a.pkl", one_broken))
    assert len(starts.keys) == N
    assert len(starts.skipped) == 1
    with pytest.raises(InputError, match=f"none that can be used.*{why}"):
        read_starts(phalp(tmp_path / "b.pkl", {first: frames[first] | change}))


def test_pickles_that_are_refused(tmp_path: Path, body: BodyModel, bodies: Bodies):
    frames = frames_of(body, bodies)
    first = next(iter(frames))
    with pytest.raises(InputError, match=r"refused: it holds posix\.system"):
        read_starts(phalp(tmp_path / "a.pkl", {first: frames[first] | {"extra": Evil()}}))
    with pytest.raises(InputError, match="got a pickle of something else"):
        read_starts(phalp(tmp_path / "b.pkl", {"a": 1}))
    (tmp_path / "c.pkl").write_bytes((tmp_path / "b.pkl").read_bytes()[:-9])
    with pytest.raises(InputError, match="refused"):
        read_starts(tmp_path / "c.pkl")


FRAMES = 4


def gvhmr(body: BodyModel, **changes: Any) -> tuple[Bodies, dict[str, Any]]:
    """A person in several frames in SMPL-X's 21 joints."""
    bodies = crowd(FRAMES)
    bodies = Bodies.from_smpl(bodies.pose, bodies.betas, torch.tensor([[0.1, 0.2, 8.0]]).repeat(FRAMES, 1))
    pose = bodies.pose
    incam = {
        "body_pose": pose[:, 3:66],
        "betas": bodies.betas,
        "global_orient": pose[:, :3],
        "transl": bodies.translation,
    }
    data = {
        "smpl_params_global": {key: torch.zeros_like(value) for key, value in incam.items()},
        "smpl_params_incam": incam | {k: v for k, v in changes.items() if k in incam},
        "K_fullimg": torch.tensor([[1200.0, 0, 500], [0, 1200, 400], [0, 0, 1]]).repeat(FRAMES, 1, 1),
        "net_outputs": {
            "model_output": {"pred_cam": torch.zeros(1, FRAMES, 3)},
            "static_conf_logits": torch.zeros(1),
        },
    }
    return bodies, data | {k: v for k, v in changes.items() if k not in incam}


def test_gvhmr(tmp_path: Path, body: BodyModel):
    """Frames count from 0; pose alone is taken, the hands stay straight."""
    bodies, data = gvhmr(body)
    torch.save(data, tmp_path / "hmr4d_results.pt")
    starts = read_starts(tmp_path / "hmr4d_results.pt")
    for model in (body, smpl_like(body)):
        one = bodies[2:3]
        found = starts.for_people("frames/0002.png", evidence_of(body, one), CAMERA, model)
        assert found.known.all()
        assert torch.allclose(found.bodies.rotations[:, :22], one.rotations[:, :22], atol=1e-3)
        assert torch.allclose(found.bodies.rotations[:, 22:], torch.eye(3))
        assert not found.bodies.betas.any()
        evidence = evidence_of(body, found.bodies)
        off = (evidence.keypoints - evidence_of(body, one).keypoints).norm(dim=-1).mean()
        assert float(off) < 15, "pixels: placed by the keypoints, with another shape"
    assert not starts.for_people("0004.png", evidence_of(body, one), CAMERA, body).known.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"body_pose": torch.zeros(FRAMES, 69)}, r"'body_pose' of shape \(frames, \(63,\)\)"),
        ({"transl": torch.zeros(3, 3)}, "as many frames"),
        ({"transl": None}, "'transl'"),
        ({"K_fullimg": torch.zeros(FRAMES, 3, 3)}, "no frame with finite numbers"),
        ({"global_orient": torch.full((FRAMES, 3), torch.nan)}, "no frame with finite numbers"),
        ({"smpl_params_incam": 5}, "got something else"),
        ({"extra": Evil()}, "refused or damaged"),
    ],
)
def test_broken_gvhmr(tmp_path: Path, body: BodyModel, changes: dict[str, Any], message: str):
    torch.save(gvhmr(body, **changes)[1], tmp_path / "a.pt")
    with pytest.raises(InputError, match=message):
        read_starts(tmp_path / "a.pt")


def test_damaged_archives(tmp_path: Path, body: BodyModel):
    torch.save(gvhmr(body)[1], tmp_path / "a.pt")
    data = (tmp_path / "a.pt").read_bytes()
    for cut in (100, len(data) // 2):
        (tmp_path / "a.pt").write_bytes(data[:cut])
        with pytest.raises(InputError):
            read_starts(tmp_path / "a.pt")
