"""The same annotation on a Ray cluster of two workers, one of which is killed on the way."""

import threading
import time
from pathlib import Path

import pytest

from bodyloop.annotate.campaign import Campaign, LabelFolder, annotate
from bodyloop.annotate.methods import Settings
from bodyloop.annotate.workers import choose_runner, run_on_ray
from bodyloop.body import BodyModel
from bodyloop.errors import InputError
from coco_made_up import coco_people, write_json

SETTINGS = Settings(starts=("lifter", "mean"), focal=1200.0)


def test_without_ray(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'bodyloop\[ray\]'"):
        next(run_on_ray(iter(()), SETTINGS, "auto"))


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
