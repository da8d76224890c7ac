from pathlib import Path

import numpy as np
import pytest
import torch

from bodyloop.body import BodyModel, read_joint_regressor
from bodyloop.body.skeletons import H36M17, H36M17_MOON, Skeleton
from bodyloop.errors import InputError


def matrix_of(body: BodyModel, skeleton: Skeleton) -> np.ndarray:
    """The body's own landmarks as a dense regressor (K, V) of its vertices; joints by its joint regressor."""
    from bodyloop.body import SMPL_JOINTS

    rows = []
    for name in skeleton.keypoints:
        row = torch.zeros(len(body.v_template))
        if name in body.landmarks:
            index, weight = body.landmarks[name]
            row[index] = weight
        else:
            row = body.joint_regressor[SMPL_JOINTS.index(name)]
        rows.append(row)
    return torch.stack(rows).double().numpy()


def test_a_file_gives_the_joints_it_was_made_of(body: BodyModel, tmp_path: Path):
    matrix = matrix_of(body, H36M17)
    np.save(tmp_path / "J.npy", matrix)
    regressor = read_joint_regressor(tmp_path / "J.npy", body)
    assert regressor.dtype == body.v_template.dtype
    assert np.allclose(regressor.numpy(), matrix, atol=1e-7)


def test_the_sides_have_to_be_those_of_the_names(body: BodyModel, tmp_path: Path):
    np.save(tmp_path / "moon.npy", matrix_of(body, H36M17_MOON))
    with pytest.raises(InputError, match=r"left_hip_extra.* other side.*h36m17_moon"):
        read_joint_regressor(tmp_path / "moon.npy", body)
    assert read_joint_regressor(tmp_path / "moon.npy", body, H36M17_MOON).shape == (17, len(body.v_template))


def test_bad_files_are_refused(body: BodyModel, tmp_path: Path):
    path = tmp_path / "J.npy"
    with pytest.raises(InputError, match="cannot be read"):
        read_joint_regressor(path, body)
    for content, why in (
        (np.zeros((17, 6890)), r"expected numbers of shape \(17, 13718\)"),
        (np.zeros((17, len(body.v_template))), "every row should sum to 1"),
        (np.full((17, len(body.v_template)), np.nan), "every row should sum to 1"),
        (np.full((17, len(body.v_template)), "a"), "expected numbers"),
        (np.array([{"a": 1}], dtype=object), "not a readable"),
    ):
        np.save(path, content, allow_pickle=True)
        with pytest.raises(InputError, match=why):
            read_joint_regressor(path, body)
    path.write_bytes(b"\x93NUMPY nonsense")
    with pytest.raises(InputError, match="not a readable"):
        read_joint_regressor(path, body)
    np.savez(tmp_path / "many.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="archive of arrays"):
        read_joint_regressor(tmp_path / "many.npz", body)
