"""What a person at the terminal meets: one screen per error, exit codes, Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType

from synth.errors import Interrupted, SynthError

INTERNAL, USER, REJECTED, INTERRUPTED = 1, 2, 3, 130


def fail(error: SynthError) -> int:
    """Print the error without a traceback and return its exit code."""
    colour = sys.stderr.isatty()
    word = {USER: "error", REJECTED: "rejected", INTERRUPTED: "interrupted"}.get(error.exit_code, "internal error")
    head = f"\033[1;31m{word}:\033[0m" if colour else f"{word}:"
    print(f"{head} {error.render()}", file=sys.stderr, flush=True)
    return error.exit_code


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command; every ending becomes an exit code, and no traceback reaches the terminal.

    SIGTERM is treated like Ctrl-C. An exception that is none of ours is our fault (1); its text may quote
    private data, so only its type is printed.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return command() or 0
    except SynthError as error:
        return fail(error)
    except KeyboardInterrupt:
        return fail(Interrupted("stopped"))
    except BrokenPipeError:  # e.g. `synth runs | head`
        sys.stderr.close()
        return INTERNAL
    except Exception as error:
        from synth.errors import InternalError

        return fail(InternalError(f"the command failed with {type(error).__name__}",
                                  todo="this is a fault of the program; no private value is shown here"))
