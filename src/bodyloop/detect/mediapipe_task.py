"""MediaPipe's pose landmarker: imported lightly, and its model bundle made from the wheel's own models."""

import importlib
import importlib.metadata
import importlib.util
import io
import os
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

from bodyloop.errors import InputError

VERSION = "0.10.21"
"""The version whose wheel carries the models; newer ones ship none."""

REMEDY = "pip install 'bodyloop[detect]', or give the keypoints yourself (--keypoints FILE)"
_PARENTS = ("mediapipe", "mediapipe.tasks", "mediapipe.tasks.python", "mediapipe.tasks.python.vision")
_MODELS = {
    "pose_detector.tflite": ("pose_detection/pose_detection.tflite", 127.5, 127.5),
    "pose_landmarks_detector.tflite": ("pose_landmark/pose_landmark_full.tflite", 0.0, 255.0),
}
"""Name in the bundle: file in the wheel, mean and standard deviation of its input pixels."""


@cache
def import_pose_landmarker() -> SimpleNamespace:
    """The few names of MediaPipe that are needed, without its plotting, audio and other tasks.

    ``import mediapipe`` loads matplotlib, OpenCV and a sound library, five times the cost of the landmarker.
    So the parent packages are entered without running them; they run, as always, when other code first asks
    them for a name.

    Raises:
        InputError: if mediapipe is not installed, or does not work.
    """
    if importlib.util.find_spec("mediapipe") is None:
        raise InputError(f"finding people in photos needs mediapipe {VERSION}, which is missing; {REMEDY}")
    light = [_enter(name) for name in _PARENTS if name not in sys.modules]
    try:
        landmarker = importlib.import_module("mediapipe.tasks.python.vision.pose_landmarker")
        options = importlib.import_module("mediapipe.tasks.python.core.base_options")
        bindings = importlib.import_module("mediapipe.python._framework_bindings")
    except (ImportError, AttributeError) as error:
        raise InputError(f"mediapipe is installed but does not load ({error}); {REMEDY}") from error
    finally:
        for module in light:
            _run_when_asked(module)
    return SimpleNamespace(
        PoseLandmarker=landmarker.PoseLandmarker,
        PoseLandmarkerOptions=landmarker.PoseLandmarkerOptions,
        BaseOptions=options.BaseOptions,
        Image=bindings.image.Image,
        ImageFormat=bindings.image_frame.ImageFormat,
    )


def _enter(name: str) -> ModuleType:
    """A package whose submodules can be imported, its own code not yet run."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise InputError(f"mediapipe {VERSION} has {name}, the installed one has not; {REMEDY}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], last, module)
    return module


def _run_when_asked(module: ModuleType) -> None:
    """Run the package's own code at the first name that it lacks."""

    def missing(name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        module.__dict__.pop("__getattr__", None)
        if module.__spec__ is not None and module.__spec__.loader is not None:
            module.__spec__.loader.exec_module(module)
        return getattr(module, name)

    module.__dict__["__getattr__"] = missing


@cache
def pose_task() -> bytes:
    """The model bundle, from the cache on disk, else made (and cached, where a cache can be written).

    Raises:
        InputError: if the installed mediapipe does not carry the models.
    """
    version = importlib.metadata.version("mediapipe")
    path = cache_folder() / f"pose_landmarker-{version}.task"
    try:
        bundle = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(bundle)) as task:
            if task.testzip() is None and set(task.namelist()) == set(_MODELS):
                return bundle
    except (OSError, zipfile.BadZipFile, ValueError):
        pass  # none yet, or a broken one: make it
    bundle = build_pose_task()
    write_atomically(path, bundle)
    return bundle


def cache_folder() -> Path:
    """$XDG_CACHE_HOME/bodyloop, by default ~/.cache/bodyloop."""
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # no home
        base = tempfile.gettempdir()
    return Path(base) / "bodyloop"


def write_atomically(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all; False where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError:
        return False
    return True


def build_pose_task() -> bytes:
    """An uncompressed zip of the wheel's two models, each told how its input is normalised.

    Raises:
        InputError: if the wheel has no models.
    """
    import_pose_landmarker()
    root = Path(str(sys.modules["mediapipe"].__file__)).parent
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as task:
        for name, (file, mean, deviation) in _MODELS.items():
            model = root / "modules" / file
            if not model.is_file():
                raise InputError(f"mediapipe {VERSION} carries {file}, the installed one does not; {REMEDY}")
            task.writestr(name, _with_normalization(model.read_bytes(), mean, deviation))
    return buffer.getvalue()


def _with_normalization(model: bytes, mean: float, deviation: float) -> bytes:
    """The task interface refuses a model that does not say how its input image is normalised."""
    import_pose_landmarker()
    writers = importlib.import_module("mediapipe.tasks.python.metadata.metadata_writers.metadata_writer")
    writer = writers.MetadataWriter.create(bytearray(model))
    writer.add_image_input([mean], [deviation])
    return bytes(writer.populate()[0])
