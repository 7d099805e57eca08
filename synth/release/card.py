"""The dataset card ``README.md``: Hugging Face front matter, then what a user must know before using the table."""

from __future__ import annotations

import re
from typing import Any

from synth.contract import Contract, Role
from synth.release.published import FILES_ARE, LISTING, listed_files, released

TERMS = (
    "This data set is synthetic. No row describes a person, and none may be used to learn about one.",
    "Do not try to re-identify anybody, to link rows to persons, or to find out whether somebody was in the "
    "private data behind it; if it happens by accident, tell the publisher and keep it to yourself.",
    "Pass it on only with these terms and under the licence named above.",
    "Attacks that found nothing do not prove that nothing can be found.",
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
          (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))
# Hugging Face licence identifiers are lower case; anything else is "other" and named in words.
_LICENCES = frozenset({"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "odbl",
                       "pddl", "odc-by", "cdla-permissive-2.0", "unknown"})


def plain(text: object) -> str:
    """Text from a contract made harmless inside Markdown and its tables."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#!])", r"\\\1", line)


def front_matter(contract: Contract, *, version: str, rows: int) -> dict[str, Any]:
    """The YAML block that the Hugging Face hub and ``datasets`` read."""
    licence = contract.licence.strip().lower()
    matter: dict[str, Any] = {"pretty_name": f"{contract.name} (synthetic)"}
    if licence:
        matter["license"] = licence if licence in _LICENCES else "other"
        if licence not in _LICENCES:
            matter["license_name"] = contract.licence
    matter["size_categories"] = [next((name for bound, name in _SIZES if rows < bound), "n>1B")]
    if contract.task is not None:
        matter["task_categories"] = [f"{'tabular' if contract.pixels is None else 'image'}-{contract.task}"]
    matter["tags"] = ["synthetic", contract.domain, "synth-pipeline"]
    matter["configs"] = [{"config_name": "default", "default": True,
                          "data_files": [{"split": "train", "path": _data_files(contract)}]}]
    matter["release"] = {"name": contract.name, "version": version, "synthetic": True}
    return matter


def card(contract: Contract, report: dict[str, Any], *, version: str, rows: int, created: str) -> str:
    """The whole card. ``report`` is the report's JSON twin; gates and their findings are read from it."""
    import yaml

    one, shows, source = ("image", "shows", "archive") if contract.pixels is not None else (
        ("scene", "follows", "set of recordings") if contract.traffic is not None else ("row", "describes", "table"))
    front = yaml.safe_dump(front_matter(contract, version=version, rows=rows), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{front}---",
        f"# {plain(contract.name)}, synthetic, version {version}",
        f"**Every {one} was drawn from a generative model; none {shows} a person.** {rows:,} {one}s, made "
        f"{created[:10]} from a private {source} under version {plain(contract.version)} of its contract "
        "(`contract.yaml`)"
        + (f", which says of it: {plain(contract.description)}" if contract.description else "."),
        "## Verdict", _waived(report) + _verdict(report),
        "## Columns", _columns(contract),
        "## Use", _use(contract, version),
        "## Limits", _limits(contract, report),
        "## Terms", "\n".join([f"* Licence: {plain(contract.licence) or 'not stated; ask the publisher'}",
                               *(f"* {term}" for term in TERMS)]),
        "## Integrity", "`manifest.json` lists every file with its SHA-256, `provenance.dsse.json` signs it (in-toto "
        "statement, Ed25519). `synth verify .` checks signature, manifest and digests.",
    ]
    if contract.retention_until is not None:
        parts.insert(-2, f"## Retention\n\nDelete this data set by {contract.retention_until.isoformat()}.")
    return "\n\n".join(parts) + "\n"


def _verdict(report: dict[str, Any]) -> str:
    lines = ["| gate | question | verdict | findings passed | closest to its limit |", "|---|---|---|---|---|"]
    summaries = report.get("verdict")
    closest = {s.get("gate"): s.get("deciding") for s in summaries.get("gates") or []} if isinstance(
        summaries, dict) else {}
    for gate in report.get("gates") or []:
        judged = [f for f in gate.get("findings") or [] if f.get("verdict") != "info"]
        passed = sum(f.get("verdict") == "pass" for f in judged)
        lines.append(f"| {plain(gate.get('gate'))} | {plain(gate.get('question', ''))} | {plain(gate.get('verdict'))} "
                     f"| {passed} of {len(judged)} | {_figure(closest.get(gate.get('gate')))} |")
    return "\n".join(lines) + "\n\nAll figures, intervals and limits: `report.html`, and as JSON `report.json`."


def _waived(report: dict[str, Any]) -> str:
    """What did not pass and was published all the same, first of all."""
    waivers = (report.get("decision") or {}).get("waivers") or []
    lines = [f"* **{plain(w.get('title'))}** ({plain(w.get('finding'))}, {plain(w.get('verdict'))}): waived by "
             f"{plain(w.get('name'))} until {plain(w.get('expires'))}, because {plain(w.get('reason'))}"
             for w in waivers]
    return "\U0001f534 **Not everything passed.**\n\n" + "\n".join(lines) + "\n\n" if lines else ""


def _figure(finding: dict[str, Any] | None) -> str:
    """The finding with the smallest margin: its figure, the bad end of its interval, and its limit."""
    if not finding or finding.get("value") is None:
        return ""
    at_most = finding.get("direction", "at most") == "at most"
    end = finding.get("high" if at_most else "low")
    parts = [f"{plain(finding.get('title'))}: {finding['value']:.4g}"]
    if end is not None:
        parts.append(f"{'upper' if at_most else 'lower'} bound {end:.4g}")
    if finding.get("limit") is not None:
        parts.append(f"limit {finding.get('direction', 'at most')} {finding['limit']:.4g}")
    return ", ".join(parts)


def _columns(contract: Contract) -> str:
    lines = ["| column | kind | description |", "|---|---|---|"]
    lines += [f"| {name} | file | {FILES_ARE[name]}; path relative to this table |"
              for name in listed_files(contract)]
    for column in released(contract):
        kind = "generated, unrelated to any row" if column.role in (Role.IDENTIFIER, Role.TEXT) else str(column.role)
        target = " (target)" if column.name == contract.target else ""
        lines.append(f"| {plain(column.name)} | {kind}{target} | {plain(column.description)} |")
    return "\n".join(lines)


def _data_files(contract: Contract) -> str:
    """The files that ``datasets`` reads: images with their listing, the listing of scenes, or shards of a table."""
    if contract.pixels is not None:
        return "data/train/**"
    return "data/train-*.parquet" if contract.traffic is None else f"data/train/{LISTING}"


def _use(contract: Contract, version: str) -> str:
    if contract.traffic is not None:
        return (f"```python\nimport synth\n"
                f"folder = synth.pull({contract.name!r}, {version!r}, store=..., to=\"data\")\n"
                "# data/train/metadata.parquet lists the scenes and their files, data/train/states.parquet has every\n"
                "# state of every vehicle: scene, vehicle (0 is the ego vehicle), step, time (s), s and d (m along\n"
                "# and across the lanes), heading (rad), speed (m/s), length, width (m), kind, lane (0: right)\n"
                "```")
    if contract.pixels is not None:
        return (f"```python\nimport synth\n"
                f"folder = synth.pull({contract.name!r}, {version!r}, store=..., to=\"data\")\n"
                "# data/train/metadata.parquet lists the files beside it (column file_name), as\n"
                "# datasets.load_dataset(\"imagefolder\", data_dir=str(folder / \"data\")) reads them\n```")
    return (f"```python\nimport synth\nfolder = synth.pull({contract.name!r}, {version!r}, store=..., to=\"data\")\n"
            "# or, on a folder that you have: pandas.read_parquet(folder / \"data\"),\n"
            "# datasets.load_dataset(str(folder)), duckdb.sql(\"from 'data/*.parquet'\")\n```")


def _limits(contract: Contract, report: dict[str, Any]) -> str:
    lines = ["* Made for " + (plain(contract.purpose) or "the task named in the contract") +
             "; other uses were not judged.",
             f"* Categories with fewer than {contract.k} entities were folded together, so rarer ones are not here."]
    if contract.traffic is not None:
        lines += [
            "* Every road in the files is straight: scenes know where along and across the lanes a vehicle is.",
            f"* Files of one scene each (OpenSCENARIO, CommonRoad, SUMO, MF4) are there for the first "
            f"{contract.traffic.scenario_files:,} scenes, where the set has so many; the tables have all of them."]
    lines += [f"* Loosened limit: {plain(c.gate)}.{plain(c.key)} = {c.value:g}, because {plain(c.reason)}"
              for c in contract.limits]
    for gate in report.get("gates") or []:
        lines += [f"* Not tested ({plain(gate.get('gate'))}): {plain(text)}" for text in gate.get("not_tested") or []]
    return "\n".join(lines)
