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
_BLOCKS = {  # what a user needs to know of the files, and nothing of where the private ones are
    "pixels": ("size", "channels", "bits", "modality", "unit", "window", "flips", "maskClasses", "release"),
    "traffic": ("vehicles", "seconds", "rate", "friction", "release", "scenarioFiles"),
}

FILE_NAME, MASK_FILE_NAME = "file_name", "mask_file_name"  # Hugging Face's name for the listed file, and ours
STATES_FILE, MEASURES_FILE = "states_file", "measures_file"  # of scenes: our own tables, which every set has
SCENE_FILES = {  # format of released scenes -> the columns that name its files
    "argoverse2": ("argoverse2_file", "argoverse2_map"), "openscenario": ("openscenario_file", "opendrive_file"),
    "commonroad": ("commonroad_file",), "sumo": ("sumo_file", "sumo_net", "sumo_routes", "sumo_fcd"),
    "telemetry": ("telemetry_file", "mf4_file"),
}
LISTING = "metadata.parquet"  # the table that lists files, where there are any
FILES_ARE = {  # what a column of file names leads to
    FILE_NAME: "the image", MASK_FILE_NAME: "the image's mask",
    STATES_FILE: "the states of all scenes; column scene is the row of this table, from 0",
    MEASURES_FILE: "what each scene shows, and its least times to collision and of post-encroachment, by rules",
    "argoverse2_file": "tracks, Argoverse 2 motion schema, 10 Hz", "argoverse2_map": "its map",
    "openscenario_file": "OpenSCENARIO XML 1.2", "opendrive_file": "its OpenDRIVE road",
    "commonroad_file": "CommonRoad XML 2020a", "sumo_file": "SUMO configuration that replays the scene",
    "sumo_net": "its network", "sumo_routes": "its vehicle types", "sumo_fcd": "its floating car data",
    "telemetry_file": "telemetry of the ego vehicles of all scenes", "mf4_file": "telemetry, ASAM MDF 4",
}
MEDIA_TYPES = {  # suffix of listed files beside the table -> media type
    ".parquet": "application/x-parquet", ".json": "application/json", ".xosc": "application/xml",
    ".xodr": "application/xml", ".xml": "application/xml", ".sumocfg": "application/xml",
    ".mf4": "application/octet-stream",
}


def listed_files(contract: Contract) -> tuple[str, ...]:
    """The columns of the synthetic table that name files beside it; a table that lists nothing has none."""
    if contract.traffic is not None:
        formats = contract.traffic.release
        return (STATES_FILE, MEASURES_FILE, *(name for given in formats for name in SCENE_FILES[given]))
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
    document["customProperties"] = [*_custom(raw), *_blocks(raw), {"property": "synthesis.synthetic", "value": True}]
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


def _blocks(raw: dict[str, Any]) -> list[dict[str, Any]]:
    """What a user of the listed files needs to know of them."""
    return [{"property": item["property"], "value": _keep(item["value"], keys)} for name, keys in _BLOCKS.items()
            for item in raw.get("customProperties") or [] if item.get("property") == f"synthesis.{name}"]


def _keep(raw: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: raw[key] for key in keys if raw.get(key) is not None}
