import os
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from bodyloop.detect import MediaPipeDetector, RtmlibDetector, mediapipe_task
from bodyloop.detect import mediapipe as adapter
from bodyloop.errors import InputError

HAS_MEDIAPIPE = mediapipe_task.importlib.util.find_spec("mediapipe") is not None
needs_mediapipe = pytest.mark.skipif(not HAS_MEDIAPIPE, reason="the extra 'detect' is not installed")


@pytest.fixture(scope="module")
def astronaut():
    return pytest.importorskip("skimage.data").astronaut()


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    if not HAS_MEDIAPIPE:
        pytest.skip("the extra 'detect' is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        mediapipe_task.pose_task.cache_clear()
        yield MediaPipeDetector(masks=True)


def place(found, name, person=0):
    return found.evidence.keypoints[person, found.evidence.skeleton.index(name)]


def test_the_astronaut(detector, astronaut):
    found = detector(astronaut)
    assert len(found) == 1
    assert torch.dist(place(found, "nose"), torch.tensor([222.0, 112.0])) < 15
    assert place(found, "left_shoulder")[0] > place(found, "right_shoulder")[0]  # she faces the camera
    assert found.evidence.confidence[0, 0] > 0.9
    assert found.world_landmarks.shape == (1, 33, 3)
    assert found.masks.shape == (1, 512, 512)
    assert found.masks[0, 112, 222]
    assert not found.masks[0, 20, 20]


def test_what_lies_outside_the_image_is_unseen(detector, astronaut):
    evidence = detector(astronaut).evidence
    assert evidence.confidence[0, evidence.skeleton.index("left_ankle")] < 0.1
    seen = evidence.keypoints[evidence.confidence > 0]
    assert (seen > -1).all()
    assert (seen < 512).all()


def test_two_people_side_by_side(detector, astronaut):
    found = detector(np.concatenate([astronaut, astronaut[:, ::-1]], 1))
    assert len(found) == 2
    noses = sorted(place(found, "nose", i)[0].item() for i in range(2))
    assert noses[0] == pytest.approx(222, abs=15)
    assert noses[1] == pytest.approx(1023 - 222, abs=15)


def test_nobody(detector):
    found = detector(np.full((300, 200, 3), 128, np.uint8))
    assert len(found) == 0
    assert found.evidence.keypoints.shape == (0, 33, 2)
    assert found.masks.shape == (0, 300, 200)


def test_one_row_for_each_box(detector, astronaut):
    wide = np.concatenate([astronaut, np.full_like(astronaut, 90)], 1)
    boxes = torch.tensor([[600.0, 100.0, 900.0, 500.0], [100.0, 20.0, 400.0, 511.0]])
    found = detector(wide, boxes)
    assert len(found) == 2
    assert torch.equal(found.evidence.boxes, boxes)
    assert found.evidence.confidence[0].max() == 0
    assert torch.dist(place(found, "nose", 1), torch.tensor([222.0, 112.0])) < 25
    assert len(detector(wide, torch.zeros(0, 4))) == 0


def test_nothing_is_written_to_standard_error(detector, astronaut, capfd):
    detector(astronaut)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("boxes", [[[1, 2, 3]], [[5, 5, 4, 9]], [[0, 0, float("nan"), 3]]])
def test_bad_boxes(detector, astronaut, boxes):
    with pytest.raises(InputError, match="boxes"):
        detector(astronaut, torch.tensor(boxes))


def test_bad_pixels(detector):
    for pixels in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(InputError, match="uint8"):
            detector(pixels)


def test_missing_mediapipe_says_what_to_install(monkeypatch):
    mediapipe_task.import_pose_landmarker.cache_clear()
    monkeypatch.setattr(mediapipe_task.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"bodyloop\[detect\].*--keypoints"):
        mediapipe_task.import_pose_landmarker()


@needs_mediapipe
def test_the_model_bundle_is_cached_mended_and_not_needed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    mediapipe_task.pose_task.cache_clear()
    bundle = mediapipe_task.pose_task()
    (path,) = (tmp_path / "bodyloop").iterdir()
    assert path.read_bytes() == bundle
    path.write_bytes(bundle[:1000])
    mediapipe_task.pose_task.cache_clear()
    assert len(mediapipe_task.pose_task()) == len(bundle)
    assert len(path.read_bytes()) == len(bundle)
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    mediapipe_task.pose_task.cache_clear()
    assert len(mediapipe_task.pose_task()) == len(bundle)
    mediapipe_task.pose_task.cache_clear()


@needs_mediapipe
def test_the_light_import_leaves_mediapipe_usable():
    code = (
        "import sys; from bodyloop.detect.mediapipe_task import import_pose_landmarker as light; light();"
        "assert 'matplotlib' not in sys.modules and 'cv2' not in sys.modules;"
        "import mediapipe as mp; assert mp.solutions.pose.Pose and mp.__version__ and mp.tasks.vision"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_search_windows_cover_the_image():
    for width, height in ((640, 427), (300, 900), (50, 50), (17, 4000)):
        windows = adapter.search_windows(width, height, (0.6, 0.35))
        cover = np.zeros((height, width), int)
        for x, y, side in windows[1:]:
            cover[max(y, 0) : y + side, max(x, 0) : x + side] += 1
        assert (cover >= 2).all()
        assert windows[0][2] == max(width, height)


def test_cut_outside_the_image_is_black():
    pixels = np.full((10, 20, 3), 7, np.uint8)
    piece = adapter.cut(pixels, (-3, -2, 6))
    assert (piece[2:, 3:] == 7).all()
    assert piece.sum() == 4 * 3 * 3 * 7
    assert adapter.cut(pixels, (100, 100, 4)).sum() == 0


def test_merging_keeps_one_find_of_each_person():
    points = np.random.default_rng(0).random((33, 2)) * 100
    finds = [adapter._Find(points + shift, np.full(33, seen), np.zeros((33, 3)))
             for shift, seen in ((0, 0.5), (2, 0.9), (300, 0.4))]  # fmt: skip
    kept = adapter.merge(finds)
    assert [(k.score, k.votes) for k in kept] == [(pytest.approx(0.9), 2), (pytest.approx(0.4), 1)]
    mirrored = points[list(adapter.SKELETON.flip)]
    assert adapter.similarity(points, mirrored, 100) == pytest.approx(1)


def test_where_windows_disagree_confidence_falls():
    points = np.random.default_rng(0).random((33, 2)) * 100
    other = points.copy()
    other[5] += 60
    first, second = (adapter._Find(p, np.full(33, 0.9), np.zeros((33, 3))) for p in (points, other))
    assert np.allclose(adapter.settle(first).visibility, 0.9)
    first.twins.append(second)
    settled = adapter.settle(first)
    assert settled.visibility[5] < 0.05
    assert np.allclose(np.delete(settled.visibility, 5), 0.9)


def test_rtmlib(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "rtmlib", None)
        with pytest.raises(InputError, match="pip install rtmlib"):
            RtmlibDetector()
    seen = {}

    class Body:
        def __init__(self, mode, backend, device):
            seen["mode"] = mode
            self.pose_model = lambda image, bboxes: (
                np.ones((len(bboxes), 17, 2)),
                np.ones((len(bboxes), 17)),
            )

        def __call__(self, image):
            seen["image"] = image
            return np.full((2, 17, 2), 5.0), np.full((2, 17), 0.5)

    fake = ModuleType("rtmlib")
    fake.__dict__.update(SimpleNamespace(Body=Body).__dict__)
    monkeypatch.setitem(sys.modules, "rtmlib", fake)
    detector = RtmlibDetector("lightweight")
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[..., 0] = 200
    found = detector(pixels)
    assert seen["mode"] == "lightweight"
    assert seen["image"][0, 0].tolist() == [0, 0, 200]
    assert found.evidence.skeleton.name == "coco17"
    assert len(found) == 2
    assert len(detector(pixels, torch.tensor([[0.0, 0, 4, 4]]))) == 1
    assert len(detector(pixels, torch.zeros(0, 4))) == 0
