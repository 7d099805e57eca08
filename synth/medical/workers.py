"""Reading files in several processes, which also keeps a decoder that crashes on a broken file from ending the run.

Processes of our own rather than a pool of :mod:`multiprocessing`: those run the caller's script again when they
start, and a pool that lost a process does not say which item it died of. Items and results go through pipes.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

WORTHWHILE = 400  # items; fewer are done sooner than processes have started
MOST = 8  # processes
_START = """import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from synth.medical.workers import serve
serve()"""
_READY = "ready"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def each(function: Callable[[Item], Result], items: Sequence[Item], *, died: Result) -> Iterator[Result]:
    """``function`` of each item, in order; ``died`` for an item whose process did not survive it.

    ``function`` and items have to be picklable. Few items, or one core, are worked on in this process, where a crash
    is a crash. An exception of ``function`` ends the iteration as :class:`RuntimeError` with its traceback as text.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if len(items) < WORTHWHILE or cores == 1:
        yield from map(function, items)
        return
    idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
    workers = [_Process(function) for _ in range(min(cores, MOST))]
    for worker in workers:
        idle.put(worker)

    def work(item: Item) -> Result:
        worker = idle.get()
        try:
            found: Result = worker(item)
            return found
        except (EOFError, BrokenPipeError, pickle.UnpicklingError):
            worker.restart()
            return died
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(len(workers))
    try:
        yield from threads.map(work, items)
    finally:
        for worker in workers:
            worker.stop()
        threads.shutdown(wait=True, cancel_futures=True)
        for worker in workers:
            worker.restart()


class _Process:
    """One process that applies a function to what it is sent; started when first asked."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.process: subprocess.Popen[bytes] | None = None
        self.ended = False

    def __call__(self, item: Any) -> Any:
        if self.ended:
            raise RuntimeError("reading was stopped")
        if self.process is None:
            self._start()
        answer: tuple[bool, Any] = self._ask(item)
        if not answer[0]:
            raise RuntimeError(answer[1])
        return answer[1]

    def _start(self) -> None:
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}  # there is one of them for every core
        self.process = subprocess.Popen([sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, env=environment, start_new_session=True)
        if self.ended:  # stopped meanwhile
            self.process.kill()
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            pickle.dump(sys.path, self.process.stdin)
            pickle.dump(self.function, self.process.stdin)
            self.process.stdin.flush()
            ready = pickle.load(self.process.stdout) == _READY
        except (EOFError, BrokenPipeError):
            ready = False
        if not ready and not self.ended:  # not the fault of any file
            raise RuntimeError("a process that reads files did not start")

    def _ask(self, item: Any) -> Any:
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        pickle.dump(item, self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)

    def restart(self) -> None:
        """Be done with a process, dead or not; the next item gets another one."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(OSError):
                    if pipe is not None:
                        pipe.close()
        self.process = None

    def stop(self) -> None:
        """No more items, from another thread: what is being worked on is lost, its pipes are left alone."""
        self.ended = True
        if (process := self.process) is not None:
            process.kill()


def serve() -> None:
    """What a process does until its input ends. Libraries that print cannot spoil the answers."""
    answers = os.fdopen(os.dup(1), "wb")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    function = pickle.load(sys.stdin.buffer)
    pickle.dump(_READY, answers)
    answers.flush()
    while True:
        try:
            item = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = True, function(item)
        except Exception:
            answer = False, traceback.format_exc()
        pickle.dump(answer, answers)
        answers.flush()
