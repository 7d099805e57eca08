from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import UserError, VerificationError
from synth.release import backends, statements
from synth.release.accounts import Account, Spend, room, together
from synth.release.ledger import Ask, Ledger, Overtaken
from synth.release.signing import signing_key
from synth.release.sketch import SIZE, LedgerKey, Sketch, overlap
from synth.release.store import Store
from tests.release.bench_release import Bench, full

TOTAL = Spend(epsilon=3.0, delta=3e-6)


@pytest.fixture
def ledger(bench: Bench) -> Ledger:
    return Ledger(Store(bench.store), "people", bench.keys)


def people(numbers: range | np.ndarray, keys: Path) -> Sketch:
    return Sketch.of(np.array(numbers, np.uint64), "people", LedgerKey.of(signing_key(keys)))


def ask(run: str, keys: Path, *, epsilon: float | None = 1.0, total: Spend | None = TOTAL, **changed: Any) -> Ask:
    spend = Spend.none() if epsilon is None else Spend(epsilon=epsilon, delta=1e-6)
    fields: dict[str, Any] = dict(run=run, contract="people 1.0.0", contract_digest="c" * 64, plan_digest="d" * 64,
                                  spend=spend, total=total, people=people(range(300), keys))
    return Ask(**{**fields, **changed})


def release(ledger: Ledger, asked: Ask, number: int = 1, **more: Any) -> dict[str, Any]:
    return ledger.publish(asked, declared=True, release=f"people/2026.01.01.{number}", manifest_digest=f"{number:064d}",
                          attacks=[{"id": "leakage.membership.auc", "value": 0.51}], **more)


def entries(ledger: Ledger) -> list[Path]:
    return sorted((Path(ledger.store.url) / ledger.folder).iterdir())


def test_a_budget_is_held_back_spent_and_used_up(ledger: Ledger, bench: Bench) -> None:
    for number in (1, 2, 3):
        asked = ask(f"run-{number}", bench.keys)
        held = ledger.reserve(asked, declared=True)
        assert ledger.reserve(asked, declared=True) == held  # resumed: it is held already
        release(ledger, asked, number)
    with pytest.raises(UserError, match="used up") as caught:
        ledger.reserve(ask("run-4", bench.keys, epsilon=0.01), declared=True)
    assert caught.value.exit_code == 2 and "epsilon 3" in str(caught.value)
    accounts = ledger.read().released()
    assert [a.release for a in accounts] == [f"people/2026.01.01.{n}" for n in (1, 2, 3)]
    assert accounts[0].attacks[0]["value"] == 0.51 and accounts[0].people is not None


def test_a_reservation_counts_until_it_is_cancelled_and_a_withheld_run_for_ever(ledger: Ledger, bench: Bench) -> None:
    ledger.reserve(ask("run-1", bench.keys, epsilon=2), declared=True)
    with pytest.raises(UserError, match="not finished: run-1"):
        ledger.reserve(ask("run-2", bench.keys, epsilon=2), declared=True)
    ledger.close("run-1", "cancelled", "the disk broke")
    ledger.reserve(ask("run-2", bench.keys, epsilon=2), declared=True)
    ledger.close("run-2", "withheld", "the gates said no")  # somebody read its report, and may try again: that counts
    with pytest.raises(UserError, match="used up"):
        ledger.reserve(ask("run-3", bench.keys, epsilon=2), declared=True)
    assert ledger.read().accounts["run-1"].reason == "the disk broke"


def test_an_old_reservation_is_named_when_it_expires_and_must_find_room_again(
        ledger: Ledger, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = ask("run-dead", bench.keys, epsilon=2)
    with monkeypatch.context() as patch:
        patch.setattr(statements, "datetime", shifted(timedelta(days=-8)))
        ledger.reserve(dead, declared=True)
    ledger.reserve(ask("run-alive", bench.keys, epsilon=2), declared=True)
    read = ledger.read()
    assert [e["event"] for e in read.entries] == ["reserved", "expired", "reserved"]
    assert read.entries[1]["run"] == "run-dead" and "never finished" in read.entries[1]["reason"]
    with pytest.raises(UserError, match="used up"):
        release(ledger, dead)  # it comes back from the dead


def shifted(by: timedelta) -> type:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) + by

    return Clock


def test_a_clock_that_goes_back_is_refused(ledger: Ledger, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    release(ledger, ask("run-1", bench.keys))
    monkeypatch.setattr(statements, "datetime", shifted(timedelta(hours=-1)))
    with pytest.raises(UserError, match="clock is behind"):
        release(ledger, ask("run-2", bench.keys), 2)
    assert len(entries(ledger)) == 2


def _edit(ledger: Ledger, number: int) -> None:
    path = entries(ledger)[number - 1]
    path.write_text(path.read_text().replace('"payload": "e', '"payload": "f', 1))


def _swap(ledger: Ledger, first: int, second: int) -> None:
    one, two = entries(ledger)[first - 1], entries(ledger)[second - 1]
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)


TAMPERED = {
    "edited": (lambda ledger: _edit(ledger, 2), "not one by key"),
    "cut short": (lambda ledger: entries(ledger)[-1].unlink(), "cut short: it has 5 entries"),
    "one in the middle gone": (lambda ledger: entries(ledger)[2].unlink(), "cut short: it has 2 entries"),
    "all gone, releases still there": (lambda ledger: shutil.rmtree(Path(ledger.store.url) / ledger.folder),
                                       "cut short: it has 0 entries"),
    "reordered": (lambda ledger: _swap(ledger, 2, 4), "out of its place"),
    "no JSON": (lambda ledger: entries(ledger)[0].write_bytes(b"["), "not a statement"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_named(bench: Bench, how: str) -> None:
    """With releases published beside it, so that their index lines bear witness, too."""
    ledger = Ledger(Store(bench.store), "people", bench.keys)
    for number in (1, 2, 3):
        asked = ask(f"run-{number}", bench.keys)
        ledger.reserve(asked, declared=True)
        release(ledger, asked, number)
    bench.publish()
    change, said = TAMPERED[how]
    change(ledger)
    with pytest.raises(VerificationError, match=said):
        ledger.read()
    with pytest.raises(VerificationError):  # and nothing more is spent on such a ledger
        ledger.reserve(ask("run-9", bench.keys, epsilon=0.1), declared=True)


def test_an_entry_of_another_ledger_or_another_signer_is_refused(ledger: Ledger, bench: Bench) -> None:
    release(ledger, ask("run-1", bench.keys, epsilon=None, total=None))
    other = Ledger(ledger.store, "others", bench.keys)
    release(other, ask("run-1", bench.keys, epsilon=None, total=None))
    shutil.copy(entries(other)[0], entries(ledger)[0])
    with pytest.raises(VerificationError, match=r"out of its place: it is entry 1 of source 'others'"):
        ledger.read()
    stranger = Ledger(Store(bench.folder / "elsewhere"), "people", bench.folder / "strange-keys")
    release(stranger, ask("run-1", bench.folder / "strange-keys"))
    with pytest.raises(VerificationError, match="key that is not trusted"):
        Ledger(stranger.store, "people", bench.keys).read()


def test_a_lost_key(ledger: Ledger, bench: Bench) -> None:
    """The old public half lets the ledger be read again; whom the old releases were about can no longer be compared."""
    release(ledger, ask("run-1", bench.keys))
    home = bench.folder / "new-keys"
    renewed = Ledger(ledger.store, "people", home)
    signing_key(home)
    with pytest.raises(VerificationError, match="not trusted here") as caught:
        renewed.read()
    assert "publisher.pub" in caught.value.todo
    (home / "trusted").mkdir()
    shutil.copy(bench.keys / "signing.pub", home / "trusted" / "old.pub")
    asked = ask("run-2", home)
    release(renewed, asked, 2)
    (before, _) = renewed.read().released()
    assert before.people is not None and overlap(asked.people, before.people) is None
    with pytest.raises(UserError, match="used up"):  # the budget is counted all the same
        renewed.reserve(ask("run-3", home, epsilon=1.5), declared=True)


def test_a_rewritten_ledger_is_noticed_by_the_machine_that_saw_it(ledger: Ledger, bench: Bench) -> None:
    """Whoever has the signing key can write a chain that is whole; the memory of the key home knows better."""
    asked = ask("run-1", bench.keys)
    ledger.reserve(asked, declared=True)
    release(ledger, asked)
    heads = bench.keys / "ledgers.json"
    assert heads.stat().st_mode & 0o077 == 0
    kept = heads.read_text()
    bench.publish(run="other")  # the store is not empty
    for path in entries(ledger):
        path.unlink()
    heads.unlink()
    release(ledger, ask("run-1", bench.keys, epsilon=0.001))
    release(ledger, ask("run-2", bench.keys, epsilon=0.001), 2)
    heads.write_text(kept)
    with pytest.raises(VerificationError, match="rewritten: this machine"):
        ledger.read()


def test_a_store_thrown_away_starts_a_ledger_that_says_so_and_keeps_no_total(ledger: Ledger, bench: Bench) -> None:
    release(ledger, ask("run-1", bench.keys))
    shutil.rmtree(bench.store)
    with pytest.raises(UserError, match="started again in an empty store"):
        ledger.reserve(ask("run-2", bench.keys), declared=True)
    release(ledger, ask("run-3", bench.keys, total=None), 3)
    assert [e["event"] for e in ledger.read().entries] == ["restarted", "reserved", "published"]


def test_what_was_promised_binds_later_contracts(ledger: Ledger, bench: Bench) -> None:
    release(ledger, ask("run-1", bench.keys))
    with pytest.raises(UserError, match=r"promised the same people.*epsilon 3"):
        ledger.check(ask("run-2", bench.keys, epsilon=None, total=None), declared=True)
    plain = Ledger(ledger.store, "plain", bench.keys)
    release(plain, ask("run-1", bench.keys, epsilon=None, total=None))
    with pytest.raises(UserError, match="no formal guarantee, so no total"):
        plain.check(ask("run-2", bench.keys), declared=True)
    plain.check(ask("run-2", bench.keys, total=None), declared=True)


def test_another_name_for_the_same_people_is_noticed(bench: Bench) -> None:
    store = Store(bench.store)
    first = Ledger(store, "people", bench.keys)
    rng = np.random.default_rng(1)
    everybody = rng.integers(0, 2**63, 20_000).astype(np.uint64)
    place = release(first, ask("run-1", bench.keys, people=people(everybody[:12_000], bench.keys)))
    made = bench.publish(run="seen")
    store.mark("people", made["version"], ledger=place)
    renamed = Ledger(store, "renamed", bench.keys)
    again = ask("run-2", bench.keys, people=people(everybody[4_000:16_000], bench.keys))  # two thirds the same
    with pytest.raises(UserError, match=r"of the people behind this release are in releases of the source 'people'"):
        renamed.check(again, declared=False)
    renamed.check(again, declared=True)  # a person says that they are others; the report shows the overlap
    ((source, shared),) = renamed.elsewhere(again.people)
    assert source == "people" and shared.low <= 2 / 3 <= shared.high
    fresh = ask("run-3", bench.keys, people=people(everybody[12_000:], bench.keys))
    renamed.check(fresh, declared=False)
    assert renamed.elsewhere(fresh.people) == []


def test_a_release_judged_without_another_one_is_judged_again(ledger: Ledger, bench: Bench) -> None:
    release(ledger, ask("run-1", bench.keys, epsilon=None, total=None), judged_with=[])
    with pytest.raises(Overtaken, match="judged again"):
        release(ledger, ask("run-2", bench.keys, epsilon=None, total=None), 2, judged_with=[])
    release(ledger, ask("run-2", bench.keys, epsilon=None, total=None), 2, judged_with=[f"{1:064d}"])


def _race(folder: str, worker: int, start: Any) -> str:
    os.environ["SYNTH_KEY_HOME"] = f"{folder}/keys"
    keys = Path(folder) / "keys"
    ledger = Ledger(Store(Path(folder) / "store"), "people", keys)
    asked = ask(f"run-{worker}", keys, epsilon=2)
    start.wait(60)
    try:
        ledger.reserve(asked, declared=True)
    except UserError as error:
        return error.what
    return "reserved"


def test_processes_that_race_for_the_last_of_the_budget(bench: Bench) -> None:
    signing_key(bench.keys)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(4) as pool:
        start = manager.Barrier(4)
        said = pool.starmap(_race, [(str(bench.folder), worker, start) for worker in range(4)], chunksize=1)
    assert said.count("reserved") == 1, said
    assert sum("used up" in what for what in said) == 3
    assert [e["event"] for e in Ledger(Store(bench.store), "people", bench.keys).read().entries] == ["reserved"]


def _reserve_and_hang(folder: str) -> None:
    os.environ["SYNTH_KEY_HOME"] = f"{folder}/keys"
    keys = Path(folder) / "keys"
    Ledger(Store(Path(folder) / "store"), "people", keys).reserve(ask("run-1", keys, epsilon=2), declared=True)
    Path(folder, "reserved").touch()
    time.sleep(60)


def test_kill_nine_between_reservation_and_publication(bench: Bench) -> None:
    """What the killed run held back stays held back; it goes on itself, or expires after days."""
    process = multiprocessing.get_context("spawn").Process(target=_reserve_and_hang, args=(str(bench.folder),))
    process.start()
    deadline = time.monotonic() + 60
    while not (bench.folder / "reserved").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    ledger = Ledger(Store(bench.store), "people", bench.keys)
    with pytest.raises(UserError, match="not finished: run-1"):
        ledger.reserve(ask("run-2", bench.keys, epsilon=2), declared=True)
    mine = ask("run-1", bench.keys, epsilon=2)
    ledger.reserve(mine, declared=True)
    release(ledger, mine)
    assert [e["event"] for e in ledger.read().entries] == ["reserved", "published"]


def test_a_full_disk_adds_no_half_entry(ledger: Ledger, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    release(ledger, ask("run-1", bench.keys))
    with monkeypatch.context() as patch:
        patch.setattr(backends, "_write", full)
        with pytest.raises(UserError, match="disk is full"):
            release(ledger, ask("run-2", bench.keys), 2)
    assert len(list((bench.store / ledger.folder).iterdir())) == 2  # no temporary file either
    release(ledger, ask("run-2", bench.keys), 2)


def test_a_killed_writers_half_entry_is_no_entry(ledger: Ledger, bench: Bench) -> None:
    release(ledger, ask("run-1", bench.keys))
    (bench.store / ledger.folder / ".00000003.json.tmp").write_bytes(b"{")
    release(ledger, ask("run-2", bench.keys), 2)
    assert len(ledger.read().entries) == 4


@pytest.mark.parametrize("url", ["memory://ledger-test/x"])
def test_another_kind_of_store(url: str, bench: Bench) -> None:
    ledger = Ledger(Store(url), "people", bench.keys)
    release(ledger, ask("run-1", bench.keys))
    assert len(ledger.read().released()) == 1


def test_the_sketch_says_nothing_without_the_key(bench: Bench) -> None:
    few = people(range(40), bench.keys)
    assert few.complete and len(few.values) == SIZE and few.count == 40
    noise = people(range(40), bench.keys)
    assert overlap(few, noise) is not None and len(np.intersect1d(few.values, noise.values)) == 40
    stranger = Sketch.of(np.arange(40, dtype=np.uint64), "people", LedgerKey.of(signing_key(bench.folder / "k2")))
    assert len(np.intersect1d(few.values, stranger.values)) == 0 and overlap(few, stranger) is None
    assert Sketch.from_json(json.loads(json.dumps(few.to_json())), "x").to_json() == few.to_json()
    assert "secret" not in repr(LedgerKey.of(signing_key(bench.keys)))


@settings(max_examples=15, deadline=None)
@given(st.integers(100, 9000), st.integers(100, 9000), st.floats(0, 1), st.integers(0, 9))
def test_the_overlap_against_counting(first: int, second: int, share: float, seed: int) -> None:
    key = LedgerKey(secret=bytes([seed]) * 32, name="test")
    names = np.random.default_rng(seed).permutation(40_000).astype(np.uint64)
    shared = int(share * min(first, second))
    one, two = names[:first], np.concatenate([names[:shared], names[20_000:20_000 + second - shared]])
    found = overlap(Sketch.of(one, "people", key), Sketch.of(two, "people", key))
    assert found is not None
    truth, slack = shared / first, 6 / SIZE  # counts are rounded to ten, and an interval of 95 % misses now and then
    width = max(found.high - found.low, slack)
    assert found.low - width <= truth * (1 + 6 / first) and found.high + width >= truth * (1 - 6 / first)


@given(st.lists(st.floats(0.01, 5), max_size=8), st.floats(0.01, 5), st.floats(0.01, 20))
def test_room_against_adding_up(spent: list[float], asked: float, total: float) -> None:
    accounts = {str(i): Account(run=str(i), state="published", at="x", sequence=i + 1,
                                spend=Spend(epsilon=e, delta=0.0)) for i, e in enumerate(spent)}
    fits = sum(spent) + asked <= total * (1 + 1e-9)
    try:
        room(accounts, "mine", Spend(epsilon=asked, delta=0.0), Spend(epsilon=total, delta=0.5), "x")
    except UserError:
        assert not fits or abs(sum(spent) + asked - total) < 1e-6
    else:
        assert fits or abs(sum(spent) + asked - total) < 1e-6
    assert together(a.spend for a in accounts.values()).epsilon == pytest.approx(sum(spent))
