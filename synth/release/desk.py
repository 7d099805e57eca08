"""The reviewer's desk: who approved, rejected or revoked a release, and whether it may be given out.

    STORE/.statements/NAME/VERSION/00000001.json, ...

Each decision is signed with the key of the person who took it, speaks of the digest of the release's manifest, and
follows from the decision before it. How many approvals a release needs, and by which keys, stands in the release's
own signature, so that nobody who can write the store can lower it. One key approves once, and the key that signed
the release approves nothing: the second pair of eyes is another person's. A rejected or revoked release stays so;
what is right is published anew.

Whoever can write the store can take a decision away again. A missing approval stops a release, as it should; that a
*revocation* was taken away is seen by nobody who did not see it before (docs/threat-model.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synth.errors import UserError, VerificationError
from synth.release.manifest import MANIFEST
from synth.release.provenance import desk_rules, digests
from synth.release.signing import SigningKey
from synth.release.statements import NOTHING, behind, clock, seal, unseal
from synth.release.store import Store

KIND = "urn:synth-pipeline:decision:1"
FOLDER = ".statements"
APPROVE, REJECT, REVOKE = "approve", "reject", "revoke"
DECISIONS = (APPROVE, REJECT, REVOKE)
_PAST = {APPROVE: "approved", REJECT: "rejected", REVOKE: "revoked"}
LONGEST = 2000  # letters of a name or a reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a person decided about a release."""

    decision: str
    by: str  # as they call themselves
    key: str  # as their key proves
    at: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """What the desk must know of a release, from its verified signature."""

    name: str
    version: str
    digest: str  # of its manifest
    signer: str  # name of the key that signed it
    needed: int  # approvals before it is visible
    approvers: frozenset[str]  # names of the keys that count

    @classmethod
    def of(cls, name: str, version: str, statement: Mapping[str, Any], signer: str) -> Release:
        """From a release's statement, whose signature was found good."""
        needed, keys = desk_rules(statement)
        return cls(name=name, version=version, digest=digests(statement)[MANIFEST], signer=signer, needed=needed,
                   approvers=frozenset(keys) - {signer})

    @property
    def subject(self) -> str:
        """What a decision is about."""
        return f"{self.name}/{self.version}/{MANIFEST}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a release stands."""

    release: Release
    decisions: tuple[Decision, ...]
    head: str

    @property
    def last_word(self) -> Decision | None:
        """The rejection or revocation, if there is one."""
        return next((d for d in self.decisions if d.decision in (REJECT, REVOKE)), None)

    @property
    def missing(self) -> int:
        """Approvals that still are needed."""
        return max(self.release.needed - sum(d.decision == APPROVE for d in self.decisions), 0)

    @property
    def text(self) -> str:
        """For a list: empty if the release is given out."""
        if self.last_word is not None:
            return _PAST[self.last_word.decision]
        return f"waiting for {self.missing} approval{'s' if self.missing > 1 else ''}" if self.missing else ""

    def admit(self, where: str) -> None:
        """A :class:`UserError` unless the release may be given out: who stopped it, when and why."""
        name = f"{self.release.name} {self.release.version}"
        if (last := self.last_word) is not None:
            raise UserError(f"{name} was {_PAST[last.decision]} by {_plain(last.by)} on {last.at}: "
                            f"{_plain(last.reason) or 'no reason given'}", where=where,
                            todo="do not use it, and delete copies of it; ask the publisher for another version")
        if self.missing:
            raise UserError(f"{name} is waiting for {self.missing} of {self.release.needed} approvals", where=where,
                            todo=f"an approver named in its contract runs `synth approve {self.release.name}@"
                                 f"{self.release.version} --as NAME --key FILE`")


def standing(store: Store, release: Release) -> Standing:
    """Read and check all decisions about a release.

    Raises :class:`VerificationError` for a decision that was changed, is about another release or digest, is by a key
    that does not count, or does not follow from the one before it.
    """
    folder = f"{FOLDER}/{release.name}/{release.version}"
    found: list[Decision] = []
    head = NOTHING
    for number, data in enumerate(store.series(folder), start=1):
        where = f"{store.url}/{folder}/{number:08d}.json"
        sealed = unseal(data, KIND, where)
        said = {key: sealed.said.get(key) for key in ("decision", "by", "at", "reason", "previous")}
        if sealed.subject != release.subject or sealed.digest != release.digest:
            raise VerificationError("this decision was taken about another release", where=where,
                                    todo="somebody put it here; remove it, and decide about this release")
        if said["decision"] not in DECISIONS or not all(isinstance(v, str) for v in said.values()):
            raise VerificationError("this decision cannot be read", where=where, todo="restore it from a copy")
        decision = Decision(decision=str(said["decision"]), by=str(said["by"]), key=sealed.key, at=str(said["at"]),
                            reason=str(said["reason"]))
        if said["previous"] != head or (found and behind(decision.at, found[-1].at)):
            raise VerificationError("this decision does not follow from the one before it", where=where,
                                    todo="one of the two was replaced; restore them from a copy")
        if problem := _counts(release, tuple(found), decision):
            raise VerificationError(problem, where=where, todo="remove it; it was not written by `synth`")
        found.append(decision)
        head = sealed.itself
    return Standing(release=release, decisions=tuple(found), head=head)


def decide(store: Store, release: Release, decision: str, *, by: str, key: SigningKey, reason: str) -> Standing:
    """Add a decision; returns where the release stands then.

    Raises :class:`UserError` if the key may not decide so, has approved already, or the release was stopped before.
    """
    if decision not in DECISIONS:
        raise ValueError(f"unknown decision {decision!r}")
    where = f"{release.name}@{release.version}"
    if not by.strip() or max(len(by), len(reason)) > LONGEST:
        raise UserError("a decision needs the name of who takes it, and a reason that fits on a page", where="--as",
                        todo="say who you are, e.g. --as \"A. Okafor\"")
    if decision != APPROVE and not reason.strip():
        raise UserError(f"to {decision} needs a reason", where="--reason", todo="say why; whoever pulls is told")
    while True:
        now = standing(store, release)
        new = Decision(decision=decision, by=by.strip(), key=key.id, reason=reason.strip(),
                       at=clock(now.decisions[-1].at if now.decisions else None, where))
        if problem := _counts(release, now.decisions, new):
            raise UserError(problem, where=f"{where}, key {key.id}", todo=_TODO[decision])
        said = {"decision": decision, "by": new.by, "at": new.at, "reason": new.reason, "previous": now.head}
        data = seal(key, kind=KIND, subject=release.subject, digest=release.digest, said=said)
        if store.extend(f"{FOLDER}/{release.name}/{release.version}", len(now.decisions) + 1, data):
            return Standing(release=release, decisions=(*now.decisions, new), head=hashlib.sha256(data).hexdigest())


_TODO = {
    APPROVE: "the contract's `synthesis.approvers` names the keys that count; give your own with --key",
    REJECT: "an approver of the contract can reject it, and its publisher",
    REVOKE: "an approver of the contract can revoke it, and its publisher",
}


def _counts(release: Release, before: tuple[Decision, ...], new: Decision) -> str:
    """Why a decision does not count after those before it; empty if it does."""
    stopped = next((d for d in before if d.decision in (REJECT, REVOKE)), None)
    if stopped is not None:
        return f"the release was {_PAST[stopped.decision]} on {stopped.at}, and stays so"
    if new.decision == APPROVE:
        if new.key == release.signer:
            return "the key that signed the release cannot approve it: the second person is another one"
        if new.key not in release.approvers:
            return "this key is not one of those whose approval counts for this release"
        if new.key in {d.key for d in before if d.decision == APPROVE}:
            return "this key has approved the release already; the same person does not count twice"
    elif new.key not in release.approvers | {release.signer}:
        return f"this key may not {new.decision} the release"
    return ""


def _plain(text: str) -> str:
    """Text from elsewhere for a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:300])
