"""Parquet files that are none of ours."""

from pathlib import Path

import pytest

from bodyloop.data.formats import open_dataset
from bodyloop.errors import InputError

pyarrow = pytest.importorskip("pyarrow")


def test_other_columns(tmp_path: Path):
    import pyarrow.parquet as parquet

    parquet.write_table(pyarrow.table({"a": [1, 2]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="expected a Parquet file of 'bodyloop annotate'"):
        open_dataset(tmp_path / "a.parquet")


def test_damaged(tmp_path: Path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(InputError, match="got something else"):
        open_dataset(tmp_path / "a.parquet")
