"""DensePose's UV_Processed.mat, as a small made-up file in the same layout."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from bodyloop.body.atlas import ChartMirror
from bodyloop.body.densepose import read_densepose_atlas, read_densepose_mirror
from bodyloop.errors import InputError


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Two charts of two faces each on a strip of six vertices, cut at the seam in the middle."""
    vertices = np.array([[1, 2, 3, 4, 3, 4, 6889, 6890]], dtype=np.uint16)  # (1, T), 1-based
    u = np.array([[0.0, 1, 0, 1, 0, 1, 0, 1]]).T
    v = np.array([[0.0, 0, 1, 1, 0, 0, 1, 1]]).T
    return {
        "All_vertices": vertices,
        "All_U": u * 200,
        "All_V": v * 200,
        "All_U_norm": u,
        "All_V_norm": v,
        "All_Faces": np.array([[1, 2, 3], [2, 4, 3], [5, 6, 7], [6, 8, 7]], dtype=np.uint16),
        "All_FaceIndices": np.array([[1, 1, 24, 24]], dtype=np.uint8).T,
    }


def test_seams_and_one_based_indices(tmp_path: Path, arrays: dict[str, np.ndarray]):
    savemat(tmp_path / "UV_Processed.mat", arrays)
    atlas = read_densepose_atlas(tmp_path / "UV_Processed.mat")
    assert atlas.faces.tolist() == [[0, 1, 2], [1, 3, 2], [2, 3, 6888], [3, 6889, 6888]]
    assert atlas.charts.tolist() == [1, 1, 24, 24]
    assert atlas.uv[3].tolist() == [[1, 0], [1, 1], [0, 1]]
    vertices, weights = atlas.locate([24, 1], [0.25, 2.0], [0.5, 1.0])
    assert vertices.tolist() == [[2, 3, 6888], [1, 3, 2]]
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.25, 0.5], [0, 1, 0]]))
    iuv = atlas.vertex_iuv()
    assert iuv.shape == (6890, 3)
    assert iuv[2].tolist() == [1, 0, 1], "on the seam the lower chart"
    assert iuv[6889].tolist() == [24, 1, 1]
    assert iuv[100].tolist() == [0, 0, 0], "in no face"
    with pytest.raises(ValueError, match="1 of 1 points"):
        atlas.locate([7], [0.5], [0.5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"All_Faces": None}, "no 'All_Faces'; expected DensePose's UV_Processed.mat. Found: All_vertices"),
        (
            {"All_vertices": np.array([[0, 2, 3, 4, 3, 4, 5, 6]])},
            "'All_vertices' should hold whole numbers 1 to 6890",
        ),
        ({"All_Faces": np.array([[1, 2, 9]])}, "'All_Faces' should hold whole numbers 1 to 8, got 1 to 9"),
        ({"All_FaceIndices": np.array([[1, 1, 24]]).T}, "'All_Faces' should be"),
        ({"All_FaceIndices": np.array([[1, 1, 25, 1]]).T}, "1 to 24, got 1 to 25"),
        ({"All_U_norm": np.zeros((7, 1))}, "got 7 and 8"),
        ({"All_U_norm": np.full((8, 1), 200.0)}, "should lie in 0 to 1"),
        ({"All_U_norm": np.full((8, 1), np.nan)}, "finite numbers"),
        ({"All_U_norm": "text"}, "finite numbers"),
    ],
)
def test_other_contents_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], change: dict, message: str
):
    changed = {key: value for key, value in {**arrays, **change}.items() if value is not None}
    savemat(tmp_path / "other.mat", changed)
    with pytest.raises(InputError, match=message):
        read_densepose_atlas(tmp_path / "other.mat")


def test_other_files_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be read"):
        read_densepose_atlas(tmp_path / "missing.mat")
    (tmp_path / "text.mat").write_text("this is no MATLAB file at all, but it is long enough" * 9)
    with pytest.raises(InputError, match="not a readable MATLAB v5 file"):
        read_densepose_atlas(tmp_path / "text.mat")
    (tmp_path / "empty.mat").write_bytes(b"")
    with pytest.raises(InputError, match="not a readable MATLAB v5 file"):
        read_densepose_atlas(tmp_path / "empty.mat")


def mirror_tables(**changes: object) -> dict[str, object]:
    """DensePose's two cells of 24 tables: here U becomes 1 - U, and V stays."""
    v, u = np.meshgrid(np.linspace(0, 1, 256), np.linspace(0, 1, 256), indexing="ij")
    cells = {}
    for key, table in (("U_transforms", 1 - u), ("V_transforms", v)):
        cells[key] = np.empty((1, 24), dtype=object)
        for chart in range(24):
            cells[key][0, chart] = table
    return {**cells, **changes}


def test_mirror_tables(tmp_path):
    savemat(tmp_path / "UV_symmetry_transforms.mat", mirror_tables())
    mirror = read_densepose_mirror(tmp_path / "UV_symmetry_transforms.mat")
    part, uv = torch.randint(0, 25, (40,)), torch.rand(40, 2)
    found, exact = mirror(part, uv), ChartMirror()(part, uv)
    assert torch.equal(found[0], exact[0])
    assert (found[1] - exact[1]).abs().max() <= 1 / 255 + 1e-6
    assert torch.equal(found[1][part == 0], uv[part == 0])


@pytest.mark.parametrize("changes", [{"U_transforms": 3.0}, {"V_transforms": np.zeros((256, 256))}])
def test_other_files_are_no_mirror_tables(tmp_path, changes):
    savemat(tmp_path / "a.mat", mirror_tables(**changes))
    with pytest.raises(InputError, match=r"expected DensePose's UV_symmetry_transforms\.mat"):
        read_densepose_mirror(tmp_path / "a.mat")


def test_mirrored_tables_have_to_lie_in_the_charts(tmp_path):
    tables = mirror_tables()
    tables["U_transforms"][0, 3] = tables["U_transforms"][0, 3] + 2
    savemat(tmp_path / "a.mat", tables)
    with pytest.raises(InputError, match="in 0 to 1"):
        read_densepose_mirror(tmp_path / "a.mat")
