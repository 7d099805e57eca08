from __future__ import annotations

import base64
import json
import multiprocessing
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from synth.errors import UserError, VerificationError
from synth.release.signing import (
    PAYLOAD_TYPE,
    SigningKey,
    key_home,
    key_id,
    open_envelope,
    pae,
    public_pem,
    read_public,
    signing_key,
    trust,
)


@pytest.fixture(autouse=True)
def _no_keys_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SYNTH_SIGNING_KEY", "SYNTH_SIGNING_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SYNTH_KEY_HOME", str(tmp_path / "home"))


def test_pae_is_the_example_of_the_dsse_specification() -> None:
    assert pae("http://example.com/HelloWorld", b"hello world") == \
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_a_key_is_made_once_and_only_we_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        first = signing_key(tmp_path / "keys")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "keys" / "signing.pem").stat().st_mode) == 0o600
    assert signing_key(tmp_path / "keys").id == first.id
    assert "private" not in repr(first).lower()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    signing_key(tmp_path)
    (tmp_path / "signing.pem").chmod(0o640)
    with pytest.raises(UserError, match="read by others"):
        signing_key(tmp_path)


def _id_of_new_key(folder: str) -> str:
    return signing_key(Path(folder)).id


def test_processes_that_come_at_once_get_the_same_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        ids = pool.map(_id_of_new_key, [str(tmp_path / f"k{i}") for i in range(6) for _ in range(2)], chunksize=1)
    assert all(ids[i] == ids[i + 1] for i in range(0, len(ids), 2)) and len(set(ids)) == 6


def test_a_key_comes_from_the_environment_in_three_forms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = Ed25519PrivateKey.generate()
    seed = base64.b64encode(key.private_bytes_raw()).decode()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                            serialization.NoEncryption()).decode()
    expected = key_id(key.public_key())
    for text in (seed, pem, pem.replace("\n", "\\n")):
        monkeypatch.setenv("SYNTH_SIGNING_KEY", text)
        assert signing_key(tmp_path / "unused").id == expected
    monkeypatch.delenv("SYNTH_SIGNING_KEY")
    (tmp_path / "file").write_text(seed)
    monkeypatch.setenv("SYNTH_SIGNING_KEY_FILE", str(tmp_path / "file"))
    assert signing_key(tmp_path / "unused").id == expected
    assert expected in trust()
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize("text", ["", "hunter2-secret", base64.b64encode(b"x" * 31).decode(),
                                  "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"])
def test_a_wrong_key_is_an_error_that_does_not_repeat_it(text: str, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text(text)
    monkeypatch.setenv("SYNTH_SIGNING_KEY_FILE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="not an Ed25519 private key") as caught:
        signing_key()
    assert "hunter2" not in str(caught.value) and caught.value.__suppress_context__


def test_an_rsa_key_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    pem = generate_private_key(65537, 2048).public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(UserError, match="not an Ed25519 public key"):
        read_public(pem, "x.pub")


def test_the_key_id_is_what_openssl_says(tmp_path: Path) -> None:
    key = signing_key(tmp_path)
    try:
        der = subprocess.run(["openssl", "pkey", "-pubin", "-in", str(tmp_path / "signing.pub"), "-outform", "DER"],
                             capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl that knows Ed25519")
    import hashlib

    assert key.id == "sha256:" + hashlib.sha256(der).hexdigest()


def test_an_envelope_opens_with_its_key_only() -> None:
    key, other = SigningKey(Ed25519PrivateKey.generate()), SigningKey(Ed25519PrivateKey.generate())
    envelope = key.envelope({"a": 1})
    assert open_envelope(envelope, key.public) == {"a": 1}
    with pytest.raises(VerificationError, match="not one by key"):
        open_envelope(envelope, other.public)


def test_every_changed_part_of_an_envelope_is_noticed() -> None:
    key = SigningKey(Ed25519PrivateKey.generate())
    outer = json.loads(key.envelope({"a": 1}))

    def broken(**changed: object) -> bytes:
        return json.dumps({**outer, **changed}).encode()

    body = base64.b64encode(b'{"a": 2}').decode()
    signature = base64.b64encode(bytes(64)).decode()
    # the same bytes under another type: what the type in the PAE is for
    wrong_type = base64.b64encode(key.private.sign(pae("text/plain", base64.b64decode(outer["payload"])))).decode()
    for bad in (broken(payload=body), broken(signatures=[{"keyid": key.id, "sig": signature}]), broken(signatures=[]),
                broken(payloadType="text/plain"), broken(signatures=[{"keyid": key.id, "sig": wrong_type}]),
                broken(payload=7), broken(signatures=None), b"", b"[]", b"{", b"[" * 100_000,
                json.dumps({"payloadType": PAYLOAD_TYPE}).encode()):
        with pytest.raises(VerificationError):
            open_envelope(bad, key.public)


def test_a_url_safe_envelope_opens_too() -> None:
    key = SigningKey(Ed25519PrivateKey.generate())
    outer = json.loads(key.envelope({"a": "?>~"}))
    outer["signatures"][0]["sig"] = outer["signatures"][0]["sig"].replace("+", "-").replace("/", "_")
    assert open_envelope(json.dumps(outer).encode(), key.public) == {"a": "?>~"}


def test_trust_is_ours_and_what_was_put_there(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert trust().ids == frozenset()
    ours, theirs = signing_key(), SigningKey(Ed25519PrivateKey.generate())
    assert ours.id in trust() and theirs.id not in trust()
    (home / "trusted").mkdir()
    (home / "trusted" / "them.pub").write_bytes(public_pem(theirs.public))
    assert theirs.id in trust()
    for key in (theirs.id, home / "trusted" / "them.pub", public_pem(theirs.public).decode()):
        assert trust(key).ids == {theirs.id} and trust(key).pinned
    with pytest.raises(UserError, match="cannot be read"):
        trust(tmp_path / "none.pub")


def test_the_key_home_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SYNTH_KEY_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert key_home() == tmp_path / "synth" / "keys"
    assert key_home(tmp_path / "k") == tmp_path / "k"
