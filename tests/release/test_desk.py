from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from synth.contract import Approver
from synth.errors import UserError, VerificationError
from synth.release import statements
from synth.release.desk import APPROVE, REJECT, REVOKE, Release, Standing, decide, standing
from synth.release.pull import list_releases, pull, stated
from synth.release.signing import SigningKey, signing_key, trust
from synth.release.statements import key_from
from synth.release.store import Store
from tests.release.bench_release import Bench, make_contract


@pytest.fixture
def people(bench: Bench) -> dict[str, SigningKey]:
    return {name: signing_key(bench.folder / f"keys-{name}") for name in ("okafor", "lindqvist", "stranger")}


def published(bench: Bench, people: dict[str, SigningKey], needed: int, run: str = "run-1") -> Release:
    contract = make_contract(approvals=needed, approvers=tuple(
        Approver(name=name, key=people[name].id) for name in ("okafor", "lindqvist")))
    made = bench.publish(contract=contract, run=run)
    _, statement, signer = stated(Store(bench.store), made["name"], made["version"], trust(None, bench.keys))
    return Release.of(made["name"], made["version"], statement, signer)


def say(bench: Bench, release: Release, decision: str, key: SigningKey, by: str = "A. Person", reason: str = "seen",
        ) -> Standing:
    return decide(Store(bench.store), release, decision, by=by, key=key, reason=reason)


def get(bench: Bench, **more: Any) -> Path:
    return pull("people", store=bench.store, to=bench.folder / "got", keys=bench.keys, **more)


def test_two_people_make_a_release_visible(bench: Bench, people: dict[str, SigningKey]) -> None:
    release = published(bench, people, 2)
    assert list_releases(bench.store)[0]["standing"] == "waiting for 2 approvals"
    with pytest.raises(UserError, match="waiting for 2 of 2 approvals"):
        get(bench, version=release.version)
    with pytest.raises(UserError, match=r"no release of 'people' is given out.*waiting for 2 approvals"):
        get(bench)
    assert say(bench, release, APPROVE, people["okafor"]).text == "waiting for 1 approval"
    with pytest.raises(UserError, match="has approved the release already"):
        say(bench, release, APPROVE, people["okafor"], by="Somebody Else")
    with pytest.raises(UserError, match="waiting for 1 of 2"):
        get(bench, version=release.version)
    assert say(bench, release, APPROVE, people["lindqvist"]).text == ""
    assert get(bench, version=release.version).is_dir()
    assert not list((bench.folder / "got").rglob(".*"))


def test_the_publisher_and_strangers_approve_nothing(bench: Bench, people: dict[str, SigningKey]) -> None:
    release = published(bench, people, 1)
    with pytest.raises(UserError, match="the second person is another one"):
        say(bench, release, APPROVE, signing_key(bench.keys))
    for decision in (APPROVE, REJECT, REVOKE):
        with pytest.raises(UserError, match="this key"):
            say(bench, release, decision, people["stranger"])
    own = make_contract(approvals=1, approvers=(Approver(name="me", key=signing_key(bench.keys).id),))
    made = bench.publish(contract=own, run="own")
    _, statement, signer = stated(Store(bench.store), "people", made["version"], trust(None, bench.keys))
    with pytest.raises(UserError, match="cannot approve it"):
        say(bench, Release.of("people", made["version"], statement, signer), APPROVE, signing_key(bench.keys))


@pytest.mark.parametrize("who", ["okafor", "publisher"])
def test_a_revoked_release_is_refused_with_who_when_and_why(bench: Bench, people: dict[str, SigningKey], who: str,
                                                            ) -> None:
    release = published(bench, people, 0)
    folder = get(bench)
    key = signing_key(bench.keys) if who == "publisher" else people[who]
    with pytest.raises(UserError, match="needs a reason"):
        say(bench, release, REVOKE, key, reason=" ")
    say(bench, release, REVOKE, key, by="A. Okafor", reason="a column was not\x1b[2J released")
    for there in (True, False):  # also what was pulled before
        with pytest.raises(UserError, match=r"was revoked by A. Okafor on 20.*a column was not") as caught:
            get(bench, version=release.version)
        assert "\x1b" not in str(caught.value)
        if there:
            shutil.rmtree(folder)
    for decision in (APPROVE, REJECT, REVOKE):
        with pytest.raises(UserError, match="stays so"):
            say(bench, release, decision, people["lindqvist"])


def test_the_newest_that_is_given_out_is_pulled(bench: Bench, people: dict[str, SigningKey]) -> None:
    first, second = (published(bench, people, 0, run=run) for run in ("a", "b"))
    store = Store(bench.store)
    store.mark("people", second.version, standing=say(bench, second, REJECT, people["okafor"]).text)
    assert [e["standing"] for e in list_releases(store)] == ["", "rejected"]
    assert get(bench).name == first.version


def decisions(bench: Bench, release: Release) -> Path:
    return bench.store / ".statements" / release.name / release.version


def test_an_approval_for_another_digest(bench: Bench, people: dict[str, SigningKey]) -> None:
    first, second = (published(bench, people, 1, run=run) for run in ("a", "b"))
    say(bench, first, APPROVE, people["okafor"])
    shutil.copytree(decisions(bench, first), decisions(bench, second))
    with pytest.raises(VerificationError, match="about another release"):
        get(bench, version=second.version)
    with pytest.raises(VerificationError, match="about another release"):
        say(bench, second, APPROVE, people["lindqvist"])


def test_decisions_that_were_changed_reordered_or_smuggled_in(bench: Bench, people: dict[str, SigningKey]) -> None:
    release = published(bench, people, 2)
    for name in ("okafor", "lindqvist"):
        say(bench, release, APPROVE, people[name])
    folder = decisions(bench, release)
    one, two = folder / "00000001.json", folder / "00000002.json"
    first, second = one.read_bytes(), two.read_bytes()
    for a, b, said in ((second, first, "does not follow"), (first, first, "does not follow"),
                       (first.replace(b'"payload": "e', b'"payload": "f'), second, "not one by key"),
                       (b"{}", second, "not a statement")):
        one.write_bytes(a)
        two.write_bytes(b)
        with pytest.raises(VerificationError, match=said):
            get(bench, version=release.version)
    one.write_bytes(first)
    two.unlink()
    with pytest.raises(UserError, match="waiting for 1"):  # an approval that was taken away is missing
        get(bench, version=release.version)
    stranger = Release(name=release.name, version=release.version, digest=release.digest, signer="x", needed=2,
                       approvers=frozenset({people["stranger"].id}))
    two.unlink(missing_ok=True)
    one.unlink()
    decide(Store(bench.store), stranger, APPROVE, by="x", key=people["stranger"], reason="")
    with pytest.raises(VerificationError, match="not one of those whose approval counts"):
        standing(Store(bench.store), release)


def test_the_index_cannot_lower_what_the_signature_asks_for(bench: Bench, people: dict[str, SigningKey]) -> None:
    release = published(bench, people, 1)
    Store(bench.store).mark("people", release.version, standing="")
    with pytest.raises(UserError, match="waiting for 1 of 1"):
        get(bench)


def test_a_clock_that_goes_back(bench: Bench, people: dict[str, SigningKey], monkeypatch: pytest.MonkeyPatch) -> None:
    release = published(bench, people, 2)
    say(bench, release, APPROVE, people["okafor"])

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) - timedelta(days=1)

    monkeypatch.setattr(statements, "datetime", Clock)
    with pytest.raises(UserError, match="clock is behind"):
        say(bench, release, APPROVE, people["lindqvist"])


def test_a_persons_key_file(bench: Bench, people: dict[str, SigningKey]) -> None:
    path = bench.folder / "keys-okafor" / "signing.pem"
    assert key_from(path).id == people["okafor"].id
    path.chmod(0o640)
    with pytest.raises(UserError, match="can be read by others") as caught:
        key_from(path)
    assert "chmod 600" in caught.value.todo
    with pytest.raises(UserError, match="cannot be read"):
        key_from(bench.folder / "lost.pem")
    text = bench.folder / "text.pem"
    text.write_text("hello")
    text.chmod(0o600)
    with pytest.raises(UserError, match="not an Ed25519 private key"):
        key_from(text)


@pytest.mark.parametrize(("by", "reason"), [(" ", "x"), ("x" * 3000, "x"), ("A", "x" * 3000)])
def test_who_decides_says_who(bench: Bench, people: dict[str, SigningKey], by: str, reason: str) -> None:
    release = published(bench, people, 1)
    with pytest.raises(UserError, match="the name of who takes it"):
        say(bench, release, APPROVE, people["okafor"], by=by, reason=reason)
