"""What a contract says of approvals, waivers and its ledger, and what each mistake is called."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from synth.contract import Approver, Waiver
from synth.contract.load import loads
from tests.contract.test_load import BASE, HERE, refused, with_settings

KEY, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
WAIVER = {"finding": "downstream.task", "name": "A. Okafor", "reason": "a pilot", "expires": "2030-01-31"}


def test_what_is_read() -> None:
    contract = loads(with_settings("contract", source="census", approvals=2, waivers=[WAIVER], approvers=[
        {"name": "A. Okafor", "key": KEY}, {"name": "M. Lindqvist", "key": OTHER}]), HERE)
    assert contract.ledger == "census" and contract.approvals == 2
    assert contract.approvers == (Approver(name="A. Okafor", key=KEY), Approver(name="M. Lindqvist", key=OTHER))
    assert contract.waivers == (Waiver(finding="downstream.task", name="A. Okafor", reason="a pilot",
                                       expires=date(2030, 1, 31)),)


def test_what_is_not_said() -> None:
    contract = loads(BASE, HERE)
    assert (contract.ledger, contract.approvals, contract.approvers, contract.waivers) == ("people", 0, (), ())


@pytest.mark.parametrize(("settings", "said"), [
    ({"source": "../up"}, "names a ledger"), ({"source": 3}, "must be text"),
    ({"approvals": 3}, "0 to 2"), ({"approvals": -1}, "0 to 2"), ({"approvals": True}, "whole number"),
    ({"approvals": 1}, "names 0 approvers"),
    ({"approvals": 2, "approvers": [{"name": "A", "key": KEY}]}, "names 1 approvers"),
    ({"approvers": [{"name": "A", "key": KEY}, {"name": "B", "key": KEY}]}, "same key"),
    ({"approvers": [{"name": "A", "key": "a.pem"}]}, "name of a key"), ({"approvers": [{"key": KEY}]}, "needs a name"),
    ({"approvers": KEY}, "must be a list"), ({"approvers": [KEY]}, "must be a mapping"),
    ({"waivers": WAIVER}, "must be a list"), ({"waivers": [{**WAIVER, "expires": "soon"}]}, "the day on which"),
    ({"waivers": [{**WAIVER, "name": " "}]}, "the name of who"), ({"waivers": [{**WAIVER, "reason": ""}]}, "reason"),
    ({"waivers": [WAIVER, WAIVER]}, "waived twice"), ({"waivers": [{**WAIVER, "for": "x"}]}, "unknown key 'for'"),
])
def test_each_mistake_has_its_message_and_line(settings: dict[str, Any], said: str) -> None:
    text = refused(with_settings("contract", **settings))
    assert said in text and f"{HERE}:20" in text
