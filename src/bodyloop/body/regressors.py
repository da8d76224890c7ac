"""Joint regressors that data sets bring: matrices that give their joints as weighted means of a body's vertices."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bodyloop.body.model import BodyModel
from bodyloop.body.skeletons import H36M17, Skeleton
from bodyloop.errors import InputError


def read_joint_regressor(path: str | Path, body: BodyModel, skeleton: Skeleton = H36M17) -> Tensor:
    """A regressor (K, V) from a ``.npy`` file, such as ``J_regressor_h36m.npy`` (17, 6890) of HMR and SPIN.

    The file does not say which joint a row gives, and versions with the right leg first circulate
    (`bodyloop.body.skeletons.H36M17_MOON`): the sides are checked on the body at rest.

    Args:
        path: plain array.
        body: whose vertices it is for; give SMPL's for SMPL's regressors.
        skeleton: names of the rows.

    Returns:
        On the body's device, in its precision.

    Raises:
        InputError: if the file cannot be read, has another shape, has rows that do not sum to 1, or gives left joints
            on the right.
    """
    try:
        matrix = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); give a joint regressor's .npy file"
        ) from None
    except Exception as error:  # damaged files fail in many ways, pickled ones with ValueError
        raise InputError(f"{path}: not a readable .npy file of a plain array ({error})") from None
    want = len(skeleton), len(body.v_template)
    if not isinstance(matrix, np.ndarray) or matrix.shape != want or matrix.dtype.kind not in "fiu":
        got = f"{matrix.dtype} {matrix.shape}" if isinstance(matrix, np.ndarray) else "an archive of arrays"
        raise InputError(
            f"{path}: expected numbers of shape {want}, a row for each of the {len(skeleton)} joints of "
            f"{skeleton.name} and a column for each vertex of the body {body.name!r}, got {got}"
        )
    sums = matrix.sum(1)
    if not np.isfinite(matrix).all() or np.abs(sums - 1).max() > 0.02:
        raise InputError(
            f"{path}: every row should sum to 1, as weights of a mean do, got {sums.min():.3f} to {sums.max():.3f}"
        )
    regressor = torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32)).to(body.v_template)
    across = (regressor @ body.v_template)[:, 0].tolist()  # x points to the body's left
    names = skeleton.keypoints
    wrong = [n for n, x in zip(names, across, strict=True) if x * _side(n) < -0.01]
    if wrong:
        raise InputError(
            f"{path}: gives {', '.join(wrong)} on the other side of the body; its rows are in another order than "
            f"{skeleton.name} (some files have the right leg first: h36m17_moon)"
        )
    return regressor


def _side(name: str) -> int:
    return 1 if name.startswith("left_") else -1 if name.startswith("right_") else 0
