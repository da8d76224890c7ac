import os
import subprocess
import sys

import pytest
import torch

from bodyloop.annotate import fit_people
from bodyloop.body import BodyModel
from bodyloop.body.skeletons import COCO17
from bodyloop.evidence import Evidence
from bodyloop.fit import FitConfig, mean_pose_starts
from bodyloop.fit.solve import Backend
from bodyloop.fit.starts import YAWS
from bodyloop.geometry import Camera
from bodyloop.priors.gmm import default_mixture
from made_up import random_bodies
from pretend_gpu import DEVICE, PretendedGpu

CAMERA = Camera.from_focal(1200, 1000, 1000)
BACKENDS: tuple[Backend, ...] = ("compiled", "batched")


@pytest.fixture(scope="module")
def people(body: BodyModel) -> Evidence:
    bodies = random_bodies(3, 0, 0.15, torch.float32)
    keypoints = CAMERA.project(body.points(bodies, body.keypoints(COCO17)[0]))
    return Evidence.from_keypoints(COCO17, keypoints, torch.ones(keypoints.shape[:2]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_body_on_another_device_takes_the_fit_there(body: BodyModel, people: Evidence, backend: Backend):
    config = FitConfig(backend=backend)
    expected = fit_people(people, CAMERA, body, config)
    with PretendedGpu():
        fits = fit_people(people, CAMERA, body.to(DEVICE), config)
        back = fit_people(people.to(DEVICE), CAMERA.to(DEVICE), body, config)
        for found in (fits.bodies.translation, fits.energy, fits.error_px, fits.seen, fits.trusted):
            assert found.device.type == DEVICE
        assert back.energy.device.type == "cpu"
        assert torch.allclose(fits.energy.cpu(), expected.energy, rtol=1e-3)
        assert torch.allclose(back.energy, expected.energy, rtol=1e-3)
        assert fits.start == expected.start
        assert len(people.to(DEVICE)[fits.trusted]) == int(expected.trusted.sum())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_body_in_double_precision(body: BodyModel, people: Evidence, backend: Backend):
    config = FitConfig(backend=backend)
    fits = fit_people(people, CAMERA, body.to(torch.float64), config)
    assert fits.bodies.rotations.dtype == fits.energy.dtype == torch.float64
    assert torch.allclose(fits.energy.float(), fit_people(people, CAMERA, body, config).energy, rtol=1e-2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nobody(body: BodyModel, people: Evidence, backend: Backend):
    fits = fit_people(people[:0], CAMERA, body, FitConfig(backend=backend))
    assert len(fits) == len(fits.trusted) == len(fits.bodies) == 0


def test_a_camera_for_each_or_one_for_all(body: BodyModel, people: Evidence):
    one = fit_people(people, CAMERA, body)
    focal, center = CAMERA.focal.expand(3, 2), CAMERA.center.expand(3, 2)
    for camera in (Camera(focal, center, CAMERA.size), Camera(focal, CAMERA.center, CAMERA.size)):
        assert torch.equal(fit_people(people, camera, body).energy, one.energy)
    with pytest.raises(ValueError, match=r"each of \(3,\) people, got \(2,\)"):
        fit_people(people, Camera(focal[:2], center[:2], CAMERA.size), body)


def test_an_unknown_start_is_refused(body: BodyModel, people: Evidence):
    with pytest.raises(ValueError, match="lifter, mean"):
        fit_people(people, CAMERA, body, starts=("lifter", "means"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one start"):
        fit_people(people, CAMERA, body, starts=())


def test_starts_are_named_by_the_way_that_people_face(body: BodyModel, people: Evidence):
    """Who turns to their left, having faced the camera, looks towards the right of the picture (+x)."""
    starts = mean_pose_starts(body, default_mixture(), people, CAMERA)
    facing = {name: s.rotations[0, 0, :, 2].round().tolist() for name, s in zip(YAWS, starts, strict=True)}
    assert facing == {
        "frontal": [0, 0, -1], "turned left": [1, 0, 0], "back": [0, 0, 1], "turned right": [-1, 0, 0]
    }  # fmt: skip


SEVERAL_THREADS = """
from threading import Thread
import torch, bodyloop as bl
people = bl.Evidence.from_keypoints(bl.get_skeleton("coco17"), torch.rand(40, 17, 2) * 500, torch.ones(40, 17))
camera = bl.Camera.from_focal(800, 640, 480)
threads = [Thread(target=bl.fit_people, args=(people, camera)) for _ in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
import numba
print(numba.threading_layer())
"""


def test_several_threads_may_fit_at_once():
    """Also on numba's threads of last resort, which end a process that lets them meet."""
    env = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", SEVERAL_THREADS], env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "workqueue"
