"""The bodies of the reviewer's commands: decide about a release, and look at a ledger."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pipelines.home import check_store, harden
from synth.errors import UserError, private_boundary


def red(text: str) -> str:
    """Red on a terminal, plain anywhere else."""
    return f"\033[31m{text}\033[0m" if text and sys.stdout.isatty() else text


def decide(decision: str, release: str, *, by: str, key: Path, reason: str, store: str, publisher: str | None) -> None:
    """Sign a decision about ``NAME@VERSION`` and put it beside the release."""
    from synth.release import desk
    from synth.release.ledger import Ledger
    from synth.release.pull import stated
    from synth.release.signing import trust
    from synth.release.statements import key_from
    from synth.release.store import Store

    harden()
    name, _, version = release.partition("@")
    if not version:
        raise UserError("name the release with its version", where=release[:100],
                        todo="`synth list` shows them: NAME@VERSION")
    with private_boundary(decision):
        opened = Store(check_store(store))
        entry = next((e for e in opened.entries(name) if e["version"] == version), None)
        if entry is None:
            raise UserError(f"the store has no release {name[:100]}@{version[:40]}", where=opened.url,
                            todo="`synth list` shows what it has")
        believed = trust(publisher)
        _, statement, signer = stated(opened, name, version, believed)
        if signer not in believed:
            raise UserError("the release is signed by a key that is not trusted here", where=signer,
                            todo="compare this name with what the publisher tells you by another way; then give it "
                                 f"with --publisher {signer}, or put their signing.pub into {believed.source}")
        about = desk.Release.of(name, version, statement, signer)
        signing = key_from(key)
        now = desk.decide(opened, about, decision, by=by, key=signing, reason=reason)
        opened.mark(name, version, standing=now.text)
        counted = entry.get("ledger")
        if decision == desk.REVOKE and signing.id == signer and isinstance(counted, dict):
            Ledger(opened, str(counted["source"])).close(str(entry["run"]), "revoked", reason)
    print(f"{name} {version}: {now.text or 'may be pulled'}\nsigned by {signing.id} as {by}")


def ledger(name: str, *, store: str, key: str | None) -> None:
    """A source's ledger, verified, as a table; and whether the releases it names say the same."""
    from pipelines.counting import described
    from pipelines.show import table
    from synth.release.ledger import Ledger
    from synth.release.store import Store

    with private_boundary("ledger"):
        opened = Store(check_store(store))
        book = Ledger(opened, name)
        read = book.read(key)
        if not read.entries:
            known = sorted({e["ledger"]["source"] for e in opened.entries() if isinstance(e.get("ledger"), dict)})
            raise UserError(f"the store has no ledger of source {name[:100]!r}", where=opened.url,
                            todo=f"it has those of {', '.join(known[:12])}" if known else
                            "a ledger begins with the first release")
        witnesses = book.witnesses(read)
    print(table(described(read)))
    print(f"\n{len(read.entries)} entries, chained and signed; the last is {read.head}\n"
          f"{witnesses} releases in the store say the same of it\n{totals(read)}")


def totals(read: Any) -> str:
    """What is spent, in a line."""
    from synth.release.accounts import RESERVED, others, together

    before = others(read.accounts, "")
    held = [a.run for a in before if a.state == RESERVED]
    text = f"spent: {together(a.spend for a in before)}" if before else "nothing is spent"
    return text + (f"; held back by {', '.join(held)}" if held else "")


def key(file: Path) -> None:
    """The name of a key, for a contract's approvers; of a private one, too."""
    from synth.release.signing import key_id, read_public
    from synth.release.statements import key_from

    with private_boundary("key"):
        try:
            data = file.read_bytes()[:1 << 16]
        except OSError:
            raise UserError("the key file cannot be read", where=str(file), todo="give a PEM file") from None
        print(key_from(file).id if b"PRIVATE KEY" in data else key_id(read_public(data, str(file))))
