"""The contract as it is published: what a user of the synthetic table may rely on, and nothing of the source.

Everything is taken by an allow-list, so that a field nobody thought of stays home. Left out are the servers and
their roles, the team, physical names and types, SQL, examples, the entity key, the columns that are not in the
synthetic table, and every custom property that is not ours.
"""

from __future__ import annotations

from typing import Any

from synth.contract import Contract
from synth.contract.model import Column, IdentifierPolicy

_TOP = ("apiVersion", "kind", "id", "name", "version", "status", "domain", "dataProduct", "description", "tags",
        "slaProperties")
_TABLE = ("name", "businessName", "description", "logicalType", "tags")
_COLUMN = ("name", "businessName", "description", "logicalType", "logicalTypeOptions", "required", "unique",
           "classification", "criticalDataElement", "tags", "enum")
_QUALITY = ("name", "description", "dimension", "type", "metric", "unit", "arguments", "severity", "mustBe",
            "mustNotBe", "mustBeGreaterThan", "mustBeGreaterOrEqualTo", "mustBeLessThan", "mustBeLessOrEqualTo",
            "mustBeBetween", "mustNotBeBetween")
_DESCRIPTION = ("usage", "purpose", "limitations")
_SLA = ("property", "value", "valueExt", "unit", "element", "driver", "description")
_OURS = frozenset("synthesis." + key for key in (
    "domain", "licence", "k", "gates", "budget", "rows", "target", "task", "conditions", "constraints", "role",
    "privacy", "values", "decimals", "generate", "protected", "synthetic"))
_PIXELS = ("size", "channels", "bits", "modality", "unit", "window", "flips", "maskClasses", "release")


FILE_NAME, MASK_FILE_NAME = "file_name", "mask_file_name"  # Hugging Face's name for the listed file, and ours


def listed_files(contract: Contract) -> tuple[str, ...]:
    """The columns of the synthetic table that name files beside it; a table that lists nothing has none."""
    if contract.pixels is None:
        return ()
    return (FILE_NAME, MASK_FILE_NAME) if contract.pixels.mask_classes else (FILE_NAME,)


def released(contract: Contract) -> tuple[Column, ...]:
    """The columns that the synthetic table has, in contract order."""
    return tuple(c for c in contract.columns if c.modelled or c.generate is IdentifierPolicy.GENERATE)


def public_document(contract: Contract) -> dict[str, Any]:
    """The ODCS document to publish."""
    raw = contract.raw
    document = _keep(raw, _TOP)
    document.setdefault("apiVersion", "v3.1.0")
    document.setdefault("kind", "DataContract")
    document.setdefault("id", f"urn:synth-pipeline:contract:{contract.name}")
    document.setdefault("name", contract.name)
    document.setdefault("version", contract.version)
    document.setdefault("status", "active")
    if isinstance(document.get("description"), dict):
        document["description"] = _keep(document["description"], _DESCRIPTION)
    if isinstance(document.get("slaProperties"), list):
        document["slaProperties"] = [_keep(p, _SLA) for p in document["slaProperties"] if isinstance(p, dict)]
    tables = raw.get("schema") or [{"name": contract.name}]
    described = {p.get("name"): p for t in tables for p in t.get("properties") or []}
    table = _described(tables[0], _TABLE)
    table.setdefault("name", contract.name)
    table["properties"] = [_column(c, described.get(c.name, {})) for c in released(contract)]
    document["schema"] = [table]
    document["customProperties"] = [*_custom(raw), *_pixels(raw), {"property": "synthesis.synthetic", "value": True}]
    return document


def contract_yaml(contract: Contract) -> str:
    """The file ``contract.yaml`` of a release."""
    import yaml

    text: str = yaml.safe_dump(public_document(contract), sort_keys=False, allow_unicode=True, width=120)
    return "# The contract of this synthetic data set as published; it does not say where the private data is.\n" + text


def _column(column: Column, raw: dict[str, Any]) -> dict[str, Any]:
    kept = _described(raw, _COLUMN)
    kept["name"] = column.name
    properties = {p["property"]: p for p in kept.get("customProperties", [])}
    properties.setdefault("synthesis.role", {"property": "synthesis.role", "value": str(column.role)})
    kept["customProperties"] = list(properties.values())
    return kept


def _described(raw: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    kept = _keep(raw, keys)
    if quality := [_keep(q, _QUALITY) for q in raw.get("quality") or [] if q.get("type", "library") == "library"]:
        kept["quality"] = quality
    if custom := _custom(raw):
        kept["customProperties"] = custom
    return kept


def _custom(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """Our custom properties, without those that speak of the private source."""
    return [{"property": item["property"], "value": item.get("value")} for item in raw.get("customProperties") or []
            if item.get("property") in _OURS]


def _pixels(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """What a user of the images needs to know of them; not where the private files are."""
    return [{"property": "synthesis.pixels", "value": _keep(item["value"], _PIXELS)}
            for item in raw.get("customProperties") or [] if item.get("property") == "synthesis.pixels"]


def _keep(raw: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: raw[key] for key in keys if raw.get(key) is not None}
