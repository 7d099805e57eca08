"""Ed25519 keys and DSSE envelopes: who signed a release, and whether we believe them.

The key home (``SYNTH_KEY_HOME``, else ``$XDG_CONFIG_HOME/synth/keys``, else ``~/.config/synth/keys``) holds

    signing.pem      our private key, 0600, made on first use (the folder is 0700)
    signing.pub      its public half
    trusted/*.pub    public keys of publishers whose releases may be pulled

A key is named by ``sha256:<hex>``, the SHA-256 of its DER SubjectPublicKeyInfo, which anybody can compute:
``openssl pkey -pubin -in publisher.pub -outform DER | sha256sum``. There is no trust on first use: a key is
trusted because its file was put into ``trusted/``, because it (or its name) was given with the call, or because
we hold its private half.

The envelope is DSSE v1.0 (https://github.com/secure-systems-lab/dsse), the signature Ed25519 (RFC 8032) over
``PAE(type, body) = "DSSEv1" SP len(type) SP type SP len(body) SP body``.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synth.errors import UserError, VerificationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
KEY_ID = re.compile(r"sha256:[0-9a-f]{64}")


def key_home(home: Path | None = None) -> Path:
    """The folder of keys in force: ``home`` if given, else from the environment (see the module)."""
    if home is not None:
        return home
    if named := os.environ.get("SYNTH_KEY_HOME"):
        return Path(named)
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "synth" / "keys"


def key_id(key: Ed25519PublicKey) -> str:
    """``sha256:<hex>`` of the key's DER SubjectPublicKeyInfo."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"


def public_pem(key: Ed25519PublicKey) -> bytes:
    """The key as a PEM file."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def read_public(data: bytes, where: str) -> Ed25519PublicKey:
    """Parse a PEM public key; a :class:`UserError` naming ``where`` if it is something else."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise UserError("not an Ed25519 public key in PEM form", where=where,
                        todo="ask the publisher for the file `signing.pub` of their key folder") from None
    return key


def read_private(data: bytes, where: str) -> Ed25519PrivateKey:
    """Parse a private key: PEM without a password, or the 32-byte seed in base64."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: object = None
    try:
        if b"-----BEGIN" in data:
            key = load_pem_private_key(data.replace(b"\\n", b"\n"), password=None)
        else:
            key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(data.strip(), validate=True))
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError("not an Ed25519 private key", where=where,
                        todo="give a PEM file without a password (`openssl genpkey -algorithm ed25519`) "
                             "or the 32-byte seed in base64") from None
    return key


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Our private key. Prints its name only."""

    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public(self) -> Ed25519PublicKey:
        """The public half."""
        return self.private.public_key()

    @property
    def id(self) -> str:
        """The key's name, ``sha256:<hex>``."""
        return key_id(self.public)

    def envelope(self, statement: dict[str, Any]) -> bytes:
        """The DSSE envelope of an in-toto statement, as JSON."""
        body = json.dumps(statement, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()
        signature = self.private.sign(pae(PAYLOAD_TYPE, body))
        return json.dumps({
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(body).decode(),
            "signatures": [{"keyid": self.id, "sig": base64.b64encode(signature).decode()}],
        }, indent=1).encode() + b"\n"


def pae(payload_type: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def open_envelope(envelope: bytes, key: Ed25519PublicKey) -> dict[str, Any]:
    """The statement inside an envelope, parsed only after its signature by ``key`` was found good.

    Raises :class:`VerificationError` if the envelope is malformed, of another type, or not signed by ``key``.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        outer = json.loads(envelope)
        payload_type, body = outer["payloadType"], _unbase64(outer["payload"])
        signatures = [_unbase64(s["sig"]) for s in outer["signatures"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise VerificationError("the signature file is not a DSSE envelope") from None
    if payload_type != PAYLOAD_TYPE:
        raise VerificationError("the signature file signs something else than an in-toto statement")
    for signature in signatures:
        try:
            key.verify(signature, pae(payload_type, body))
        except InvalidSignature:
            continue
        try:
            statement = json.loads(body)
        except (ValueError, RecursionError):
            break
        if isinstance(statement, dict):
            return statement
        break
    raise VerificationError(f"the signature is not one by key {key_id(key)}: it or what it signs was changed")


def _unbase64(text: str) -> bytes:
    """Standard or URL-safe base64 (DSSE asks a reader to take both)."""
    return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


def signing_key(home: Path | None = None) -> SigningKey:
    """Our key: from ``SYNTH_SIGNING_KEY`` or ``SYNTH_SIGNING_KEY_FILE``, else the key home's, made if missing.

    Two processes that come at once get the same key. A key file that others can read is refused.
    """
    if text := os.environ.get("SYNTH_SIGNING_KEY"):
        return SigningKey(read_private(text.encode(), "environment variable SYNTH_SIGNING_KEY"))
    if named := os.environ.get("SYNTH_SIGNING_KEY_FILE"):
        return SigningKey(read_private(_read(Path(named)), named))
    folder = key_home(home)
    path = folder / "signing.pem"
    with locked(folder):
        if not path.exists():
            _make(folder)
    if path.stat().st_mode & 0o077:
        raise UserError("the signing key can be read by others", where=str(path),
                        todo=f"chmod 600 {path}, and make a new key if somebody may have copied it")
    return SigningKey(read_private(_read(path), str(path)))


def _make(folder: Path) -> None:
    """Write a new key pair; the private file appears whole and 0600, or not at all."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for name, data, mode in (("signing.pub", public_pem(key.public_key()), 0o644), ("signing.pem", pem, 0o600)):
        temporary = folder / f".{name}.tmp"
        temporary.unlink(missing_ok=True)  # of a process that was killed here; we hold the lock
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / name)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the key home's lock; a :class:`UserError` if the folder cannot be made or written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        raise UserError("the folder of signing keys cannot be written", where=str(folder),
                        todo="set SYNTH_KEY_HOME to a folder of yours, or give the key in SYNTH_SIGNING_KEY") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16)
    except OSError:
        raise UserError("the key file cannot be read", where=str(path)) from None


@dataclass(frozen=True, slots=True)
class Trust:
    """The names of the keys that are believed, and how they came to be (for messages)."""

    ids: frozenset[str]
    source: str
    pinned: bool  # True: the caller named the key, every other one is wrong

    def __contains__(self, name: str) -> bool:
        return name in self.ids


def trust(key: str | Path | None = None, home: Path | None = None) -> Trust:
    """Which keys are believed: only ``key`` if given, else ours and those of ``trusted/``.

    ``key`` is a PEM file, PEM text, or a key's name ``sha256:<hex>`` (enough, since a release carries its
    publisher's public key and the name is that key's digest).
    """
    if key is not None:
        text = str(key)
        if KEY_ID.fullmatch(text):
            return Trust(frozenset({text}), "the key name given", True)
        if "-----BEGIN" in text:
            return Trust(frozenset({key_id(read_public(text.encode(), "the key given"))}), "the key given", True)
        return Trust(frozenset({key_id(read_public(_read(Path(text)), text))}), text, True)
    folder = key_home(home)
    ids = set()
    for path in [folder / "signing.pub", *sorted((folder / "trusted").glob("*.pub"))]:
        if path.is_file():
            ids.add(key_id(read_public(_read(path), str(path))))
    if os.environ.get("SYNTH_SIGNING_KEY") or os.environ.get("SYNTH_SIGNING_KEY_FILE"):
        ids.add(signing_key(home).id)
    return Trust(frozenset(ids), str(folder / "trusted"), False)
