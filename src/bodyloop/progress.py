"""A progress bar beneath lines of text, and how fast long work is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

COMPILING = "first run: compiling the solver for this machine, about half a minute ..."


def printable(text: str) -> str:
    """Text without what a terminal cannot show, or obeys: odd bytes of file names, control characters."""
    return "".join(c if c.isprintable() else "?" for c in text)


class Bar:
    """A progress bar that is shown; see `progress_bar`."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._began = time.time()

    def show(self, done: int, total: int | None, text: str) -> None:
        """How much of how much is done, and what is being done."""
        self._progress.update(self._task, completed=done, total=total, description=printable(text))

    def say(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(printable(text))

    def say_when(self, text: str) -> None:
        """The same, with the time since the bar was first shown."""
        self.say(f"[{time.time() - self._began:5.0f} s] {text}")

    def say_compiling(self, *kernels: str) -> None:
        """That a kernel has to be compiled, the solver's if none is named, if so."""
        from bodyloop.fit.first_use import must_compile

        if must_compile() or any(must_compile(kernel) for kernel in kernels):
            self.say(COMPILING)


@contextmanager
def progress_bar(counts: bool = True) -> Iterator[Bar]:
    """Show a progress bar on stderr, if that is a terminal; it goes at the end.

    Args:
        counts: whether the bar says "done/total"; otherwise the texts do.
    """
    console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
    columns = [SpinnerColumn(), BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn()]
    columns.append(TextColumn("{task.description}", markup=False))
    if not counts:
        del columns[2]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, progress.add_task("starting", total=None))


class Counted:
    """How many things long work has made, and how fast; what was there when it began does not count.

    Attributes:
        before: that were there.
        made: since.
        seconds: since, never 0.
        rate: of things made a second.
    """

    def __init__(self) -> None:
        self.before, self.made, self.seconds, self.rate = 0, 0, 0.0, 0.0
        self._began: float | None = None

    def count(self, done: int, now: float | None = None) -> None:
        """So many are there now; the first call says how many there were before.

        Args:
            done: things.
            now: seconds; the clock's if None.
        """
        now = time.time() if now is None else now
        if self._began is None:
            self._began, self.before = now, done
        self.made, self.seconds = done - self.before, max(now - self._began, 1e-3)
        self.rate = self.made / self.seconds


class Rate:
    """How fast a long run of several parts is, and how long it will take.

    Attributes:
        line: of the last thing that was done, for the end.
    """

    def __init__(self) -> None:
        self.what, self.line, self._counted = "", "", Counted()

    def words(self, what: str, done: int, wanted: int, now: float) -> str:
        """A line for the progress bar.

        Args:
            what: is being done; another word begins anew.
            done, wanted: how much of how much; what was done when it began does not count.
            now: seconds.
        """
        if what != self.what:
            self.what, self.line, self._counted = what, "", Counted()
        counted = self._counted
        counted.count(done, now)
        if what == "reading":
            return f"reading: {done / 1e6:,.0f} of {wanted / 1e6:,.0f} MB"
        if not counted.made:
            return f"{what}: {done:,} of {wanted:,}"
        rate = f"{counted.rate:,.0f} a second"
        self.line = f"{counted.made:,} people in {counted.seconds:,.0f} s, {rate}"
        return f"{what}: {done:,} of {wanted:,}, {rate}, {_span((wanted - done) / counted.rate)} left"


def _span(seconds: float) -> str:
    """A time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
