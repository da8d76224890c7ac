"""Imports point one way, and the light ones stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "bodyloop"
ROOMS = (
    "errors", "jit", "writing", "processes", "threads", "network_files",
    # whoever finds bad input may say so, whoever loops may compile
    "showing",  # whoever can be seen may show itself
    "geometry", "body", "track", "raster", "priors", "evidence", "terms", "data", "detect", "fit", "nets", "train",
    "annotate", "evaluate", "view",
    "surface_maps", "saved_results", "start_files", "label_report", "review",
    "photo_people", "photo_files",
    "photos", "videos", "inference", "pool_jobs", "prior_jobs", "synth_jobs", "train_jobs", "export_jobs",
    "evaluate_jobs", "annotate_jobs", "review_jobs", "view_jobs", "studies",
    "table_names", "reproduce", "progress", "terminal",
    "commands", "cli",
)  # fmt: skip
HEAVY = (
    "torch", "mediapipe", "numba", "trimesh", "pygltflib", "roma", "scipy", "skimage", "sklearn", "matplotlib", "jax",
    "lightning", "pxr", "viser", "ray", "pyarrow", "av",
)  # fmt: skip
"""What only commands that need it may load."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imported(node: ast.AST) -> list[str]:
    """Names of all modules that a module imports, at its top or later, except for type checkers alone."""
    names = []
    for child in ast.iter_child_nodes(node):
        if is_for_types(child):
            names += [name for part in child.orelse for name in imported(part)]
            continue
        if isinstance(child, ast.Import):
            names += [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            names += [f"{child.module}.{alias.name}" for alias in child.names]
        names += imported(child)
    return names


def rooms_used(path: Path) -> set[str]:
    names = imported(ast.parse(path.read_text()))
    parts = [name.split(".") for name in names if name.split(".")[0] == "bodyloop"]
    return {part[1] for part in parts if part[1:] and part[1] != "__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_up_the_list(path: Path):
    room = room_of(path)
    if room == "__init__":
        assert rooms_used(path) == set(), "names are imported when first used"
        return
    assert room in ROOMS, f"a new room: give {room} its place in ROOMS and in docs/architecture.md"
    allowed = set(ROOMS[: ROOMS.index(room) + 1])
    allowed -= {"nets": {"fit"}, "fit": {"nets"}}.get(room, set())
    assert rooms_used(path) <= allowed


def test_lazy_imports_are_seen():
    code = "def f():\n    from bodyloop.view import save_glb\nif TYPE_CHECKING:\n    import bodyloop.cli\n"
    assert imported(ast.parse(code)) == ["bodyloop.view.save_glb"]


def test_no_drawer_for_odds_and_ends():
    assert not [p for p in MODULES if p.stem in ("utils", "util", "helpers", "misc", "common")]


@pytest.mark.parametrize(
    "code",
    [
        "import bodyloop; dir(bodyloop)",
        "from bodyloop.cli import main; assert main(['--help']) == 0",
        "from bodyloop.cli import main; assert main(['fit', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['infer', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['annotate', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['convert', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['review', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['evaluate', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['view', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['prior', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['prior', 'train', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['prior', 'sample', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['synth', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['train', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['export', '--help']) == 0",
        "from bodyloop.cli import main; assert main(['reproduce', '--help']) == 0",
    ],
)
def test_light_imports_stay_light(code: str):
    check = f"{code}\nimport sys\nprint('heavy:', [m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "heavy: []"


def test_fitting_loads_no_training():
    check = "import sys, bodyloop.photos, bodyloop.fit, bodyloop.annotate\nprint([m for m in sys.modules if m in ("
    check += "'lightning', 'bodyloop.train')])"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_public_name_is_there():
    import bodyloop

    assert all(getattr(bodyloop, name) is not None for name in bodyloop.__all__)
    assert set(bodyloop.__all__) <= set(dir(bodyloop))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        bodyloop.nonsense  # noqa: B018
