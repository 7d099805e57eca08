"""Make a release of what was judged, and publish it once."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth.contract import Contract
from synth.errors import InternalError, Rejected, SynthError, UserError
from synth.progress import Progress, Silent
from synth.release import manifest as contents
from synth.release.backends import copy_file
from synth.release.card import card
from synth.release.croissant import croissant
from synth.release.ledger import Ask, Ledger
from synth.release.manifest import MANIFEST, PUBLIC_KEY, SIGNATURE, Entry, Manifest
from synth.release.provenance import statement
from synth.release.published import LISTING, contract_yaml, listed_files, released
from synth.release.signing import SigningKey, public_pem, signing_key
from synth.release.store import Store
from synth.workspace import now, sha256_file


def assemble(release_dir: Path, *, contract: Contract, shards: Path, report: dict[str, Any], html: str,
             provenance: Mapping[str, Any], key: SigningKey | None = None) -> Manifest:
    """Write a whole release into ``release_dir``, whose last part is the version; the data set is ``contract.name``.

    ``shards`` is the folder of data files, Parquet tables and what they list, which becomes ``data/``; ``report``
    and ``html`` are the report and its JSON twin; ``provenance`` is described at
    :func:`synth.release.provenance.statement`. A folder left by an interrupted try is replaced.
    """
    version, created, key = release_dir.name, now(), key or signing_key()
    if not contents.VERSION.fullmatch(version):
        raise ValueError("the release folder is not called like a version")
    if release_dir.exists():
        shutil.rmtree(release_dir)
    (release_dir / "data").mkdir(parents=True)
    sources = sorted(path for path in shards.rglob("*") if path.is_file() and not path.is_symlink())
    if not any(path.suffix == ".parquet" for path in sources):
        raise InternalError("there are no shards to publish")
    for source in sources:
        target = release_dir / "data" / source.relative_to(shards)
        target.parent.mkdir(parents=True, exist_ok=True)
        copy_file(source, target)
    data, types = _describe(release_dir, contract)
    rows = sum(e.rows or 0 for e in data)
    texts = {
        "contract.yaml": contract_yaml(contract),
        "report.json": json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "report.html": html,
        "README.md": card(contract, report, version=version, rows=rows, created=created),
        "croissant.json": json.dumps(croissant(contract, data, types, version=version, created=created), indent=1,
                                     ensure_ascii=False) + "\n",
        PUBLIC_KEY: public_pem(key.public).decode(),
    }
    for name, text in texts.items():
        (release_dir / name).write_text(text, encoding="utf-8", newline="\n")
    until = contract.retention_until.isoformat() if contract.retention_until else None
    manifest = contents.build(release_dir, name=contract.name, version=version, created=created, retention_until=until)
    listed = manifest.to_bytes()
    (release_dir / MANIFEST).write_bytes(listed)
    signed = statement(contract, manifest, hashlib.sha256(listed).hexdigest(), provenance)
    (release_dir / SIGNATURE).write_bytes(key.envelope(signed))
    return manifest


def publish(release_root: Path, *, contract: Contract, shards: Path, report: dict[str, Any], html: str,
            provenance: Mapping[str, Any], store: str | Path | Store, run: str, keys: Path | None = None,
            progress: Progress | None = None, count: Count | None = None) -> dict[str, Any]:
    """Assemble ``release_root/VERSION`` and put it into ``store``; returns name, version, url, manifest_digest, key_id.

    Raises :class:`Rejected` unless ``provenance`` has gates and every one of them passed. The same ``run`` never
    publishes twice: a second call returns the version of the first. Whatever goes wrong
    before the last step (the index entry), a reader of the store sees nothing. ``keys`` is another key home.

    With ``count`` the release is counted in its source's ledger: refused if there is no room for it, written down
    before it becomes visible. A release that needs approvals is put in place and is not given out before it has them.
    """
    _all_passed(provenance)
    opened = store if isinstance(store, Store) else Store(store)
    key = signing_key(keys)
    reservation = opened.reserve(contract.name, run)
    if reservation.published is not None:
        return _result(opened, reservation.published)
    folder = release_root / reservation.version
    try:
        ledger = None if count is None else Ledger(opened, contract.ledger, keys)
        after = {}
        if ledger is not None and count is not None:
            read = ledger.check(count.ask, declared=contract.source_name is not None)
            after = {"ledger": {"source": read.source, "sequence": len(read.entries), "digest": read.head}}
        manifest = assemble(folder, contract=contract, shards=shards, report=report, html=html, key=key,
                            provenance={"run": run, **provenance, **after})
        size = manifest.size + sum((folder / n).stat().st_size for n in (MANIFEST, SIGNATURE))
        with (progress or Silent()).step(f"publish {reservation.name} {reservation.version}", size) as step:
            opened.put(reservation, folder, [f.path for f in manifest.files], step.update)
        digest = sha256_file(folder / MANIFEST)
        facts: dict[str, Any] = {
            "created": manifest.created, "rows": manifest.rows, "bytes": size, "synthetic": True,
            "manifest_digest": digest, "key_id": key.id, "domain": contract.domain,
            "contract_version": contract.version, "retention_until": manifest.retention_until,
            "standing": f"waiting for {contract.approvals} approval{'s' if contract.approvals > 1 else ''}"
            if contract.approvals else "", "waived": len(provenance.get("waivers") or ()),
        }
        if ledger is not None and count is not None:
            facts["ledger"] = ledger.publish(
                count.ask, declared=contract.source_name is not None, release=reservation.path, manifest_digest=digest,
                attacks=count.attacks, judged_with=count.judged_with)
        entry = opened.commit(reservation, facts)
    except BaseException as error:
        with contextlib.suppress(SynthError, OSError):
            opened.give_up(reservation)
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError("the disk is full", where=str(release_root),
                            todo="free some space, then go on with --resume; nothing was published") from None
        raise
    return _result(opened, entry)


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """What the ledger is told of a release."""

    ask: Ask
    attacks: tuple[Mapping[str, Any], ...] = ()  # the worst that the attacks reached
    judged_with: tuple[str, ...] | None = None  # manifest digests of the releases that were attacked beside it


def _all_passed(provenance: Mapping[str, Any]) -> None:
    """The last lock: whoever calls, nothing is published that a gate stopped or that none has judged.

    A gate that a person waived is one that they answer for: then the signature must say who and why.
    """
    gates = provenance.get("gates") or []
    allowed = ("pass", "waived") if provenance.get("waivers") else ("pass",)
    blocking = [f"{gate['gate']} ({gate['verdict']})" for gate in gates if gate["verdict"] not in allowed]
    if blocking or not gates:
        raise Rejected("not published: " + (f"the gates did not all pass: {', '.join(blocking)}" if blocking
                                            else "no gate has judged it"))


def _describe(release_dir: Path, contract: Contract) -> tuple[list[Entry], dict[str, str]]:
    """The shards as manifest entries, and the Arrow type of each column; all shards must look alike."""
    import pyarrow.parquet as pq

    paths = sorted((release_dir / "data").rglob(LISTING if listed_files(contract) else "*.parquet"))
    if not paths:
        raise InternalError("there is no table that lists the files to publish")
    schema = pq.read_schema(paths[0])
    if any(not pq.read_schema(p).equals(schema) for p in paths[1:]):
        raise InternalError("the shards to publish do not have the same columns")
    if set(schema.names) - {*(c.name for c in released(contract)), *listed_files(contract)}:
        raise InternalError("the shards to publish have a column that the contract does not release")
    _only_listed(release_dir / "data", paths, contract)
    entries = [Entry(path=p.relative_to(release_dir).as_posix(), sha256=sha256_file(p), bytes=p.stat().st_size,
                     rows=pq.read_metadata(p).num_rows) for p in paths]
    return entries, {f.name: str(f.type) for f in schema}


def _only_listed(data: Path, tables: list[Path], contract: Contract) -> None:
    """Every data file is a table or is listed by the table beside it, and the other way round: no stray file leaves."""
    import pyarrow.parquet as pq

    columns = listed_files(contract)
    wanted = {path.relative_to(data).as_posix() for path in tables}
    for path in tables if columns else ():
        present = [name for name in columns if name in pq.read_schema(path).names]
        folder = path.parent.relative_to(data)
        for cells in pq.read_table(path, columns=present).to_pydict().values():
            wanted |= {(folder / name).as_posix() for name in cells if name is not None}
    found = {path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()}
    if found != wanted:
        raise InternalError(f"the files to publish are not the listed ones: {len(found - wanted)} are not listed and "
                            f"{len(wanted - found)} are missing")


def _result(store: Store, entry: dict[str, Any]) -> dict[str, Any]:
    return {"name": entry["name"], "version": entry["version"],
            "url": f"{store.url}/{entry['name']}/{entry['version']}", "manifest_digest": entry["manifest_digest"],
            "key_id": entry["key_id"], "standing": entry.get("standing", "")}
