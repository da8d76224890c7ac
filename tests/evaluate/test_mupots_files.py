"""MuPoTS' annotations from MATLAB's files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat

from bodyloop.errors import InputError
from bodyloop.evaluate.mupots_files import read_mupots
from bodyloop.geometry import Camera
from evaluate.mupots_made_up import save_mupots

CAMERA = Camera.from_focal(1500, 2048, 2048)


def someone(seed: int) -> torch.Tensor:
    return torch.randn(17, 3, generator=torch.Generator().manual_seed(seed)).double() + torch.tensor(
        [0, 0, 5.0]
    )


def test_what_was_written_is_read(tmp_path: Path):
    first, second = someone(0), someone(1)
    save_mupots(tmp_path / "TS10", [[first, None], [None, None], [second, first]], CAMERA)
    save_mupots(tmp_path / "TS2", [[second]], CAMERA)
    frames = list(read_mupots(tmp_path))
    assert [(f.sequence, f.frame, len(f.places)) for f in frames] == [
        ("TS2", 0, 1),
        ("TS10", 0, 1),
        ("TS10", 2, 2),
    ]
    assert frames[2].image == tmp_path / "TS10" / "img_000002.jpg"
    torch.testing.assert_close(frames[2].places, torch.stack([second, first]))
    torch.testing.assert_close(frames[2].universal, torch.stack([second, first]))
    torch.testing.assert_close(frames[1].pixels[0], CAMERA.project(first).double())
    assert len(list(read_mupots(tmp_path / "TS10"))) == 2


def test_what_is_no_such_file(tmp_path: Path):
    with pytest.raises(InputError, match="give MultiPersonTestSet"):
        list(read_mupots(tmp_path))
    folder = tmp_path / "TS1"
    folder.mkdir()
    (folder / "annot.mat").write_bytes(b"MATLAB no")
    with pytest.raises(InputError, match="download it anew"):
        list(read_mupots(tmp_path))
    savemat(folder / "annot.mat", {"others": np.zeros(3)})
    with pytest.raises(InputError, match="download it anew"):
        list(read_mupots(tmp_path))
    cells = np.empty((1, 1), object)
    cells[0, 0] = {"annot2": np.zeros((2, 17)), "isValidFrame": 1}
    savemat(folder / "annot.mat", {"annotations": cells})
    with pytest.raises(InputError, match="frame 0: expected annot2, annot3"):
        list(read_mupots(tmp_path))
    cells[0, 0] = {name: np.zeros((2, 17)) for name in ("annot2", "annot3", "univ_annot3")} | {
        "isValidFrame": 1
    }
    savemat(folder / "annot.mat", {"annotations": cells})
    with pytest.raises(InputError, match=r"expected annot3 of shape \(3, 17\)"):
        list(read_mupots(tmp_path))
