"""Small signed statements that stand beside releases: entries of a ledger, decisions of reviewers.

One is a DSSE envelope round an in-toto Statement v1, as a release's own signature is, with the signer's public key
in it, so that a reader needs nothing but the names of the keys to believe. Which names those are, and what a
statement must follow from, is for :mod:`synth.release.ledger` and :mod:`synth.release.desk` to say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from synth.errors import UserError, VerificationError
from synth.release.provenance import STATEMENT_TYPE
from synth.release.signing import SigningKey, key_id, open_envelope, public_pem, read_private, read_public

NOTHING = "0" * 64  # what the first of a chain follows from
SKEW = timedelta(minutes=5)  # clocks of two machines may differ by so much
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sealed:
    """A statement whose signature was found good; whether its ``key`` is believed is another question."""

    kind: str
    subject: str  # the name of what it speaks of
    digest: str  # SHA-256 of what it speaks of, hex
    said: dict[str, Any]
    key: str  # the signer's name, sha256:...
    itself: str  # SHA-256 of the statement's own file, hex


def seal(key: SigningKey, *, kind: str, subject: str, digest: str, said: Mapping[str, Any]) -> bytes:
    """The file of a statement ``said`` about ``subject``."""
    envelope = json.loads(key.envelope({
        "_type": STATEMENT_TYPE, "subject": [{"name": subject, "digest": {"sha256": digest}}],
        "predicateType": kind, "predicate": dict(said)}))
    return (json.dumps({**envelope, "publicKey": public_pem(key.public).decode()}, indent=1) + "\n").encode()


def unseal(data: bytes, kind: str, where: str) -> Sealed:
    """Read a statement of a kind; a :class:`VerificationError` if it is none or was changed after it was signed."""
    try:
        outer = json.loads(data)
        public = read_public(str(outer["publicKey"]).encode(), where)
        statement = open_envelope(data, public)
        (subject,) = statement["subject"]
        found = (statement["_type"], statement["predicateType"])
        name, digest, said = subject["name"], subject["digest"]["sha256"], statement["predicate"]
        sound = found == (STATEMENT_TYPE, kind) and isinstance(said, dict) and all(
            isinstance(text, str) for text in (name, digest))
    except VerificationError as error:
        raise VerificationError(error.what, where=where, todo="somebody changed it; restore it from a copy") from None
    except (UserError, ValueError, KeyError, TypeError, RecursionError):
        sound = False
    if not sound:
        raise VerificationError("this is not a statement of the kind that belongs here", where=where,
                                todo="somebody changed it; restore it from a copy")
    return Sealed(kind=kind, subject=name, digest=digest, said=said, key=key_id(public),
                  itself=hashlib.sha256(data).hexdigest())


def clock(latest: str | None, where: str) -> str:
    """The time now; a :class:`UserError` if this machine's clock is behind the ``latest`` statement's."""
    present = datetime.now(UTC)
    if latest is not None and behind(present.strftime(_TIME), latest):
        raise UserError(f"this machine's clock is behind the last entry, which was made {latest}", where=where,
                        todo="set the clock; if it is right, somebody wrote there with a clock that is ahead")
    return present.strftime(_TIME)


def behind(time: str, latest: str) -> bool:
    """True if ``time`` is before ``latest`` by more than clocks differ; times that cannot be read are behind."""
    try:
        return datetime.strptime(time, _TIME) < datetime.strptime(latest, _TIME) - SKEW
    except (ValueError, TypeError):
        return True


def older(time: str, age: timedelta) -> bool:
    """True if ``time`` is longer ago than ``age``."""
    return behind(time, (datetime.now(UTC) - age + SKEW).strftime(_TIME))


def key_from(path: Path) -> SigningKey:
    """A person's private key from a file that only they can read.

    Raises :class:`UserError` if it is not there, is no Ed25519 key, or may be read by others.
    """
    try:
        mode, data = path.stat().st_mode, path.read_bytes()[:1 << 16]
    except OSError:
        raise UserError("the key file cannot be read", where=str(path),
                        todo="give your private key (`openssl genpkey -algorithm ed25519 -out me.pem; chmod 600 "
                             "me.pem`); if it is lost, put a new one into the contract") from None
    if mode & 0o077:
        raise UserError("the key can be read by others", where=str(path),
                        todo=f"chmod 600 {path}, and make a new key if somebody may have copied it")
    return SigningKey(read_private(data, str(path)))
