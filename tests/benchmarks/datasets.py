"""Reading benchmark tables: the field's splits and column kinds, as working frames.

A folder holds either ``train.csv`` + ``test.csv`` (an official split) or one CSV, which is split 90/10 as
TabSyn does: shuffle with seed 1234, take the first 90 %, and go on to the next seed until every category
occurs in train. ``info.json`` beside it may say ``{"target", "task", "cat": [...], "drop": [...],
"group": column, "log_target": bool, "rows": cap}``; what it leaves out is taken from :data:`KNOWN` (column
kinds of the published protocol) or guessed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synth import seeds
from synth.contract.model import Role
from synth.tabular.schema import ColumnSchema, TableSchema

MISSING_CODES = ("?", "", "NA", "nan")
FEW = 20  # an integer column with at most this many distinct values is guessed to be categorical


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A benchmark table: train and test are working frames of ``schema``; groups are one int per row."""

    name: str
    train: pd.DataFrame
    test: pd.DataFrame
    schema: TableSchema
    target: str
    task: str  # "classification" or "regression"
    log_target: bool = False  # regression on log(clip(y, 1, 20000)), as published for Beijing and News
    train_groups: np.ndarray | None = None
    test_groups: np.ndarray | None = None


# Column kinds as the published protocol has them (TabSyn, data/Info/*.json), by folder name.
KNOWN: dict[str, dict] = {
    "adult": {"target": "income", "task": "classification",
              "cat": ["workclass", "education", "marital-status", "occupation", "relationship", "race", "sex",
                      "native-country", "income"]},
    "magic": {"target": "class", "task": "classification", "cat": ["class"]},
    "shoppers": {"target": "Revenue", "task": "classification",
                 "cat": ["Month", "OperatingSystems", "Browser", "Region", "TrafficType", "VisitorType", "Weekend",
                         "Revenue"]},
    # Not in the published benchmark: several rows a patient, missing cells, wide and skewed.
    "diabetes130": {"target": "readmitted", "task": "classification", "file": "diabetic_data.csv",
                    "drop": ["encounter_id"], "group": "patient_nbr", "rows": 40_000,
                    "cat": ["admission_type_id", "discharge_disposition_id", "admission_source_id"]},
}


def read_table(path: Path) -> pd.DataFrame:
    """A CSV or Parquet file as text-or-number columns; missing codes become ``NaN``."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, skipinitialspace=True, na_values=list(MISSING_CODES), keep_default_na=False,
                       low_memory=False)


def working_frame(table: pd.DataFrame, categorical: set[str]) -> pd.DataFrame:
    """Numbers as float64, everything in ``categorical`` as str; integral category codes print without a point."""
    columns = {}
    for name in table:
        column = table[name]
        if name not in categorical:
            columns[name] = pd.to_numeric(column).astype("float64")
        elif pd.api.types.is_float_dtype(column.dtype) and (column.dropna() % 1 == 0).all():
            columns[name] = column.astype("Int64").astype("str")
        else:
            columns[name] = column.astype("str").where(column.notna())
    frame = pd.DataFrame(columns).reset_index(drop=True)
    for name in categorical & set(frame.columns):
        frame[name] = frame[name].astype("str").where(frame[name].notna() & (frame[name] != "<NA>"))
    return frame


def guess_categorical(table: pd.DataFrame) -> set[str]:
    """Text, booleans, and integer columns of at most :data:`FEW` distinct values."""
    found = set()
    for name in table:
        column = table[name].dropna()
        number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
        if not number or (column.nunique() <= FEW and (column % 1 == 0).all()):
            found.add(name)
    return found


def make_schema(frame: pd.DataFrame) -> TableSchema:
    """The schema of a working frame, learned from ``frame`` alone (train): vocabulary, integers, decimals."""
    columns = []
    for name in frame:
        column = frame[name]
        if column.dtype == "float64":
            values = column.dropna().to_numpy()
            decimals = next((d for d in range(7) if np.allclose(values, np.round(values, d), atol=1e-9, rtol=0)), None)
            columns.append(ColumnSchema(name=name, role=Role.NUMERIC, nullable=bool(column.isna().any()),
                                        integer=decimals == 0, decimals=decimals))
        else:
            columns.append(ColumnSchema(name=name, role=Role.CATEGORICAL, nullable=bool(column.isna().any()),
                                        values=tuple(sorted(column.dropna().unique()))))
    return TableSchema(columns=tuple(columns))


def published_split(table: pd.DataFrame, categorical: set[str]) -> tuple[np.ndarray, np.ndarray]:
    """Row positions of train and test: TabSyn's 90/10 split, every category in train."""
    rows = len(table)
    cut = int(rows * 0.9)
    order = np.arange(rows)
    seed = 1234
    while seed < 1234 + 1000:
        np.random.seed(seed)  # the published protocol is defined by the legacy global generator
        np.random.shuffle(order)
        train = table.iloc[order[:cut]]
        if all(train[c].nunique(dropna=False) == table[c].nunique(dropna=False) for c in categorical):
            return order[:cut].copy(), order[cut:].copy()
        seed += 1
    return order[:cut], order[cut:]  # a category with one row in ten tries a thousand seeds in vain


def group_split(groups: np.ndarray, share: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Row positions of train and test with no group in both."""
    names = np.unique(groups)
    chosen = seeds.generator(1234, "groups").permutation(names)[: int(len(names) * share)]
    mask = np.isin(groups, chosen)
    return np.flatnonzero(mask), np.flatnonzero(~mask)


def load(folder: Path, name: str | None = None) -> Dataset:
    """The benchmark table in ``folder``; ``FileNotFoundError`` if there is no CSV or Parquet file in it."""
    folder = Path(folder)
    name = name or folder.name
    info = dict(KNOWN.get(name, {}))
    if (folder / "info.json").exists():
        info |= json.loads((folder / "info.json").read_text())
    train_groups = test_groups = None
    if (folder / "train.csv").exists() and (folder / "test.csv").exists():
        raw_train, raw_test = read_table(folder / "train.csv"), read_table(folder / "test.csv")
        drop = [c for c in info.get("drop", []) if c in raw_train]
        raw_train, raw_test = raw_train.drop(columns=drop), raw_test.drop(columns=drop)
        categorical = set(info.get("cat", ())) | guess_categorical(raw_train) if "cat" not in info else set(info["cat"])
        categorical |= _texts(raw_train)
        train, test = working_frame(raw_train, categorical), working_frame(raw_test, categorical)
    else:
        found = sorted([*folder.glob("*.csv"), *folder.glob("*.parquet")])
        files = [folder / info["file"]] if "file" in info else found
        if not files:
            raise FileNotFoundError(f"no table in {folder}")
        raw = read_table(files[0])
        groups = pd.factorize(raw[info["group"]])[0] if "group" in info else None
        if len(raw) > info.get("rows", len(raw)):
            keep = np.sort(seeds.generator(1234, "rows").permutation(len(raw))[: info["rows"]])
            raw, groups = raw.iloc[keep], groups[keep] if groups is not None else None
        raw = raw.drop(columns=[c for c in [*info.get("drop", []), info.get("group")] if c in raw])
        categorical = (set(info["cat"]) if "cat" in info else guess_categorical(raw)) | _texts(raw)
        frame = working_frame(raw, categorical)
        first, second = published_split(frame, categorical) if groups is None else group_split(groups)
        train, test = frame.iloc[first].reset_index(drop=True), frame.iloc[second].reset_index(drop=True)
        if groups is not None:
            train_groups, test_groups = groups[first].astype(np.int64), groups[second].astype(np.int64)
    target = info.get("target", train.columns[-1])
    task = info.get("task") or ("regression" if train[target].dtype == "float64" else "classification")
    return Dataset(name=name, train=train, test=test, schema=make_schema(train), target=target, task=task,
                   log_target=bool(info.get("log_target", False)), train_groups=train_groups,
                   test_groups=test_groups)


def _texts(table: pd.DataFrame) -> set[str]:
    return {c for c in table if not pd.api.types.is_numeric_dtype(table[c].dtype)
            or pd.api.types.is_bool_dtype(table[c].dtype)}


def like(frame: pd.DataFrame, template: pd.DataFrame) -> pd.DataFrame:
    """``frame`` (as read from a file) with the columns, order and working types of ``template``."""
    categorical = {c for c in template if template[c].dtype != "float64"}
    return working_frame(frame[list(template.columns)], categorical)
