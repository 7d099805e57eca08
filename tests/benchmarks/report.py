"""The results table: JSON lines in, Markdown out. Means over seeds with 95 % t-intervals."""

from __future__ import annotations

import json
import math
import platform
from datetime import date
from pathlib import Path
from statistics import mean, stdev

from tests.benchmarks import published

# key, heading, decimals
COLUMNS = (
    ("shape", "Shape error %", 2), ("trend", "Trend error %, fixed edges", 2),
    ("trend_own_range", "Trend error %, published variant", 2), ("c2st_train", "XGB-C2ST against train", 3),
    ("c2st_untouched", "XGB-C2ST against untouched rows", 3), ("nmi", "weighted NMI error", 4),
    ("mle", "downstream (AUC, RMSE)", 3), ("alpha_precision", "alpha-precision %", 1),
    ("beta_recall", "beta-recall %", 1), ("qdcr2", "q-DCR 2 % (real rows)", 2),
    ("copies", "exact copies % (real rows)", 2),
    ("logistic", "LogisticDetection", 3), ("dcr_share", "DCR share %", 1), ("adherence", "conditions held %", 1),
    ("train_seconds", "train s", 0), ("train_cpu", "train CPU s", 0), ("sample_seconds", "sample s", 1),
    ("peak_mib", "peak MiB", 0),
)
ORDER = ("real-holdout", "conditional-gan", "likelihood", "conditional-gan, a row a bin", "likelihood, a row a bin",
         "wgan-gp", "independent", "copula", "bootstrap", "ctgan", "mostlyai")
NAMES = {"real-holdout": "**real rows (the floor)**", "conditional-gan": "**ours: conditional GAN**",
         "likelihood": "ours: critic off, equal time",
         "conditional-gan, a row a bin": "ours, before bins were smooth",
         "likelihood, a row a bin": "ours, before, critic off, equal time",
         "wgan-gp": "ours: plain WGAN-GP, CTGAN conditioning",
         "independent": "independent columns", "copula": "Gaussian copula", "bootstrap": "bootstrap of train",
         "ctgan": "ctgan (package)", "mostlyai": "mostlyai-engine (package)"}
# two-sided 97.5 % quantile of Student's t by degrees of freedom
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def machine() -> dict[str, str | int]:
    """Cores, memory and processor of this machine; no names."""
    import os

    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, StopIteration, ValueError):
        memory = 0
    return {"cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
            "memory_gib": round(memory / 2**30), "cpu": model, "date": date.today().isoformat(),
            "python": platform.python_version()}


def ranged(values: list[float], digits: int, *, half: bool = True) -> str:
    """The mean, and half of the range where there are several values (and it is not 0)."""
    off = (max(values) - min(values)) / 2 if values and half else 0.0
    return (f"{mean(values):.{digits}f}" if values else "") + (f" ± {off:.{digits}f}" if off else "")


def written(page: Path, until: str) -> list[str]:
    """What a person wrote into a page between the words *Read with care* and ``until``; a new page keeps it."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    start = text.find("**Read with care.**")
    end = text.find(until, start)
    return [*text[start:end].strip().splitlines(), ""] if 0 <= start < end else []


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half-width of the 95 % t-interval (0 for a single value)."""
    if len(values) < 2:
        return values[0], 0.0
    return mean(values), STUDENT.get(len(values) - 1, 1.96) * stdev(values) / math.sqrt(len(values))


def spread(values: list[float], form: str = ".3f") -> str:
    """A cell of a table: mean ± standard deviation in a format, the value alone if there is one, a dash for none."""
    if not values:
        return "–"
    return f"{mean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


def _cell(rows: list[dict], key: str, decimals: int) -> str:
    values = [r[key] for r in rows if isinstance(r.get(key), int | float) and not math.isnan(r[key])]
    if not values:
        return "–"
    middle, half = interval(values)
    text = f"{middle:.{decimals}f}" + (f" ± {half:.{decimals}f}" if len(values) > 1 else "")
    if key == "qdcr2":
        text += f" ({mean(r['qdcr2_low'] for r in rows):.1f} to {mean(r['qdcr2_high'] for r in rows):.1f})"
    if key == "copies":
        text += f" ({mean(r['copies_real'] for r in rows):.2f})"
    return text


def _title(model: str) -> str:
    """A model's name in words; options it was given (``RECIPE:option=value``) follow as they are."""
    head, _, options = model.partition(":")
    return NAMES.get(head, head) + (f" with {options}" if options else "")


def _place(model: str) -> tuple[int, str]:
    """Where a model stands in the tables."""
    head = model.partition(":")[0]
    return (ORDER.index(head) if head in ORDER else len(ORDER)), model


def read(path: Path) -> list[dict]:
    """The finished rows; the last of a repeated (set, model, seed) counts."""
    if not path.exists():
        return []
    found = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        found[row["set"], row["model"], row["seed"]] = row
    return list(found.values())


def markdown(rows: list[dict]) -> str:
    """The whole results page."""
    machines = sorted({json.dumps(r["machine"], sort_keys=True) for r in rows})
    out = ["# Tabular benchmark", "",
           "Definitions: the modules beside this folder; agreement with SDMetrics: `../README.md`. Mean ± 95 % "
           "t-interval over trainings with different seeds. Errors: lower is better. XGB-C2ST and "
           "LogisticDetection: 1 is indistinguishable. Beta-recall: about 50 is what fresh real rows get, more is "
           "copying. In brackets: the 95 % range that real rows get (q-DCR), the rate of real untouched rows "
           "(copies). C2ST against train flatters what fits train; the figure against untouched rows counts.", "",
           *(f"Command: `{c}`  " for c in dict.fromkeys(r["command"] for r in rows)), ""]
    for text in machines:
        m = json.loads(text)
        loads = [r["load"] for r in rows if "load" in r and json.dumps(r["machine"], sort_keys=True) == text]
        busy = f" (load average {min(loads):.0f} to {max(loads):.0f})" if loads else ""
        out.append(f"Machine: {m['cores']} cores, {m['memory_gib']} GiB, {m['cpu']}, Python {m['python']}, "
                   f"{m['date']}. Each training on one thread{busy}; where other work ran "
                   "beside it, compare CPU seconds.")
    out.append("")
    for name in dict.fromkeys(r["set"] for r in rows):
        here = [r for r in rows if r["set"] == name]
        columns = [c for c in COLUMNS if any(c[0] in r for r in here)]
        seeds = {m: sorted({r["seed"] for r in here if r["model"] == m}) for m in {r["model"] for r in here}}
        out += [f"## {name} ({here[0]['rows_train']:,} train rows, {here[0]['rows_test']:,} untouched, "
                f"{here[0]['columns']} columns)", "",
                "| model | seeds | " + " | ".join(c[1] for c in columns) + " |",
                "|---|---|" + "---|" * len(columns)]
        for model in sorted(seeds, key=_place):
            mine = [r for r in here if r["model"] == model]
            notes = sorted({r["note"] for r in mine if r.get("note")})
            title = _title(model) + (f" ({'; '.join(notes)})" if notes else "")
            out.append(f"| {title} | {len(seeds[model])} | " + " | ".join(_cell(mine, c[0], c[2]) for c in columns)
                       + " |")
        for title, figures in published.ROWS.get(name, {}).items():
            known = dict(zip(published.FIGURES, figures, strict=True))
            out.append(f"| *{title}, published* | 5 | " + " | ".join(
                f"{known[k]:.{d}f}" if k in known else "–" for k, _, d in columns) + " |")
        out.append("")
    out += [f"Published rows: {published.SOURCE}. Their Shape, Trend and C2ST are on the same splits; their seconds "
            "are not comparable (GPU).", "",
            "The real-rows line deals all rows out anew for each seed (45 % train, 45 % fresh, 10 % untouched), so "
            "its Shape, Trend and NMI carry about 1.4 times the sampling noise of the other lines; its untouched "
            "C2ST and downstream figures are those of the real training table on the official split.", ""]
    return "\n".join(out)


def write(results: Path) -> Path:
    """Write the Markdown page beside the JSON lines."""
    page = results.with_suffix(".md")
    page.write_text(markdown(read(results)))
    return page
