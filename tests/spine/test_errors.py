import errno
import stat

import pytest

from synth.errors import InternalError, Interrupted, Problems, Rejected, UserError, private_boundary

SECRET = "Ottilie Quandt, 1931-02-07"


def test_a_foreign_exception_loses_its_text_and_its_cause(tmp_path):
    log = tmp_path / "private" / "log.txt"
    with pytest.raises(InternalError) as caught, private_boundary("ingest", log):
        try:
            {}[SECRET]
        except KeyError as error:
            raise ValueError(f"bad cell {SECRET}") from error
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert "ValueError" in str(caught.value) and "ingest" in str(caught.value)
    assert SECRET in log.read_text(), "the private log must keep the traceback"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_our_own_errors_pass_unchanged(tmp_path):
    error = UserError("no such file", where="contract.yaml:3", todo="correct the path")
    with pytest.raises(UserError) as caught, private_boundary("ingest", tmp_path / "log"):
        raise error
    assert caught.value is error
    assert str(error).splitlines() == ["no such file", "  where: contract.yaml:3", "  what to do: correct the path"]


def test_keyboard_interrupt_is_not_swallowed(tmp_path):
    with pytest.raises(KeyboardInterrupt), private_boundary("fit", tmp_path / "log"):
        raise KeyboardInterrupt


def test_a_full_disk_is_named_as_one(tmp_path):
    with pytest.raises(UserError, match="disk is full"), private_boundary("generate", tmp_path / "log"):
        raise OSError(errno.ENOSPC, "No space left", SECRET)


def test_memory_has_its_own_remedy():
    with pytest.raises(InternalError, match="out of memory"), private_boundary("fit"):
        raise MemoryError


def test_exit_codes_are_the_documented_ones():
    errors = (UserError("x"), Rejected("x"), InternalError("x"), Interrupted("x"))
    assert [e.exit_code for e in errors] == [2, 3, 1, 130]


def test_many_problems_fit_on_one_screen():
    shown = Problems([UserError(f"p{i}") for i in range(40)]).render().splitlines()
    assert len(shown) <= 24 and shown[-1] == "... and 28 more; fix these first"


@pytest.mark.parametrize("how", ["chained", "told", "quota"])
def test_a_full_disk_is_seen_behind_a_library_s_own_error(tmp_path, how):
    """safetensors tells it in words, others raise their own error from it."""
    with pytest.raises(UserError, match="disk is full"), private_boundary("fit", tmp_path / "log"):
        if how == "told":
            raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
        try:
            raise OSError(28 if how == "chained" else 122, "x")
        except OSError as error:
            raise RuntimeError("could not be saved") from error
