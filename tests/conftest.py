"""What several rooms' tests share."""

import numpy as np
import pytest

from bodyloop.body import BodyModel, builtin_body
from made_up import smpl_file_arrays


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return builtin_body()


@pytest.fixture(scope="session")
def smpl_arrays() -> dict[str, np.ndarray]:
    return smpl_file_arrays()
