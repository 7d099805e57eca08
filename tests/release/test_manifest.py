from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import VerificationError
from synth.release.manifest import Entry, Manifest, parse, safe_path

GOOD = Manifest(name="people", version="2026.01.02.3", created="2026-01-02T03:04:05Z", retention_until="2030-01-01",
                files=(Entry(path="data/a.parquet", sha256="a" * 64, bytes=5, rows=2),
                       Entry(path="README.md", sha256="b" * 64, bytes=7)))


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert parse(GOOD.to_bytes()) == GOOD
    assert (GOOD.rows, GOOD.size) == (2, 12)


@pytest.mark.parametrize(("place", "value"), [
    (("schema",), 2), (("name",), "../x"), (("version",), "1"), (("version",), "../../2026.01.02.3"),
    (("synthetic",), False), (("synthetic",), 1), (("retention_until",), "never"), (("retention_until",), 7),
    (("files",), {}), (("files",), None), (("files", 0, "sha256"), "A" * 64), (("files", 0, "sha256"), 7),
    (("files", 0, "bytes"), -1), (("files", 0, "bytes"), 1.5), (("files", 0, "bytes"), True),
    (("files", 0, "rows"), "2"), (("files", 0, "path"), "../up"), (("files", 0, "path"), None),
    (("files", 0, "path"), "readme.MD"), (("files", 0, "path"), "manifest.json")])
def test_anything_odd_is_refused(place: tuple[Any, ...], value: Any) -> None:
    raw: Any = json.loads(GOOD.to_bytes())
    inner = raw
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with pytest.raises(VerificationError):
        parse(json.dumps(raw).encode())


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                        st.sampled_from(["files", "name", "path", "schema", "bytes", "x"]), inner, max_size=4),
                    max_leaves=12)


@given(JSON | st.fixed_dictionaries({"schema": st.just(1), "name": JSON, "version": JSON, "created": JSON,
                                     "synthetic": JSON, "retention_until": JSON, "files": st.lists(JSON, max_size=3)}))
def test_no_json_does_more_than_being_refused(data: Any) -> None:
    with pytest.raises(VerificationError):
        parse(json.dumps(data).encode())


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_being_refused(data: bytes) -> None:
    with pytest.raises(VerificationError):
        parse(data)


@given(st.text(alphabet="ab./\\\0~ -:é", max_size=12))
def test_a_safe_path_stays_inside(text: str) -> None:
    from pathlib import PurePosixPath, PureWindowsPath

    try:
        path = safe_path(text)
    except VerificationError:
        return
    for kind in (PurePosixPath, PureWindowsPath):
        pure = kind(path)
        assert not pure.is_absolute() and ".." not in pure.parts and pure.as_posix() == path
        assert not any(part.startswith(".") for part in pure.parts)
