from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth.errors import UserError, VerificationError
from synth.release import backends
from synth.release.pull import list_releases, pull, verify
from synth.release.store import Store, next_version, parse_index, version_key
from tests.release.bench_release import Bench, full, make_contract


@pytest.fixture(params=["folder", "file", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://{tmp_path.name}/store"
        import fsspec

        fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)
    else:
        yield ("file://" if request.param == "file" else "") + str(tmp_path / "a store")


def test_publish_list_pull_on_each_kind_of_store(bench: Bench, any_store: str) -> None:
    first = bench.publish(any_store, run="a")
    second = bench.publish(any_store, run="b")
    assert [e["version"] for e in list_releases(any_store)] == [first["version"], second["version"]]
    folder = pull("people", store=any_store, to=bench.folder / "got")
    assert verify(folder).version == second["version"]
    assert second["url"] == f"{any_store}/people/{second['version']}"


def test_a_run_publishes_once(bench: Bench, any_store: str) -> None:
    first = bench.publish(any_store)
    assert bench.publish(any_store) == first
    assert len(list_releases(any_store)) == 1


def test_a_release_is_complete_before_the_index_names_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, bool]] = []
    swap = backends.Local.swap

    def watched(self: backends.Local, data: bytes, token: str) -> bool:
        published = [e for e in json.loads(data)["releases"] if e["state"] == "published"]
        signatures = list(bench.store.rglob("people/*/provenance.dsse.json"))
        seen.append((len(published), bool(signatures)))
        return swap(self, data, token)

    monkeypatch.setattr(backends.Local, "swap", watched)
    bench.publish()
    assert seen == [(0, False), (1, True)]


def _publish_runs(folder: str, worker: int, count: int) -> list[str]:
    os.environ["SYNTH_KEY_HOME"] = f"{folder}/keys"
    bench = Bench(Path(folder))
    return [bench.publish(run=f"run-{worker}-{i}", shards=Path(folder) / "shards")["version"] for i in range(count)]


def test_two_writers_never_make_the_same_version(bench: Bench) -> None:
    bench.publish(run="first")
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        made = pool.starmap(_publish_runs, [(str(bench.folder), w, 6) for w in range(2)], chunksize=1)
    versions = [v for part in made for v in part]
    assert len(set(versions)) == 12
    entries = list_releases(bench.store)
    assert len(entries) == 13 and len({e["version"] for e in entries}) == 13
    assert [int(e["version"].rpartition(".")[2]) for e in entries] == list(range(1, 14))
    for entry in entries:
        verify(bench.store / "people" / entry["version"])


def _publish_slowly(folder: str) -> None:
    os.environ["SYNTH_KEY_HOME"] = f"{folder}/keys"
    copy = backends.copy_file

    def slow(source: Path, target: Path) -> None:
        copy(source, target)
        if ".staging" in str(target) and target.name == "README.md":
            Path(folder, "copying").touch()
            time.sleep(60)

    backends.copy_file = slow  # type: ignore[assignment]
    Bench(Path(folder)).publish(shards=Path(folder) / "shards")


def test_a_killed_publication_is_invisible_swept_and_resumed(bench: Bench) -> None:
    bench.publish(run="before")
    process = multiprocessing.get_context("spawn").Process(target=_publish_slowly, args=(str(bench.folder),))
    process.start()
    deadline = time.monotonic() + 60
    while not (bench.folder / "copying").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list_releases(bench.store)) == 1
    bench.publish(run="beside")  # a living writer's staging folder is left alone
    assert len(list((bench.store / ".staging").iterdir())) == 1
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(list_releases(bench.store)) == 2
    again = bench.publish()  # the same run as the killed one
    assert again["version"].endswith(".2")  # the number it had reserved
    assert not (bench.store / ".staging").exists()
    assert [e["version"].rpartition(".")[2] for e in list_releases(bench.store)] == ["1", "2", "3"]
    verify(bench.store / "people" / again["version"])


@pytest.mark.parametrize(("where", "name"), [
    ("store", "train-00000-of-00002.parquet"), ("store", "manifest.json"), ("store", "provenance.dsse.json"),
    ("run", "train-00000-of-00002.parquet")])
def test_a_full_disk_leaves_nothing_visible(bench: Bench, monkeypatch: pytest.MonkeyPatch, where: str,
                                            name: str) -> None:
    from synth.release import publish as publishing

    module = backends if where == "store" else publishing
    real = backends.copy_file

    def full_at(source: Path, target: Path) -> None:
        if target.name == name:
            full(target, source.read_bytes())
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(module, "copy_file", full_at)
        with pytest.raises(UserError, match=r"disk is full[^$]*nothing was published"):
            bench.publish()
    assert list_releases(bench.store) == []
    assert not list(bench.store.rglob("*.parquet")) and not list((bench.folder / "run-1" / "release").iterdir())
    assert bench.publish()["version"].endswith(".2")  # the number that was given up is not used again


def test_the_index_itself_survives_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.publish(run="a")
    before = (bench.store / "index.json").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(backends, "_write", full)
        with pytest.raises(UserError, match="disk is full"):
            bench.publish(run="b")
    assert (bench.store / "index.json").read_bytes() == before


def test_an_interrupt_gives_the_version_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        def interrupted(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(backends, "copy_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench.publish()
    (entry,) = json.loads((bench.store / "index.json").read_text())["releases"]
    assert entry["state"] == "abandoned"
    assert bench.publish()["version"].endswith(".2")


def test_a_kill_just_before_the_index_leaves_nothing_visible(bench: Bench, any_store: str,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise SystemExit  # stands for kill -9: nothing below runs either

    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", killed)
        patch.setattr(Store, "give_up", lambda self, reservation: None)
        with pytest.raises(SystemExit):
            bench.publish(any_store)
    assert list_releases(any_store) == []
    with pytest.raises(UserError, match="no release"):
        pull("people", store=any_store, to=bench.folder / "got")
    again = bench.publish(any_store)
    assert again["version"].endswith(".1") and pull("people", store=any_store, to=bench.folder / "got").is_dir()


def test_a_writer_that_was_overtaken_cannot_commit(bench: Bench) -> None:
    store = Store(bench.store)
    slow = store.reserve("people", "run-1")
    quick = store.reserve("people", "run-1")  # resumed while the first hangs
    assert slow.version == quick.version
    with pytest.raises(UserError, match="no longer ours"):
        store.commit(slow, {})
    store.give_up(slow)  # not its to give up any more
    assert store.commit(quick, {"rows": 1})["state"] == "published"
    with pytest.raises(UserError, match="no longer ours"):
        store.commit(quick, {})


def test_data_of_a_published_version_cannot_be_replaced(bench: Bench, any_store: str) -> None:
    made = bench.publish(any_store)
    store = Store(any_store)
    reservation = store.reserve("other", "run-9")
    stolen = type(reservation)(name="people", version=made["version"], nonce="x")
    folder = pull("people", store=any_store, to=bench.folder / "got")
    with pytest.raises(UserError, match="no longer ours"):
        store.put(stolen, folder, ["README.md"])
    with pytest.raises(UserError, match="no longer ours"):
        store.commit(stolen, {})


def test_old_reservations_are_given_up(bench: Bench) -> None:
    store = Store(bench.store)
    store.reserve("people", "dead")
    index = json.loads((bench.store / "index.json").read_text())
    index["releases"][0]["reserved"] = (datetime.now(UTC) - timedelta(days=8)).strftime("%Y-%m-%dT%H:%M:%SZ")
    (bench.store / "index.json").write_text(json.dumps(index))
    left = bench.store / "people" / index["releases"][0]["version"]
    left.mkdir(parents=True)
    bench.publish(run="alive")
    states = [e["state"] for e in json.loads((bench.store / "index.json").read_text())["releases"]]
    assert states == ["abandoned", "published"] and not left.exists()


@given(st.lists(st.tuples(st.integers(2020, 2030), st.integers(1, 12), st.integers(1, 28), st.integers(1, 30))),
       st.dates(date(2020, 1, 1), date(2030, 12, 31)))
def test_the_next_version_is_above_all_taken_ones(taken: list[tuple[int, int, int, int]], today: date) -> None:
    versions = [f"{y:04d}.{m:02d}.{d:02d}.{n}" for y, m, d, n in taken]
    new = next_version(versions, today)
    assert all(version_key(new) > version_key(v) for v in versions)
    assert version_key(new)[:3] >= (today.year, today.month, today.day)


@pytest.mark.parametrize("data", [b"{", b"[]", b"null", b'{"schema": 2, "releases": []}', b"[" * 100_000,
                                  b'{"schema": 1, "releases": [{"name": "../x"}]}',
                                  b'{"schema": 1, "releases": [{"name": "x", "version": "../../y", "run": "r", '
                                  b'"state": "published"}]}'])
def test_a_broken_index_is_refused(data: bytes) -> None:
    with pytest.raises(VerificationError, match="index"):
        parse_index(data, "store")


@pytest.mark.parametrize("url", ["zip://a::s3://b", "simplecache::s3://b", "ftp://x", "python://x", "", "s3://k:s@b"])
def test_strange_addresses_are_refused(url: str) -> None:
    with pytest.raises(UserError) as caught:
        Store(url)
    assert "k:s" not in str(caught.value)


def test_a_store_without_conditional_writes_is_read_only(bench: Bench) -> None:
    bench.publish()
    import fsspec

    remote = backends.Remote(fsspec.filesystem("file"), str(bench.store), "https://example/store")
    assert json.loads(remote.read()[0])["releases"]
    with pytest.raises(UserError, match="read but not published"):
        remote.swap(b"", "")


def test_what_storage_libraries_say_is_not_repeated() -> None:
    with pytest.raises(UserError) as caught, backends.storage("s3://bucket"):
        raise RuntimeError("AKIASECRET")
    assert "AKIASECRET" not in str(caught.value) and caught.value.__suppress_context__


@pytest.mark.parametrize("name", ["../x", "a/b", ".x", "", "index.json", "x" * 200, "a b"])
def test_a_name_that_is_no_folder_is_refused(bench: Bench, name: str) -> None:
    with pytest.raises(UserError, match="name"):
        bench.publish(contract=make_contract(name=name))
    assert not (bench.folder / "x").exists()


def test_the_local_copy_is_what_was_published(bench: Bench) -> None:
    made = bench.publish()
    local = bench.folder / "run-1" / "release" / made["version"]
    assert verify(local).manifest_digest == made["manifest_digest"]
    shutil.rmtree(local)
    assert verify(bench.store / "people" / made["version"]).manifest_digest == made["manifest_digest"]
