"""Sources: everything that can be wrong with a file, and that no message quotes it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synth.errors import UserError
from synth.tabular import csv_part
from synth.tabular.source import guess_options, open_source

SECRET = "Zq7xSECRET"


def rows(source: Path | str, **options: str) -> list[dict[str, object]]:
    """All rows of a source."""
    opened = open_source(str(source), options)
    return [row for batch in opened.batches() for row in batch.to_pylist()]


def refused(source: Path | str, **options: str) -> str:
    """The message of a source that must be refused, which never quotes the data."""
    with pytest.raises(UserError) as caught:
        rows(source, **options)
    message, error = str(caught.value), caught.value
    assert error.exit_code == 2
    assert error.__context__ is None or error.__suppress_context__  # no traceback shows the library's message
    assert SECRET not in message and "what to do:" in message and message.count("\n") <= 3
    return message


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_cells_come_as_printed(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", '\ufeffa,b\n007,"x, ""y""\nz"\n1.50,\n')
    assert rows(path) == [{"a": "007", "b": 'x, "y"\nz'}, {"a": "1.50", "b": None}]
    assert open_source(str(path)).rows is None and open_source(str(path)).text


@pytest.mark.parametrize(("content", "options"), [
    ("a;b\n1;2\n", {"delimiter": ";"}), ("a\tb\n1\t2\n", {"delimiter": "\\t"}),
    ("a,b\n1,2\n".encode("utf-16"), {"encoding": "utf-16"}), ("a,b\r\n1,2\r\n", {}),
])
def test_delimiters_and_encodings(tmp_path: Path, content: str | bytes, options: dict[str, str]) -> None:
    path = written(tmp_path / "a.csv", content)
    assert rows(path, **options) == [{"a": "1", "b": "2"}]
    assert rows(path, **guess_options(str(path))) == [{"a": "1", "b": "2"}]


def test_compressed_and_tab_separated_by_name(tmp_path: Path) -> None:
    assert rows(written(tmp_path / "a.csv.gz", gzip.compress(b"a,b\n1,2\n"))) == [{"a": "1", "b": "2"}]
    assert rows(written(tmp_path / "a.tsv", "a\tb\n1\t2\n")) == [{"a": "1", "b": "2"}]


def test_only_asked_columns_are_read_in_the_asked_order(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "a,b,c\n1,2,3\n")
    batch = next(open_source(str(path)).batches(["c", "a"]))
    assert batch.schema.names == ["c", "a"]
    pq.write_table(pa.table({"a": [1], "b": [2], "c": [3]}), tmp_path / "a.parquet")
    assert next(open_source(str(tmp_path / "a.parquet")).batches(["c", "a"])).schema.names == ["c", "a"]


@pytest.mark.parametrize(("content", "what"), [
    (f"a,b\n1,{SECRET}\n{SECRET}\n1,2,{SECRET}\n", "2 rows have more or fewer cells"),
    ("a,b\n1,2\n" * 40 + f"{SECRET}\n", "row 81"),
    (f"a,a\n1,{SECRET}\n", "'a' stands twice"),
    (f"a,\n1,{SECRET}\n", "column 2 has no name"),
    (f"a,b\n1,{SECRET}\xff\n".encode("latin-1"), "not utf8 text"),
    (f"a,b\n1,{SECRET}\n".encode("utf-16"), "UTF-16"),
    ("", "empty"), (" \n\n", "empty"), (b"\x00\x01\x02,\x00\n", "not text"),
])
def test_broken_csv_is_refused(tmp_path: Path, content: str | bytes, what: str) -> None:
    assert what in refused(written(tmp_path / "a.csv", content))


def test_wrong_encoding_far_from_the_start(tmp_path: Path) -> None:
    content = b"a,b\n" + b"1,2\n" * 500_000 + SECRET.encode() + b",\xe4\n"
    assert "not utf8 text" in refused(written(tmp_path / "a.csv", content))
    assert rows(tmp_path / "a.csv", encoding="latin-1")[-1]["b"] == "ä"


def test_a_cell_without_end_costs_a_block_not_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_part, "BLOCK_BYTES", 1 << 20)
    endless = written(tmp_path / "a.csv", f"a,b\n1,{SECRET}" + "x" * (5 << 20) + "\n")
    assert "a row is longer than 1 MB" in refused(endless)
    unclosed = written(tmp_path / "b.csv", f'a,b\n1,"{SECRET}\n' + "1,2\n" * (1 << 20))
    assert "never closed" in refused(unclosed)


def test_truncated_compression(tmp_path: Path) -> None:
    content = gzip.compress(("a,b\n" + f"1,{SECRET}\n" * 100_000).encode())
    assert "cannot be read" in refused(written(tmp_path / "a.csv.gz", content[: len(content) // 2]))
    assert "cannot be read" in refused(written(tmp_path / "b.csv.gz", "no gzip at all, " + SECRET))


def test_truncated_and_damaged_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"a": [SECRET] * 1000, "b": list(range(1000))}), path, compression="none")
    whole = path.read_bytes()
    assert "cut off" in refused(written(path, whole[: len(whole) // 2]))
    assert "cut off" in refused(written(path, b""))
    assert "cut off" in refused(written(path, b"PAR1" + SECRET.encode() + b"PAR1"))
    damaged = bytearray(whole)
    damaged[4:200] = b"\xff" * 196
    assert "damaged" in refused(written(path, bytes(damaged)))


def test_parquet_knows_its_rows_and_types(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1.5], "b": ["x"]}), tmp_path / "a.parquet")
    opened = open_source(str(tmp_path / "a.parquet"))
    assert (opened.rows, opened.columns[0], opened.text) == (1, ("a", pa.float64()), False)
    (tmp_path / "a.parquet").rename(tmp_path / "a.bin")
    assert open_source(str(tmp_path / "a.bin")).rows == 1  # by content where the name says nothing


def test_a_column_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from synth.tabular import parquet_part

    pq.write_table(pa.table({"a": ["x" * 100_000]}), tmp_path / "a.parquet")
    monkeypatch.setattr(parquet_part, "MAX_CHUNK_BYTES", 10_000)
    assert "smaller row groups" in refused(tmp_path / "a.parquet")


def test_folders_and_globs_are_read_in_order(tmp_path: Path) -> None:
    for i in (2, 0, 1):
        written(tmp_path / f"part-{i}.csv", f"a,b\n{i},x\n")
    written(tmp_path / "_SUCCESS", ""), written(tmp_path / ".hidden.csv", "z\n1\n"), written(tmp_path / "notes.md", "")
    assert [r["a"] for r in rows(tmp_path)] == ["0", "1", "2"]
    assert [r["a"] for r in rows(tmp_path / "part-[12].csv")] == ["1", "2"]
    assert "no such file" in refused(tmp_path / "*.parquet")


def test_files_of_a_folder_agree(tmp_path: Path) -> None:
    written(tmp_path / "1.csv", "a,b\n1,x\n"), written(tmp_path / "2.csv", "b,a\ny,2\n")
    assert rows(tmp_path) == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]
    written(tmp_path / "3.csv", f"a,c\n1,{SECRET}\n")
    assert "'b' is in some of them only" in refused(tmp_path)
    (tmp_path / "3.csv").unlink()
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "4.parquet")
    assert "CSV and Parquet" in refused(tmp_path)


def test_types_of_files_agree(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([1], pa.int32())}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": pa.array([2], pa.int64())}), tmp_path / "2.parquet")
    assert [r["a"] for r in rows(tmp_path)] == [1, 2]
    pq.write_table(pa.table({"a": [SECRET]}), tmp_path / "3.parquet")
    assert "'a' has another type" in refused(tmp_path)


def test_a_link_out_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    written(tmp_path / "out.csv", "a\n1\n"), written(tmp_path / "in" / "1.csv", "a\n1\n")
    (tmp_path / "in" / "2.csv").symlink_to(tmp_path / "out.csv")
    assert "outside it" in refused(tmp_path / "in")
    assert "outside it" in refused(tmp_path / "in" / "*.csv")


def test_urls(tmp_path: Path) -> None:
    import fsspec

    path = written(tmp_path / "a.csv", "a,b\n1,2\n")
    assert rows(f"file://{path}") == [{"a": "1", "b": "2"}]
    memory = fsspec.filesystem("memory")
    memory.pipe("/test-source/part.parquet", b"")
    with memory.open("/test-source/part.parquet", "wb") as file:
        pd.DataFrame({"a": [1]}).to_parquet(file)
    assert rows("memory://test-source/part.parquet") == [{"a": 1}]
    assert rows("memory://test-source") == [{"a": 1}]
    memory.rm("/test-source", recursive=True)


@pytest.mark.parametrize(("source", "what"), [
    ("/nowhere/at/all.csv", "no such file"), ("nonsense://x/y.csv", "cannot be reached"),
    ("simplecache::file:///etc/passwd", "chained"),
])
def test_places_that_cannot_be_read(source: str, what: str) -> None:
    assert what in refused(source)


@pytest.mark.parametrize(("options", "what"), [
    ({"delimiter": "ab"}, "one plain character"), ({"encoding": "klingon"}, "not known"),
    ({"format": "xlsx"}, "not known"), ({"colour": "red"}, "unknown reading option"),
])
def test_wrong_options(tmp_path: Path, options: dict[str, str], what: str) -> None:
    assert what in refused(written(tmp_path / "a.csv", "a,b\n1,2\n"), **options)


def test_over_http(tmp_path: Path) -> None:
    import functools
    import threading
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

    pytest.importorskip("aiohttp")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    written(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 100_000)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert len(rows(f"{address}/a.csv")) == 100_000
        refused(f"{address}/none.csv")
    finally:
        server.shutdown()
        server.server_close()


def test_from_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        fs = s3fs.S3FileSystem(endpoint_url=endpoint)
        fs.mkdir("tables")
        for i in (1, 2):
            fs.pipe(f"tables/people/{i}.csv", f"a,b\n{i},x\n".encode())
        for source in ("s3://tables/people", "s3://tables/people/*.csv"):
            assert [r["a"] for r in rows(source, endpoint_url=endpoint)] == ["1", "2"]
        assert "no such file" in refused("s3://tables/nobody.csv", endpoint_url=endpoint)
    finally:
        server.stop()
        s3fs.S3FileSystem.clear_instance_cache()
