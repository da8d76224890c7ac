"""Where files of people are labelled: in this process, in several, or on the machines of a Ray cluster.

All three do the same: they take crowds and give back, in any order, what becomes the files of labels. Only the
process that asked writes. A worker that dies costs nothing but time: its crowd is given to another.
"""

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch

from bodyloop.annotate.labelling import label_crowd
from bodyloop.annotate.methods import Settings
from bodyloop.data.crowd import Crowd, npz_bytes
from bodyloop.errors import InputError
from bodyloop.processes import end_with_parent
from bodyloop.threads import one_thread

AHEAD = 2
"""Crowds given out for each worker: one that it works on, and the next."""
RETRIES = 20
"""Times that a crowd is given out again after its worker died, before this is taken for its own fault."""


@dataclass(frozen=True)
class Task:
    """A crowd to be labelled, with its file's number."""

    number: int
    crowd: Crowd


@dataclass(frozen=True)
class Outcome:
    """A labelled crowd.

    Attributes:
        number: of the file.
        data: the file.
        people: how many are in it.
        failures: id and reason of those who are not.
        seconds: that it took.
    """

    number: int
    data: bytes
    people: int
    failures: tuple[tuple[str, str], ...]
    seconds: float


def labelled_file(task: Task, settings: Settings) -> Outcome:
    """Label a crowd. The file says for whom nothing was found, too; where that is everybody, it says nothing else.

    Raises:
        InputError: if the settings are no good for anybody.
    """
    began = _now()
    labels, failures = label_crowd(task.crowd, settings)
    failed = np.array(json.dumps(failures))
    data = npz_bytes({"failures": failed}) if labels is None else labels.to_bytes(failures=failed)
    people = 0 if labels is None else len(labels)
    return Outcome(task.number, data, people, tuple(failures), _now() - began)


def _now() -> float:
    """Processor time of this process: what the work costs, whoever else uses the machine."""
    times = os.times()
    return times.user + times.system


def run_here(tasks: Iterable[Task], settings: Settings) -> Iterator[Outcome]:
    """Label crowds in this process, one after the other."""
    for task in tasks:
        with one_thread():  # sums in another order would be other numbers
            outcome = labelled_file(task, settings)
        yield outcome


def run_in_processes(tasks: Iterable[Task], settings: Settings, workers: int) -> Iterator[Outcome]:
    """Label crowds in so many processes of this machine.

    Raises:
        InputError: if the settings are no good, or workers die again and again.
    """
    waiting, tries = iter(tasks), dict[int, int]()
    again: list[Task] = []
    while True:
        with _pool(workers) as pool:
            given: dict[Future[Outcome], Task] = {}
            try:
                while True:
                    while len(given) < workers * AHEAD:
                        task = again.pop(0) if again else next(waiting, None)
                        if task is None:
                            break
                        given[pool.submit(labelled_file, task, settings)] = task
                    if not given:
                        return
                    done, _ = wait(given, return_when=FIRST_COMPLETED)
                    for future in sorted(done, key=lambda f: given[f].number):
                        outcome = future.result()
                        del given[future]
                        yield outcome
            except BrokenProcessPool:
                again = sorted(given.values(), key=lambda task: task.number)
                _count(tries, again)


def _count(tries: dict[int, int], lost: list[Task]) -> None:
    """Note that workers died with these.

    Raises:
        InputError: if it happened too often.
    """
    for task in lost:
        tries[task.number] = tries.get(task.number, 0) + 1
        if tries[task.number] > RETRIES:
            raise InputError(
                f"workers died {RETRIES} times on file {task.number:06d}, out of memory perhaps; give fewer --workers "
                "or smaller files with --per-file"
            )


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin_worker)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin_worker() -> None:
    """One core a worker, which ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with its parent, which says what there is to say
    _use_one_core()
    end_with_parent()


def _use_one_core() -> None:
    torch.set_num_threads(1)
    import numba

    numba.set_num_threads(1)


def run_on_ray(tasks: Iterable[Task], settings: Settings, address: str) -> Iterator[Outcome]:
    """Label crowds on a Ray cluster, one a core of it, or one a GPU. The images, if any are needed, are read by the
    workers.

    Args:
        tasks: the crowds.
        settings: of the labels.
        address: of the cluster, "auto" for the one that ``ray start --head`` began here, or "local" for one of this
            machine alone that ends with the run.

    Raises:
        InputError: no Ray, no cluster at the address or one without the device, settings that are no good, or workers
            that die again and again.
    """
    ray = load_ray()
    started = not ray.is_initialized()
    try:
        ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
    except Exception as error:  # whatever a cluster that cannot be reached makes Ray raise
        raise InputError(
            f"--ray {address}: no Ray cluster can be reached there ({error}); start one with 'ray start --head', or "
            "give its address"
        ) from None
    waiting, given = iter(tasks), dict[Any, Task]()
    try:
        wants = {"CPU": 1} if settings.device == "cpu" else {"CPU": 1, "GPU": 1}
        if ray.cluster_resources().get("GPU", 0) < wants.get("GPU", 0):
            raise InputError(
                f"--device {settings.device}: expected a GPU in the Ray cluster, got none; give cpu, or start its "
                "machines with 'ray start --num-gpus'"
            )
        label = ray.remote(num_cpus=1, num_gpus=wants.get("GPU", 0), max_retries=RETRIES)(_on_worker)
        shared = ray.put(settings)
        while True:
            resources = ray.cluster_resources()
            workers = min(int(resources.get(name, 1)) for name in wants)
            room = max(1, workers) * AHEAD - len(given)
            for task in islice(waiting, max(0, room)):
                given[label.remote(task, shared)] = task
            if not given:
                return
            done, _ = ray.wait(list(given), num_returns=1)
            for reference in done:
                yield _got(ray, reference)
                del given[reference]
    finally:
        for reference in given:
            ray.cancel(reference, force=False)
        if started:
            ray.shutdown()


def _on_worker(task: Task, settings: Settings) -> Outcome | str:
    """What runs on a cluster; a complaint about the settings comes back as text."""
    _use_one_core()
    try:
        return labelled_file(task, settings)
    except InputError as error:
        return str(error)


def _got(ray: Any, reference: Any) -> Outcome:
    try:
        outcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        raise InputError(
            f"--ray: the cluster lost a piece of work for good ({error}); run again to go on"
        ) from None
    if isinstance(outcome, str):
        raise InputError(outcome)
    found: Outcome = outcome
    return found


def load_ray() -> Any:
    """Ray's module.

    Raises:
        InputError: if it is not installed.
    """
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise InputError("--ray needs Ray: pip install 'bodyloop[ray]'") from None
    return ray


Runner = Callable[[Iterable[Task]], Iterator[Outcome]]


def choose_runner(settings: Settings, workers: int, ray: str | None) -> Runner:
    """How crowds are labelled: on Ray if an address is given, else in so many processes, else (0) in this one.

    Raises:
        InputError: if Ray is wanted and not installed.
    """
    if ray is not None:
        load_ray()
        return lambda tasks: run_on_ray(tasks, settings, ray)
    if workers == 0:
        return lambda tasks: run_here(tasks, settings)
    return lambda tasks: run_in_processes(tasks, settings, workers)
