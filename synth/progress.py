"""Progress that a person can watch and a log can keep.

On a terminal: one rich bar per step with an estimate. Without one: a line at the start, at the end and
every ``every`` seconds between. Steps carry names and counts only, never values.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Protocol

Watch = Callable[[float, str, float], None]  # (share of a part that is done, value-free remark, seconds left)


def unwatched(share: float, note: str, left: float) -> None:
    """A :data:`Watch` of nobody."""


class Step(Protocol):
    """One running step."""

    def update(self, done: float, note: str = "", left: float | None = None) -> None:
        """``done`` of the step's total is finished; ``note`` is a short value-free remark.

        ``left``: seconds to go, from who knows better than what is done says.
        """


class Progress(Protocol):
    """Something that shows steps."""

    def step(self, name: str, total: float) -> contextlib.AbstractContextManager[Step]:
        """Open a step of ``total`` units."""

    def say(self, line: str) -> None:
        """One line for the person watching."""


class _SilentStep:
    def update(self, done: float, note: str = "", left: float | None = None) -> None:
        pass


class Silent:
    """Shows nothing (tests, library use)."""

    @contextlib.contextmanager
    def step(self, name: str, total: float) -> Iterator[Step]:
        yield _SilentStep()

    def say(self, line: str) -> None:
        pass


class _LineStep:
    def __init__(self, name: str, total: float, every: float) -> None:
        self.name, self.total, self.every = name, total, every
        self.start = self.last = time.monotonic()

    def update(self, done: float, note: str = "", left: float | None = None) -> None:
        now = time.monotonic()
        if now - self.last < self.every or done <= 0:
            return
        self.last = now
        left = (now - self.start) * (self.total - done) / done if left is None else left
        print(f"{self.name}: {100 * done / self.total:.0f} %, about {left:.0f} s left {note}".rstrip(),
              file=sys.stderr, flush=True)


class Lines:
    """A line now and then, for logs."""

    def __init__(self, every: float = 15.0) -> None:
        self.every = every

    @contextlib.contextmanager
    def step(self, name: str, total: float) -> Iterator[Step]:
        start = time.monotonic()
        yield _LineStep(name, total, self.every)
        print(f"{name}: done in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class _BarStep:
    def __init__(self, bar, task) -> None:  # type: ignore[no-untyped-def]
        self.bar, self.task = bar, task

    def update(self, done: float, note: str = "", left: float | None = None) -> None:
        self.bar.update(self.task, completed=done, note=note + ("" if left is None else f", about {left:.0f} s more"))


class Bars:
    """Rich bars on a terminal."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True)

    @contextlib.contextmanager
    def step(self, name: str, total: float) -> Iterator[Step]:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        with Bar(TextColumn("{task.description:<24}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
                 TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
                 console=self.console) as bar:
            task = bar.add_task(name, total=total, note="")
            yield _BarStep(bar, task)
            bar.update(task, completed=total)

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False)


def for_terminal() -> Progress:
    """Bars where a person is looking, lines where a log is."""
    return Bars() if sys.stderr.isatty() else Lines()
