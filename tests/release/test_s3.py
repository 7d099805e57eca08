from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from synth.errors import UserError, VerificationError
from synth.release.pull import list_releases, pull, verify
from synth.release.store import Store
from tests.release.bench_release import Bench, write_shards

pytest.importorskip("s3fs")
server_module = pytest.importorskip("moto.server")


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    server = server_module.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    import s3fs

    for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"),
                        ("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", s3_server)):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    name = f"bucket{abs(hash(request.node.name)) % 10**9}"
    s3fs.S3FileSystem(use_listings_cache=False).mkdir(name)
    yield f"s3://{name}/releases"
    s3fs.S3FileSystem.clear_instance_cache()


def test_publish_and_pull_through_s3(bench: Bench, bucket: str) -> None:
    first = bench.publish(bucket, run="a")
    assert bench.publish(bucket, run="a") == first
    second = bench.publish(bucket, run="b")
    assert [e["version"] for e in list_releases(bucket)] == [first["version"], second["version"]]
    folder = pull("people", store=bucket, to=bench.folder / "got")
    assert verify(folder).version == second["version"]


def test_a_tampered_object_is_not_given_out(bench: Bench, bucket: str) -> None:
    import s3fs

    made = bench.publish(bucket)
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    fs.pipe_file(f"{bucket.removeprefix('s3://')}/people/{made['version']}/report.json", b"{}")
    with pytest.raises(VerificationError, match=r"changed: report\.json"):
        pull("people", store=bucket, to=bench.folder / "got")


def test_the_index_is_swapped_only_from_the_state_that_was_read(bucket: str) -> None:
    backend = Store(bucket)._backend
    assert backend.read() == (b"", "")
    assert backend.swap(b"one", "")
    assert not backend.swap(b"two", "")  # If-None-Match: *
    data, token = backend.read()
    assert data == b"one" and backend.swap(b"two", token)
    assert not backend.swap(b"three", token)  # If-Match with an old ETag
    assert backend.read()[0] == b"two"


def test_an_object_is_never_overwritten(bench: Bench, bucket: str) -> None:
    made = bench.publish(bucket)
    folder = bench.folder / "run-1" / "release" / made["version"]
    backend = Store(bucket)._backend
    with pytest.raises(FileExistsError):
        backend.put(folder, ["README.md"], f"people/{made['version']}", lambda done: None)


def test_writers_that_come_at_once_get_different_versions(bench: Bench, bucket: str) -> None:
    shards = write_shards(bench.folder / "shards", shards=1)
    bench.publish(bucket, run="first", shards=shards)
    made: list[Any] = []

    def work(run: str) -> None:
        made.append(bench.publish(bucket, run=run, shards=shards)["version"])

    threads = [threading.Thread(target=work, args=(f"run-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4 and len(list_releases(bucket)) == 5


def test_an_interrupted_upload_is_replaced_on_resume(bench: Bench, bucket: str,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    from synth.release import backends

    real = backends.S3._create

    def dies(self: backends.S3, source: Any, target: str) -> None:
        if target.endswith("manifest.json"):
            raise SystemError  # stands for kill -9: nothing below runs either
        real(self, source, target)

    with monkeypatch.context() as patch:
        patch.setattr(backends.S3, "_create", dies)
        patch.setattr(Store, "give_up", lambda self, reservation: None)
        with pytest.raises(UserError, match="the store failed"):
            bench.publish(bucket)
    assert list_releases(bucket) == []
    assert bench.publish(bucket)["version"].endswith(".1")
    assert pull("people", store=bucket, to=bench.folder / "got").is_dir()


def test_a_missing_bucket_is_a_user_error(bench: Bench, bucket: str) -> None:
    with pytest.raises(UserError, match="no such bucket"):
        bench.publish("s3://there-is-no-such-bucket/releases")


def test_a_server_that_is_not_there_is_a_user_error(bench: Bench, bucket: str,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match="the store failed"):
        list_releases(bucket)


def test_a_ledger_and_decisions_on_s3(bench: Bench, bucket: str) -> None:
    """Two writers at once: the server lets one create each entry, and the slower one reads again before it spends."""
    from synth.release.ledger import Ledger
    from tests.release.test_ledger import ask, release

    said: list[str] = []
    ask("warm", bench.keys)  # makes the key

    def reserve(number: int) -> None:
        try:
            Ledger(Store(bucket), "people", bench.keys).reserve(ask(f"run-{number}", bench.keys, epsilon=2),
                                                                declared=True)
            said.append("reserved")
        except UserError as error:
            said.append(error.what)

    threads = [threading.Thread(target=reserve, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("reserved") == 1 and sum("used up" in what for what in said) == 2, said
    ledger = Ledger(Store(bucket), "people", bench.keys)
    (held,) = ledger.read().accounts
    release(ledger, ask(held, bench.keys, epsilon=2))
    assert [e["event"] for e in ledger.read().entries] == ["reserved", "published"]
    assert not Store(bucket).extend(".ledger/people", 1, b"{}")  # nothing is overwritten
