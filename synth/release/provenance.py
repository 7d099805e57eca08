"""What the signature states: an in-toto Statement v1 with a SLSA provenance v1 predicate.

The subjects are the manifest and every file it lists, so the statement alone names a changed file. The
predicate says which code ran under which contract, which plan was fixed before training, and what the gates
said against which limits.

The run's seed is *not* in it, and neither is any digest of it: with the seed and the public code, somebody who
suspects that a person was in the private table could train on a guess and compare bytes, which is an exact
membership oracle. The seed stays in the run's private record.

Specifications: https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import synth
from synth.contract import Contract
from synth.errors import VerificationError
from synth.release.manifest import MANIFEST, Manifest, statement_subjects

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:synth-pipeline:release:1"
BUILDER = "urn:synth-pipeline:builder:1"

# What a caller may put into the statement; anything else is a mistake that would be published for ever.
KNOWN = frozenset({"plan_digest", "gates", "commit", "run", "started", "attempts", "recipe", "ledger", "waivers"})
_GATE_KEYS = ("gate", "verdict", "limits")


def code_commit() -> str | None:
    """The git commit of the code that runs, with ``-dirty`` if files were changed since; ``None`` outside git."""
    here = Path(__file__).resolve().parents[2]
    git = ["git", "-C", str(here)]
    try:
        top = subprocess.run([*git, "rev-parse", "--show-toplevel", "HEAD"], capture_output=True, text=True,
                             timeout=10, check=True).stdout.split("\n")
        if Path(top[0]).resolve() != here:  # installed below somebody else's repository
            return None
        status = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True,
                                text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return top[1] + ("-dirty" if status.strip() else "")


def statement(contract: Contract, manifest: Manifest, manifest_digest: str,
              provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The statement to sign. ``provenance`` has the keys of :data:`KNOWN`; ``plan_digest`` and ``gates`` are needed.

    ``gates`` is a list of ``{"gate", "verdict", "limits"}``. Raises ``ValueError`` for an unknown or missing key.
    """
    unknown, missing = set(provenance) - KNOWN, {"plan_digest", "gates"} - set(provenance)
    if unknown or missing:
        raise ValueError(f"provenance: unknown keys {sorted(unknown)}, missing keys {sorted(missing)}")
    commit = provenance.get("commit") or code_commit()
    code: dict[str, Any] = {"uri": f"pkg:pypi/synth-pipeline@{synth.__version__}"}
    if commit:
        code["digest"] = {"gitCommit": commit.removesuffix("-dirty")}
        code["annotations"] = {"changedSinceCommit": commit.endswith("-dirty")}
    parameters = {
        "name": manifest.name, "version": manifest.version, "synthetic": True, "domain": contract.domain,
        "contract": {"digest": {"sha256": contract.digest}, "version": contract.version},
        "plan": {"digest": {"sha256": provenance["plan_digest"]}},
        "gates": [{key: gate[key] for key in _GATE_KEYS} for gate in provenance["gates"]],
        "recipe": provenance.get("recipe", contract.training.recipe),
        "attempts": provenance.get("attempts"),
        "waivers": provenance.get("waivers") or None,
        "ledger": provenance.get("ledger"),  # the last entry that this release came after
        "approvals": {"needed": contract.approvals, "keys": [a.key for a in contract.approvers]}
        if contract.approvals or contract.approvers else None,
        "retentionUntil": manifest.retention_until,
    }
    metadata = {"invocationId": provenance.get("run"), "startedOn": provenance.get("started"),
                "finishedOn": manifest.created}
    return {
        "_type": STATEMENT_TYPE,
        "subject": statement_subjects(manifest, manifest_digest),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {"buildType": BUILD_TYPE, "externalParameters": _without_none(parameters),
                                "resolvedDependencies": [code]},
            "runDetails": {"builder": {"id": BUILDER, "version": {"synth": synth.__version__}},
                           "metadata": _without_none(metadata)},
        },
    }


def _without_none(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if value is not None}


def digests(statement: Mapping[str, Any]) -> dict[str, str]:
    """Path -> SHA-256 of the files that a (verified) statement names.

    Raises :class:`VerificationError` if it is no statement of ours.
    """
    try:
        kind = (statement["_type"], statement["predicateType"],
                statement["predicate"]["buildDefinition"]["buildType"])
        found = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    except (KeyError, TypeError):
        kind, found = ("", "", ""), {}
    plain = all(isinstance(text, str) for item in found.items() for text in item)
    if kind != (STATEMENT_TYPE, PREDICATE_TYPE, BUILD_TYPE) or MANIFEST not in found or not plain:
        raise VerificationError("what was signed is not the provenance of a release")
    return found


def desk_rules(statement: Mapping[str, Any]) -> tuple[int, tuple[str, ...]]:
    """How many approvals a (verified) statement asks for, and the names of the keys that count."""
    try:
        said = statement["predicate"]["buildDefinition"]["externalParameters"].get("approvals")
        if said is None:
            return 0, ()
        needed, keys = said["needed"], tuple(said["keys"])
        if type(needed) is int and 0 <= needed <= len(keys) and all(isinstance(key, str) for key in keys):
            return needed, keys
    except (KeyError, TypeError, AttributeError):
        pass
    raise VerificationError("what was signed does not say who must approve it")


def counted_after(statement: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The ledger entry after which a (verified) statement says that its release was counted."""
    try:
        found = statement["predicate"]["buildDefinition"]["externalParameters"].get("ledger")
    except (KeyError, TypeError, AttributeError):
        return None
    return found if isinstance(found, Mapping) else None


def identity(statement: Mapping[str, Any]) -> tuple[str, str]:
    """Name and version that a (verified) statement speaks of."""
    try:
        parameters = statement["predicate"]["buildDefinition"]["externalParameters"]
        return str(parameters["name"]), str(parameters["version"])
    except (KeyError, TypeError):
        raise VerificationError("what was signed names no release") from None
