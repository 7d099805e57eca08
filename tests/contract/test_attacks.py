"""How hard the leakage gate is told to attack."""

from __future__ import annotations

from synth.contract import Attacks
from synth.contract.load import loads
from tests.contract.test_load import BASE, HERE, refused, with_settings


def test_what_is_read_and_what_is_not_said() -> None:
    assert loads(BASE, HERE).attacks is Attacks.QUICK
    assert loads(with_settings("contract", attacks="release"), HERE).attacks is Attacks.RELEASE


def test_another_word_is_refused_with_its_line() -> None:
    text = refused(with_settings("contract", attacks="thorough"))
    assert "'synthesis.attacks' has an unknown value" in text and f"{HERE}:20" in text
