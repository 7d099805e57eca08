"""The Open Data Contract Standard part of a contract: unknown keys and wrong types, all at once.

The models of ``open-data-contract-standard`` reject unknown keys at the top only; this walks the same
models through the whole document, so that a typing error inside a column is seen too.
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable
from typing import Any

from synth.contract.marks import Document, Place
from synth.errors import UserError

VERSIONS = ("v3.0.0", "v3.0.1", "v3.0.2", "v3.1.0", "v3.2.0")

# pydantic's error types in our words; its own messages may quote the input.
_WRONG = {
    "string_type": "must be text (put it in quotes)",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` if something is close, else the list of what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6) or [
        k for k in known if k.lower() == word.lower()]
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"


def check(document: Document) -> list[UserError]:
    """Problems of the standard part: unknown keys with a suggestion, wrong types, wrong version."""
    import pydantic
    from open_data_contract_standard.model import OpenDataContractStandard

    problems = _unknown_keys(document, OpenDataContractStandard, document.data, ())
    data = document.data
    for key, wanted in (("version", "1.0.0"), ("apiVersion", "v3.1.0"), ("kind", "DataContract"), ("id", "my-table")):
        if data.get(key) is None:
            problems.append(UserError(f"{key!r} is missing", where=document.where(()),
                                      todo=f"add it at the top level, e.g. `{key}: {wanted}`"))
    if data.get("kind") not in (None, "DataContract"):
        problems.append(UserError("'kind' must be DataContract", where=document.where(("kind",)), todo="correct it"))
    if data.get("apiVersion") is not None and data["apiVersion"] not in VERSIONS:
        problems.append(UserError("this version of the Open Data Contract Standard is not known",
                                  where=document.where(("apiVersion",)), todo="write `apiVersion: v3.1.0`"))
    try:
        OpenDataContractStandard(**{k: v for k, v in data.items() if k in _fields(OpenDataContractStandard)})
    except pydantic.ValidationError as error:
        seen: set[Place] = set()
        for detail in error.errors(include_url=False, include_input=False, include_context=False):
            place = _existing(document, tuple(detail["loc"]))
            if place not in seen:  # a union reports one mistake once for each of its members
                seen.add(place)
                wrong = _WRONG.get(detail["type"], "is not what the standard expects here")
                problems.append(UserError(f"{_dotted(place)} {wrong}", where=document.where(place),
                                          todo="see data_contracts/README.md for the form of a contract"))
    return problems


def _existing(document: Document, place: Place) -> Place:
    """The longest start of ``place`` that is in the document (unions add names of their own at the end)."""
    while place and place not in document.lines:
        place = place[:-1]
    return place


def _dotted(place: Place) -> str:
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return repr(text or "the contract")


def _fields(model: Any) -> dict[str, Any]:
    """Key in the file -> annotation."""
    return {(f.alias or name): f.annotation for name, f in model.model_fields.items()}


def _unknown_keys(document: Document, annotation: Any, value: Any, place: Place) -> list[UserError]:
    import pydantic

    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):  # the member that has the value's shape
            listed = typing.get_origin(member) is list
            if (listed and isinstance(value, list)) or (not listed and isinstance(value, dict) and _is_model(member)):
                return _unknown_keys(document, member, value, place)
        return []
    if typing.get_origin(annotation) is list and isinstance(value, list):
        inner = typing.get_args(annotation)[0]
        return [p for i, item in enumerate(value) for p in _unknown_keys(document, inner, item, (*place, i))]
    if not (_is_model(annotation) and isinstance(value, dict)):
        return []
    assert issubclass(annotation, pydantic.BaseModel)
    fields, problems = _fields(annotation), []
    for key, item in value.items():
        if key in fields:
            problems += _unknown_keys(document, fields[key], item, (*place, key))
        else:
            problems.append(UserError(f"unknown key {key!r} in {_dotted(place)}", where=document.where((*place, key)),
                                      todo=did_you_mean(key, fields)))
    return problems


def _is_model(annotation: Any) -> bool:
    import pydantic

    return isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel)
