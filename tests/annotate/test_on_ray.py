"""The same annotation on a Ray cluster of two workers, one of which is killed on the way."""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from bodyloop.annotate import workers
from bodyloop.annotate.campaign import Campaign, LabelFolder, annotate
from bodyloop.annotate.methods import Settings
from bodyloop.annotate.reading import read_people
from bodyloop.annotate.workers import AHEAD, RETRIES, Task, choose_runner, run_on_ray
from bodyloop.body import BodyModel
from bodyloop.data.crowd import Crowd
from bodyloop.errors import InputError
from coco_made_up import coco_people, write_json

SETTINGS = Settings(starts=("lifter", "mean"), focal=1200.0)


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'bodyloop\[ray\]'"):
        next(run_on_ray(iter(()), SETTINGS, "auto"))


class PretendedRay(ModuleType):
    """As much of Ray as is used, in this process; notes what it is asked for."""

    class exceptions:
        RayError = KeyError

    def __init__(self, running: bool = False, **resources: float) -> None:
        super().__init__("ray")
        self.running, self.resources = running, resources
        self.asked: dict[str, Any] = {}

    def is_initialized(self) -> bool:
        return self.running

    def init(self, address: str, **_: Any) -> None:
        self.asked["address"], self.running = address, True

    def shutdown(self) -> None:
        self.running = False

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Callable[[Any], Any]:
        self.asked |= options
        return lambda call: SimpleNamespace(remote=lambda *given: lambda: call(*given))

    def wait(self, given: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        return given[:num_returns], given[num_returns:]

    def get(self, reference: Callable[[], Any]) -> Any:
        return reference()

    def cancel(self, reference: Any, force: bool) -> None:
        pass


@pytest.fixture
def crowd(body: BodyModel, tmp_path: Path) -> Crowd:
    coco = write_json(tmp_path / "coco.json", coco_people(body, 1))
    return read_people(coco, tmp_path / "people", 1, 6).load(0)


def pretend(monkeypatch: pytest.MonkeyPatch, ray: PretendedRay) -> PretendedRay:
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", ray.exceptions)
    return ray


def test_a_local_cluster_is_its_own_and_ends_with_the_run(crowd: Crowd, monkeypatch):
    """None for an address would join whatever cluster runs here."""
    ray = pretend(monkeypatch, PretendedRay(CPU=2))
    outcomes = list(run_on_ray([Task(7, crowd)], SETTINGS, "local"))
    assert [(done.number, done.people) for done in outcomes] == [(7, 1)]
    assert ray.asked == {"address": "local", "num_cpus": 1, "num_gpus": 0, "max_retries": RETRIES}
    assert not ray.running


def test_who_was_connected_before_stays_so(monkeypatch):
    ray = pretend(monkeypatch, PretendedRay(running=True, CPU=2))
    assert list(run_on_ray([], SETTINGS, "auto")) == []
    assert ray.running


def test_workers_ask_for_the_gpu_that_they_use(monkeypatch):
    settings = replace(SETTINGS, device="cuda")
    ray = pretend(monkeypatch, PretendedRay(CPU=8, GPU=2))
    given = [Task(number, cast(Crowd, None)) for number in range(20)]
    monkeypatch.setattr(workers, "labelled_file", lambda task, settings: task.number)
    left = iter(given)
    running = run_on_ray(left, settings, "auto")
    assert next(running) == 0
    assert next(left).number == 2 * AHEAD, "no more than the GPUs can take"
    assert ray.asked["num_gpus"] == 1
    running.close()
    assert not ray.running
    pretend(monkeypatch, PretendedRay(CPU=8))
    with pytest.raises(InputError, match="expected a GPU in the Ray cluster"):
        next(run_on_ray(given, settings, "auto"))


@pytest.mark.slow
def test_a_worker_is_killed(body: BodyModel, tmp_path: Path):
    ray = pytest.importorskip("ray")
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    people = 120
    coco = write_json(tmp_path / "coco.json", coco_people(body, people))
    annotate(Campaign(coco, tmp_path / "whole", SETTINGS, 4), choose_runner(SETTINGS, 0, None))
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    done: list[int] = []
    killed = threading.Event()

    def progress(what: str, count: int, wanted: int) -> None:
        done.append(count)
        if count >= people // 4 and not killed.is_set():
            killed.set()
            threading.Thread(target=cluster.remove_node, args=(nodes[0], False)).start()

    try:
        began = time.time()
        out = tmp_path / "on ray"
        finished = annotate(
            Campaign(coco, out, SETTINGS, 4), choose_runner(SETTINGS, 0, cluster.address), progress=progress
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert killed.is_set()
    assert time.time() - began < 280
    assert finished.people == people
    assert finished.failures == ()
    assert LabelFolder.open(out).complete
    for file in (tmp_path / "whole" / "labels").iterdir():
        assert (out / "labels" / file.name).read_bytes() == file.read_bytes(), file.name
