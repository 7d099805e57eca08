from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import synth
from synth.errors import UserError, VerificationError
from synth.release.pull import BrokenRelease, list_releases, pull, verify
from synth.release.signing import SigningKey, public_pem, signing_key
from tests.release.bench_release import Bench, make_contract

FILES = ["README.md", "contract.yaml", "croissant.json", "data/train-00000-of-00002.parquet", "publisher.pub",
         "report.html", "report.json"]


@pytest.fixture
def release(bench: Bench) -> Path:
    made = bench.publish()
    return bench.store / made["name"] / made["version"]


def problems(folder: Path, **named: Any) -> list[str]:
    with pytest.raises(BrokenRelease) as caught:
        verify(folder, **named)
    return caught.value.problems


def test_what_was_published_is_pulled_checked_and_readable(bench: Bench) -> None:
    import pandas as pd

    made = bench.publish()
    folder = synth.pull("people", store=bench.store, to=bench.folder / "got")
    assert folder == bench.folder / "got" / "people" / made["version"]
    checked = synth.verify(folder)
    assert (checked.name, checked.version, checked.rows, checked.trusted) == ("people", made["version"], 100, True)
    assert checked.manifest_digest == made["manifest_digest"]
    assert len(pd.read_parquet(folder / "data")) == 100
    assert [p.name for p in (bench.folder / "got" / "people").iterdir()] == [made["version"]]  # no leftovers
    assert synth.pull(f"people@{made['version']}", store=bench.store, to=bench.folder / "got") == folder


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_named(release: Path, name: str) -> None:
    path = release / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    found = problems(release)
    if name == "publisher.pub":  # no longer a key, or another one than what signed
        assert len(found) == 1 and name in found[0]
    else:
        assert found == [f"changed: {name}"]


def test_added_and_missing_files_are_named_together(release: Path) -> None:
    (release / "data" / "train-99999-of-00002.parquet").write_bytes(b"x")
    (release / "report.json").unlink()
    (release / "README.md").write_text("other")
    assert problems(release) == ["changed: README.md", "added: data/train-99999-of-00002.parquet",
                                 "missing: report.json"]


@pytest.mark.parametrize("name", ["manifest.json", "provenance.dsse.json", "publisher.pub"])
def test_a_release_without_its_seals_is_none(release: Path, name: str) -> None:
    (release / name).unlink()
    assert problems(release) == [f"missing: {name}"]


def test_a_changed_manifest_is_named_even_if_it_fits_the_changed_file(release: Path) -> None:
    (release / "README.md").write_text("evil")
    manifest = json.loads((release / "manifest.json").read_text())
    entry = next(f for f in manifest["files"] if f["path"] == "README.md")
    entry.update(sha256=hashlib.sha256(b"evil").hexdigest(), bytes=4)
    (release / "manifest.json").write_text(json.dumps(manifest))
    assert problems(release) == ["changed: README.md", "changed: manifest.json"]


def test_a_changed_signature_is_named(release: Path) -> None:
    path = release / "provenance.dsse.json"
    outer = json.loads(path.read_text())
    statement = json.loads(base64.b64decode(outer["payload"]))
    statement["predicate"]["buildDefinition"]["externalParameters"]["gates"] = []
    outer["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    path.write_text(json.dumps(outer))
    found = problems(release)
    assert len(found) == 1 and "provenance.dsse.json" in found[0]


def test_a_swapped_version_is_named(bench: Bench) -> None:
    first, second = bench.publish(run="a")["version"], bench.publish(run="b")["version"]
    shutil.rmtree(bench.store / "people" / second)
    shutil.copytree(bench.store / "people" / first, bench.store / "people" / second)
    assert any("swapped" in p and first in p and second in p for p in problems(bench.store / "people" / second))
    with pytest.raises(BrokenRelease, match="swapped"):
        pull("people", second, store=bench.store, to=bench.folder / "got")
    assert not list((bench.folder / "got" / "people").iterdir())


def test_a_swapped_data_set_is_named(bench: Bench) -> None:
    good = bench.publish(run="a")["version"]
    bench.publish(run="b", contract=make_contract(name="other"))
    shutil.rmtree(bench.store / "people" / good)
    shutil.copytree(bench.store / "other" / good, bench.store / "people" / good)
    with pytest.raises(BrokenRelease, match="called 'people', but what was signed is 'other'"):
        pull("people", good, store=bench.store, to=bench.folder / "got")


@pytest.mark.parametrize("name", ["README.md", "data/train-00001-of-00002.parquet", "manifest.json",
                                  "provenance.dsse.json"])
def test_nothing_is_given_out_of_a_tampered_store(bench: Bench, name: str) -> None:
    version = bench.publish()["version"]
    path = bench.store / "people" / version / name
    for data in (path.read_bytes() + b" ", path.read_bytes()[:-3], b""):
        path.write_bytes(data)
        if name == "provenance.dsse.json" and data.endswith(b"\n "):
            continue  # white space after the JSON signs the same
        with pytest.raises(VerificationError):
            pull("people", store=bench.store, to=bench.folder / "got")
        assert not list((bench.folder / "got" / "people").iterdir())
    path.unlink()
    with pytest.raises(BrokenRelease, match="missing"):
        pull("people", store=bench.store, to=bench.folder / "got")


def test_a_file_that_never_ends_is_cut_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from synth.release.store import Store

    class Endless(io.RawIOBase):
        served = 0

        def read(self, size: int = -1) -> bytes:
            Endless.served += size
            return b"x" * size

    bench.publish()
    real = Store.open
    monkeypatch.setattr(Store, "open", lambda self, n, v, path: Endless() if path == "README.md" else real(
        self, n, v, path))
    with pytest.raises(BrokenRelease, match=r"changed: README\.md"):
        pull("people", store=bench.store, to=bench.folder / "got")
    assert Endless.served < 1 << 20


def test_names_from_elsewhere_do_not_reach_the_terminal_raw(release: Path) -> None:
    (release / "evil\x1b[2Jname").write_text("x")
    (found,) = problems(release)
    assert "\x1b" not in found and "evil" in found


@pytest.mark.parametrize("subject", [
    [{"name": 7, "digest": {"sha256": "a"}}], [{"name": "x", "digest": {"sha256": 7}}], [{"name": ["x"], "digest": {}}],
    [], "x", None])
def test_a_signed_statement_of_the_wrong_form_is_refused(release: Path, bench: Bench, subject: Any) -> None:
    path = release / "provenance.dsse.json"
    statement = json.loads(base64.b64decode(json.loads(path.read_text())["payload"]))
    statement["subject"] = statement["subject"] + subject if isinstance(subject, list) and subject else subject
    path.write_bytes(signing_key(bench.keys).envelope(statement))
    with pytest.raises(VerificationError):
        verify(release)


@pytest.mark.parametrize("name", ["manifest.json", "publisher.pub", "provenance.dsse.json"])
def test_no_flipped_bit_of_a_seal_goes_unnoticed(release: Path, name: str) -> None:
    from synth.seeds import generator

    path = release / name
    good = path.read_bytes()
    before = verify(release)
    rng = generator(11, name)
    for place in rng.integers(0, len(good), 60):
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(bad))
        try:
            after = verify(release)
        except VerificationError:
            continue
        # DSSE signs type and payload: the key's name beside the signature is a hint, white space is nothing
        assert name == "provenance.dsse.json" and after == before
        assert json.loads(bad)["payload"] == json.loads(good)["payload"]


def test_an_untrusted_key_is_refused_until_it_is_named(bench: Bench) -> None:
    version = bench.publish()["version"]
    stranger = bench.folder / "strangers-keys"
    ours = signing_key(bench.keys).id
    with pytest.raises(VerificationError, match="not trusted here") as caught:
        pull("people", store=bench.store, to=bench.folder / "got", keys=stranger)
    assert ours in str(caught.value)
    assert not list((bench.folder / "got" / "people").iterdir())
    assert not verify(bench.store / "people" / version, keys=stranger).trusted
    by_id = pull("people", store=bench.store, to=bench.folder / "by-id", keys=stranger, key=ours)
    by_file = pull("people", store=bench.store, to=bench.folder / "by-file", keys=stranger,
                   key=bench.keys / "signing.pub")
    assert by_id.is_dir() and by_file.is_dir()
    with pytest.raises(VerificationError, match="not trusted"):  # there already, but not for everybody
        pull("people", store=bench.store, to=bench.folder / "by-id", keys=stranger)


def test_a_release_signed_again_by_somebody_else_is_refused(bench: Bench) -> None:
    version = bench.publish()["version"]
    folder = bench.store / "people" / version
    attacker = SigningKey(Ed25519PrivateKey.generate())
    resign(folder, attacker, lambda manifest: None)
    assert not verify(folder).trusted
    with pytest.raises(VerificationError, match="not trusted here"):
        pull("people", store=bench.store, to=bench.folder / "got")
    with pytest.raises(VerificationError, match="another key than the one given"):
        verify(folder, bench.keys / "signing.pub")


def resign(folder: Path, key: SigningKey, change: Callable[[dict[str, Any]], None]) -> None:
    """What somebody with a key can do: sign any manifest."""
    (folder / "publisher.pub").write_bytes(public_pem(key.public))
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        entry["sha256"] = hashlib.sha256((folder / entry["path"]).read_bytes()).hexdigest()
    change(manifest)
    data = json.dumps(manifest).encode()
    (folder / "manifest.json").write_bytes(data)
    outer = json.loads((folder / "provenance.dsse.json").read_text())
    statement = json.loads(base64.b64decode(outer["payload"]))
    statement["subject"] = [{"name": "manifest.json", "digest": {"sha256": hashlib.sha256(data).hexdigest()}}] + [
        {"name": f["path"], "digest": {"sha256": f["sha256"]}} for f in manifest["files"]]
    (folder / "provenance.dsse.json").write_bytes(key.envelope(statement))


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "data/../../evil", "a//b", ".hidden", "a/.git/x", "", "x\0y",
                                  "C:\\evil", "data\\evil", "a/./b", "e" * 600, "manifest.json", "Readme.MD", "né"])
def test_hostile_paths_are_refused_even_with_a_good_signature(bench: Bench, path: str) -> None:
    version = bench.publish()["version"]
    folder = bench.store / "people" / version

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"].append({"path": path, "sha256": hashlib.sha256(b"").hexdigest(), "bytes": 0, "rows": None})

    resign(folder, signing_key(bench.keys), change)
    with pytest.raises(VerificationError):
        pull("people", store=bench.store, to=bench.folder / "deep" / "got")
    assert not list(bench.folder.rglob("evil*"))
    assert not list((bench.folder / "deep" / "got" / "people").iterdir())


def test_absurd_sizes_are_refused_before_anything_is_downloaded(bench: Bench) -> None:
    version = bench.publish()["version"]
    folder = bench.store / "people" / version
    resign(folder, signing_key(bench.keys), lambda m: m["files"][0].update(bytes=1 << 60))
    with pytest.raises(VerificationError, match="more bytes"):
        pull("people", store=bench.store, to=bench.folder / "got")
    resign(folder, signing_key(bench.keys), lambda m: m["files"][0].update(bytes=1 << 44))
    with pytest.raises(UserError, match="needed and not free"):
        pull("people", store=bench.store, to=bench.folder / "got")


def test_a_full_disk_while_pulling_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from synth.release import pull as pulling

    def full(*_: Any) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.publish()
    monkeypatch.setattr(pulling, "_copy", full)
    with pytest.raises(UserError, match="disk is full") as caught:
        pull("people", store=bench.store, to=bench.folder / "got")
    assert "resume" not in str(caught.value) and not list((bench.folder / "got" / "people").iterdir())


def test_a_release_is_pulled_over_http(bench: Bench) -> None:
    """Any web server that serves the folder is a store to read."""
    pytest.importorskip("aiohttp")
    import functools
    import http.server
    import threading

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    bench.publish()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=bench.store)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        folder = pull("people", store=url, to=bench.folder / "got")
        assert verify(folder).rows == 100
        with pytest.raises(UserError, match="read but not published"):
            bench.publish(url, run="b")
        server.shutdown()


def test_links_are_refused(release: Path, tmp_path: Path) -> None:
    (tmp_path / "same").write_bytes((release / "README.md").read_bytes())
    (release / "README.md").unlink()
    (release / "README.md").symlink_to(tmp_path / "same")
    with pytest.raises(VerificationError, match="plain files only"):
        verify(release)


def test_a_link_in_the_store_does_not_lead_out(bench: Bench) -> None:
    version = bench.publish()["version"]
    target = bench.store / "people" / version / "README.md"
    (bench.folder / "outside.md").write_bytes(target.read_bytes())
    target.unlink()
    target.symlink_to(bench.folder / "outside.md")
    with pytest.raises(BrokenRelease, match=r"missing: README\.md"):
        pull("people", store=bench.store, to=bench.folder / "got")


def test_the_newest_is_the_default_and_unknown_ones_are_helpful(bench: Bench) -> None:
    bench.publish(run="a")
    second = bench.publish(run="b")["version"]
    assert pull("people", store=bench.store, to=bench.folder / "got").name == second
    with pytest.raises(UserError, match="it has people"):
        pull("peple", store=bench.store, to=bench.folder / "got")
    with pytest.raises(UserError, match=second):
        pull("people@1.0", store=bench.store, to=bench.folder / "got")
    with pytest.raises(UserError, match="empty"):
        pull("people", store=bench.folder / "nothing", to=bench.folder / "got")


def test_a_folder_that_was_changed_after_pulling_is_not_given_out_again(bench: Bench) -> None:
    bench.publish()
    folder = pull("people", store=bench.store, to=bench.folder / "got")
    (folder / "README.md").write_text("changed")
    with pytest.raises(BrokenRelease, match=r"changed: README\.md"):
        pull("people", store=bench.store, to=bench.folder / "got")


def test_what_was_to_be_deleted_is_listed_as_expired_and_not_pulled(bench: Bench) -> None:
    from datetime import date

    bench.publish(contract=make_contract(retention_until=date(2020, 1, 1)))
    assert list_releases(bench.store)[0]["expired"] is True
    with pytest.raises(UserError, match="to be deleted by 2020-01-01"):
        pull("people", store=bench.store, to=bench.folder / "got")


def test_the_list_says_what_a_user_needs(bench: Bench) -> None:
    made = bench.publish()
    (entry,) = list_releases(bench.store)
    assert entry["version"] == made["version"] and entry["rows"] == 100 and entry["expired"] is False
    assert entry["retention_until"] == "2099-01-31" and entry["contract_version"] == "1.2.0"
    assert entry["key_id"] == signing_key(bench.keys).id and "nonce" not in entry


def test_verify_of_no_folder_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no release"):
        verify(tmp_path / "none")
    with pytest.raises(BrokenRelease, match="missing"):
        verify(tmp_path)
