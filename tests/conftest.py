"""What several rooms' tests share."""

import os
from pathlib import Path

import numpy as np
import pytest

from bodyloop.body import BodyModel, builtin_body
from made_up import smpl_file_arrays


def shared_data() -> Path | None:
    """The motion capture and photos that developers have beside the repository, or None."""
    path = Path(os.environ.get("BODYLOOP_DATA", Path(__file__).parents[2] / "shared" / "data"))
    return path if path.is_dir() else None


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return builtin_body()


@pytest.fixture(scope="session")
def smpl_arrays() -> dict[str, np.ndarray]:
    return smpl_file_arrays()
