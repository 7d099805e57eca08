"""``croissant.json``: the data set described in Croissant 1.1 with the Responsible AI fields (JSON-LD).

Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html and its RAI extension. Written
as plain data, so that no package is needed for it; a test reads it back with ``mlcroissant``.
"""

from __future__ import annotations

from typing import Any

from synth.contract import Contract
from synth.release.card import TERMS
from synth.release.manifest import Entry
from synth.release.published import LISTING, MEDIA_TYPES, listed_files, released

PARQUET = "application/x-parquet"
FORMATS = {"png": (".png", "image/png"), "nifti": (".nii.gz", "application/gzip"),
           "dicom": (".dcm", "application/dicom")}  # suffix and media type of listed files
_TYPES = (("bool", "sc:Boolean"), ("int", "sc:Integer"), ("uint", "sc:Integer"), ("float", "sc:Float"),
          ("double", "sc:Float"), ("half", "sc:Float"), ("decimal", "sc:Float"), ("timestamp", "sc:DateTime"),
          ("date", "sc:Date"))
CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "arrayShape": "cr:arrayShape", "citeAs": "cr:citeAs",
    "column": "cr:column", "conformsTo": "dct:conformsTo", "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty", "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract", "field": "cr:field", "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet", "format": "cr:format", "includes": "cr:includes", "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key", "md5": "cr:md5",
    "name": {"@container": "@language"}, "parentField": "cr:parentField", "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#", "recordSet": "cr:recordSet", "references": "cr:references",
    "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace", "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source", "subField": "cr:subField",
    "transform": "cr:transform",
}


def croissant(contract: Contract, shards: list[Entry], types: dict[str, str], *, version: str,
              created: str) -> dict[str, Any]:
    """The description. ``shards`` are the Parquet files, ``types`` maps column name to its Arrow type's name."""
    described = {c.name: c.description for c in released(contract)}
    files = [{"@type": "cr:FileObject", "@id": f.path, "name": f.path, "contentUrl": f.path,
              "contentSize": f"{f.bytes} B", "encodingFormat": PARQUET, "sha256": f.sha256} for f in shards]
    # No containedIn: the set is the release's own folder, whatever number of shards it has.
    together = {"@type": "cr:FileSet", "@id": "shards", "name": "shards", "encodingFormat": PARQUET,
                "includes": f"data/train/{LISTING}" if listed_files(contract) else "data/train-*.parquet"}
    listed = []
    if contract.traffic is not None:
        listed = [{"@type": "cr:FileSet", "@id": f"files{suffix}", "name": f"files{suffix}", "encodingFormat": kind,
                   "includes": f"data/train/**/*{suffix}"} for suffix, kind in MEDIA_TYPES.items()]
    if contract.pixels is not None:
        suffix, kind = FORMATS[contract.pixels.release.value]
        listed = [{"@type": "cr:FileSet", "@id": "files", "name": "files", "encodingFormat": kind,
                   "includes": f"data/train/*{suffix}"}]
    origin = {"fileSet": {"@id": "shards"}}
    fields = [{"@type": "cr:Field", "@id": f"rows/{name}", "name": name, "description": described.get(name, ""),
               "dataType": data_type(kind), "source": {**origin, "extract": {"column": name}}}
              for name, kind in types.items()]
    document: dict[str, Any] = {
        "@context": CONTEXT, "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": contract.name, "version": version, "datePublished": created[:10],
        "description": f"Synthetic data. {contract.description}".strip(),
        "keywords": ["synthetic", contract.domain], "isLiveDataset": False,
        "creator": {"@type": "sc:Organization", "name": "The publisher of this release, see publisher.pub"},
        "citeAs": f"{contract.name} (synthetic), version {version}",
        "license": contract.licence or "See the terms in README.md",
        "url": f"urn:synth-pipeline:{contract.name}:{version}",
        "distribution": [*files, together, *listed],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "rows", "name": "rows",
                       "description": "Synthetic rows; none describes a person."
                       + (" Each lists files of this folder." if listed_files(contract) else ""), "field": fields}],
        **_responsible(contract),
    }
    return document


def _responsible(contract: Contract) -> dict[str, Any]:
    sensitive = [c.name for c in released(contract) if c.privacy in ("sensitive", "quasi")]
    protected = [c.name for c in released(contract) if c.protected]
    return {
        "rai:dataCollection": "Drawn from a conditional generative model that was trained on private data under "
                              "the contract of this release; nothing in it was collected from a person.",
        "rai:dataCollectionType": ["Others", "Synthetic data generation"],
        "rai:dataPreprocessingProtocol": [
            "Direct identifiers and free text never reached the model.",
            f"Categories with fewer than {contract.k} entities were folded.",
        ],
        "rai:dataImputationProtocol": "Missing values were modelled as a state of their own; none was filled.",
        "rai:dataManipulationProtocol": "Constraints of the contract hold in every row; values are printed with the "
                                        "precision of the source.",
        "rai:personalSensitiveInformation": sensitive or ["none declared in the contract"],
        "rai:dataBiases": [
            "Biases of the private data are carried over"
            + (f"; subgroup figures for {', '.join(protected)} are in report.json" if protected else "") + "."],
        "rai:dataLimitations": [
            f"Groups of fewer than {contract.k} entities are not represented.",
            "What each gate did not test is listed in report.json.", TERMS[3],
        ],
        "rai:dataUseCases": [contract.purpose or "The task named in contract.yaml; other uses were not judged."],
        "rai:dataSocialImpact": " ".join(TERMS[:2]),
        "rai:dataReleaseMaintenancePlan": "Releases are immutable; a correction is a new version."
        + (f" Delete by {contract.retention_until.isoformat()}." if contract.retention_until else ""),
    }


def data_type(arrow: str) -> str:
    """Croissant's name for an Arrow type (given by its name, e.g. ``int64``)."""
    return next((name for start, name in _TYPES if arrow.startswith(start)), "sc:Text")
