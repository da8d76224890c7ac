"""Building a pool of candidates, from the command line down."""

from pathlib import Path

import pytest

from bodyloop.cli import main
from bodyloop.fit.pool import CandidatePool
from motion_folder import made_up_mocap


def test_a_pool_and_its_card_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("sklearn")
    mocap, out = made_up_mocap(tmp_path / "mocap", s01=12, s09=4), tmp_path / "new" / "mine.npz"
    status = main(
        [
            "pool",
            "build",
            "--mocap",
            str(mocap),
            "-o",
            str(out),
            "--poses",
            "8",
            "--turns",
            "5",
            "--angle",
            "5",
        ]
    )
    said = capsys.readouterr().out
    assert status == 0
    pool = CandidatePool.load(out)
    assert pool.pose.shape == (8, 72)
    assert pool.turns.shape == (5, 3, 3)
    card = out.with_suffix(".md").read_text()
    assert card in said
    assert "8 poses under 5 orientations, 40." in card
    assert "--poses 8 --turns 5 --angle 5.0" in card
    assert sorted(p.name for p in out.parent.iterdir()) == ["mine.md", "mine.npz"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-o", "pool.txt"], "ends in .npz"),
        (["--poses", "0"], "at least 1"),
        (["--angle", "200"], "between 0 and 180"),
        ([], "distinct poses"),
    ],
)
def test_what_cannot_be_built_is_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    reason: str,
):
    mocap = made_up_mocap(tmp_path / "mocap", s01=6, s09=4)
    monkeypatch.chdir(tmp_path)
    assert main(["pool", "build", "--mocap", str(mocap), *options]) == 2
    assert reason in " ".join(capsys.readouterr().err.split())
