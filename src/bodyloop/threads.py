"""How many threads linear algebra takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra on one thread: sums in the same order on every machine, and no time lost to sharing work that is
    too small for it (a second thread makes factors of matrices of 75 rows two to four times slower)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
