"""Errors a person can act on: what is wrong, where, and what to do, and never a private value.

Every error the project raises on purpose is a :class:`SynthError`. Its text is written by us from
names, counts and places; text from a library (pandas, pyarrow, torch, pydantic) may quote data, so it
is never interpolated. Code that touches private data runs inside :func:`private_boundary`, which turns
any foreign exception into an :class:`InternalError` without a cause, so that no log, scheduler or
traceback can carry a value out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import traceback
from collections.abc import Iterator
from pathlib import Path


class SynthError(Exception):
    """A failure with a place and a remedy. ``exit_code`` is the command line's exit status."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        self.what, self.where, self.todo = what, where, todo
        super().__init__(self.render())

    def render(self) -> str:
        """The message as shown to a person: one block of at most a few lines."""
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.todo:
            lines.append(f"  what to do: {self.todo}")
        return "\n".join(lines)


class UserError(SynthError):
    """The contract or the input is wrong (exit 2)."""

    exit_code = 2


class Problems(UserError):
    """Several user errors found in one pass, shown together."""

    def __init__(self, problems: list[UserError], *, shown: int = 12) -> None:
        self.problems = problems
        self.shown = shown
        super().__init__(f"{len(problems)} problem{'s' if len(problems) != 1 else ''} found")

    def render(self) -> str:
        blocks = [p.render() for p in self.problems[: self.shown]]
        rest = len(self.problems) - len(blocks)
        if rest > 0:
            blocks.append(f"... and {rest} more; fix these first")
        return "\n".join(blocks)


class VerificationError(UserError):
    """A release is not what its signature says (exit 2)."""


class Unavailable(UserError):
    """Something outside, such as a store, did not answer; the same call may work a little later."""


class Rejected(SynthError):
    """A gate stopped the release (exit 3). Nothing was published."""

    exit_code = 3


class InternalError(SynthError):
    """Our fault (exit 1). The private log has the traceback; this text has none of it."""


class Interrupted(SynthError):
    """Stopped by the user (exit 130); the run can be resumed."""

    exit_code = 130


def _disk_full(error: BaseException | None) -> bool:
    """Whether this error comes of a full disk or quota; libraries in Rust tell it in their text only."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def private_boundary(stage: str, private_log: Path | None = None) -> Iterator[None]:
    """Let only :class:`SynthError` out; anything else becomes a value-free :class:`InternalError`.

    The traceback goes to ``private_log`` (inside the private half of the workspace) and nowhere else.
    ``KeyboardInterrupt`` and ``SystemExit`` pass unchanged; ``MemoryError`` and a full disk get a
    remedy of their own.
    """
    try:
        yield
    except SynthError:
        raise
    except MemoryError:
        raise InternalError(
            f"stage {stage!r} ran out of memory",
            todo="lower synthesis.training.maxRows in the contract or use a machine with more memory",
        ) from None
    except Exception as error:  # the one place where everything is caught: the private border
        kind, place = type(error).__name__, "the private log could not be written"
        full = _disk_full(error)
        if private_log is not None:
            with contextlib.suppress(OSError):
                private_log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with private_log.open("a", encoding="utf-8") as log:
                    log.write(f"--- stage {stage}\n{traceback.format_exc()}\n")
                private_log.chmod(0o600)
                place = str(private_log)
        if full:
            raise UserError(
                f"the disk is full (stage {stage!r})",
                where=str(private_log.parent) if private_log else "",
                todo="free some space, then go on with --resume; nothing was published",
            ) from None
        raise InternalError(
            f"stage {stage!r} failed with {kind}", where=place,
            todo="read the private log (it may quote private data; do not send it around)",
        ) from None
