"""Workers do not outlive who started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PARENT = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from bodyloop.processes import end_with_parent

def work(file):
    open(file, "w").write(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), end_with_parent)
    pool.submit(work, sys.argv[1]).result()
"""


def there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_worker_ends_with_a_parent_that_is_killed(tmp_path: Path):
    script, said = tmp_path / "parent.py", tmp_path / "worker"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script), str(said)])
    try:
        until = time.monotonic() + 60
        while not (said.exists() and said.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        worker = int(said.read_text())
        assert there(worker)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        while there(worker) and time.monotonic() < until:
            time.sleep(0.05)
        assert not there(worker)
    finally:
        parent.kill()
