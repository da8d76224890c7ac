"""Runs that are killed go on as if they had not been, and states of other runs are refused."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from bodyloop.data.poses import PoseSet
from bodyloop.errors import InputError
from bodyloop.train.checkpoint import Checkpoint
from bodyloop.train.flow import FlowConfig, train_flow

POSES = PoseSet(
    torch.randn(200, 72, generator=torch.Generator().manual_seed(0)) * 0.2,
    torch.full((200,), 1 / 200),
    torch.zeros(200, dtype=torch.long),
)
CONFIG = FlowConfig("axis_angle", depth=2, hidden=(8,), noise=0.1, steps=7, batch=16, seed=3)
Run = Callable[..., torch.nn.Module]


class Killed(Exception):
    pass


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Trains the small flow, with a state every second step; killed at the report of a step if one is given."""
    monkeypatch.setattr("bodyloop.train.flow.REPORT_EVERY", 2)
    monkeypatch.setattr("bodyloop.train.flow.WHITENED_ON", 2000)

    def train(
        path: Path | None,
        config: FlowConfig = CONFIG,
        killed_at: int | None = None,
        said: list[str] | None = None,
    ) -> torch.nn.Module:
        def report(text: str) -> None:
            if said is not None:
                said.append(text)
            if killed_at is not None and text.startswith(f"step {killed_at}/"):
                raise Killed

        return train_flow(POSES, POSES, config, report, path)

    return train


@pytest.mark.parametrize("killed_at", [[4], [2, 6], [4, 4, 7]])
def test_a_killed_run_gives_the_weights_of_one_that_never_stopped(
    tmp_path: Path, run: Run, killed_at: list[int]
):
    whole = run(None)
    path = tmp_path / "flow.ckpt"
    for step in killed_at:  # in the report, before the state of this step is kept
        with pytest.raises(Killed):
            run(path, killed_at=step)
    torch.randn(5)  # what else the process draws does not matter
    again = run(path)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not path.exists(), "a run that has ended leaves no state"
    assert not list(tmp_path.iterdir())


def test_the_restarted_run_does_only_what_is_left(tmp_path: Path, run: Run):
    path, said = tmp_path / "flow.ckpt", []
    with pytest.raises(Killed):
        run(path, killed_at=6)
    run(path, said=said)
    assert [text.split("/")[0] for text in said] == ["step 6", "step 7"]


def test_a_kill_while_writing_leaves_the_state_before(tmp_path: Path, run: Run, monkeypatch):
    path = tmp_path / "flow.ckpt"
    with pytest.raises(Killed):
        run(path, killed_at=4)
    before = path.read_bytes()

    def half(state: dict, partial: Path) -> None:
        partial.write_bytes(b"half")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(Killed):
            run(path)
    assert path.read_bytes() == before
    whole, again = run(None), run(path)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


@pytest.mark.parametrize("change", [{"steps": 8}, {"seed": 4}, {"hidden": (9,)}, {"rate": 1e-3}])
def test_the_state_of_other_settings_is_refused(tmp_path: Path, run: Run, change: dict):
    path = tmp_path / "flow.ckpt"
    with pytest.raises(Killed):
        run(path, killed_at=4)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"flow\.ckpt is the state of a run with other settings; delete it"):
        run(path, config=replace(CONFIG, **change))
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "other"])
def test_a_damaged_state_is_refused(tmp_path: Path, run: Run, damage: str):
    path = tmp_path / "flow.ckpt"
    with pytest.raises(Killed):
        run(path, killed_at=4)
    if damage == "other":
        torch.save({"weights": torch.zeros(3)}, path)
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "text": b"no state", "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(
        InputError, match=r"flow\.ckpt is not a training state .*; delete it to start anew"
    ) as caught:
        run(path)
    assert "weights_only" not in str(caught.value), "torch's advice to unpickle freely is not passed on"


class Trap:
    """Does something when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("save", [torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap, 2))])
def test_a_state_runs_no_code(tmp_path: Path, run: Run, save: Callable[[Trap, Path], object]):
    path, touched = tmp_path / "flow.ckpt", tmp_path / "touched"
    save(Trap(touched), path)
    with pytest.raises(InputError, match="is not a training state"):
        run(path)
    assert not touched.exists()


@dataclass(frozen=True)
class Settings:
    steps: int = 3


def test_without_a_file_nothing_is_kept(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    layer, generator = torch.nn.Linear(2, 2), torch.Generator()
    nothing = Checkpoint(None, Settings())
    nothing.keep({"layer": layer}, generator, 2)
    assert nothing.restore({"layer": layer}, generator) == 0
    nothing.done()
    assert not list(tmp_path.iterdir())


def test_all_random_draws_go_on_where_they_were(tmp_path: Path):
    state = Checkpoint(tmp_path / "a.ckpt", Settings())
    layer, generator = torch.nn.Linear(2, 2), torch.Generator().manual_seed(5)
    torch.manual_seed(6)
    state.keep({"layer": layer}, generator, 2)
    drawn = torch.randn(3), torch.randn(3, generator=generator)
    other, fresh = torch.nn.Linear(2, 2), torch.Generator()
    assert state.restore({"layer": other}, fresh) == 2
    assert torch.equal(other.weight, layer.weight)
    assert torch.equal(drawn[0], torch.randn(3))
    assert torch.equal(drawn[1], torch.randn(3, generator=fresh))
    state.done()
    state.done()  # twice does not matter
    assert state.restore({"layer": other}, fresh) == 0
