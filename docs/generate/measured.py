"""The measured place of a method: its scores in the committed benchmarks, and in the papers that were run here."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean

import yaml
from pieces import ROOT, table

from hsipipe.methods import Method, find_method, methods_of
from hsipipe.metrics.registry import METRICS

Rows = list[dict[str, str]]
# Names of rows in the benchmarks that are no method's own.
ALIASES = {
    "fusion": {"linear": "ridge", "quadratic": "ridge"},
    "representation": {"geometry": "simclr", "spectral": "simclr"},
    "segmentation": {"plain k-means": "kmeans"},
}


def _rows(name: str) -> Rows:
    with open(ROOT / "benchmarks" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def method_of(task: str, variant: str) -> str | None:
    """The method that a row of a benchmark is of: the longest name that the row's name begins with."""
    if variant in ALIASES.get(task, {}):
        return ALIASES[task][variant]
    plain = variant.replace("-", "_").replace(" ", "_")
    fitting = [name for name in methods_of(task) if plain == name or plain.startswith(f"{name}_")]
    return max(fitting, key=len, default=None)


def _link(name: str) -> str:
    return f"[benchmarks/{name}.md](../../../benchmarks/{name}.md)"


def _means(rows: Rows, keys: Iterable[str], column: str) -> dict[tuple[str, ...], float]:
    """Means over all else of a column, by the keys; cells without a number are left out."""
    found: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for row in rows:
        if row[column]:
            found[tuple(row[key] for key in keys)].append(float(row[column]))
    return {key: fmean(values) for key, values in found.items()}


def _place(scores: dict[str, float], name: str, *, higher: bool = True, rivals: Callable[[str], bool]) -> str:
    """Where a name stands among its rivals, such as `2 of 9`; empty for one that does not compete."""
    if not rivals(name):
        return ""
    order = sorted((score for other, score in scores.items() if rivals(other)), reverse=higher)
    return f"{order.index(scores[name]) + 1} of {len(order)}"


def _competes(task: str) -> Callable[[str], bool]:
    def competes(variant: str) -> bool:
        method = method_of(task, variant)
        return method is None or methods_of(task)[method].kind != "oracle"

    return competes


def _compared(
    method: Method, name: str, by: str, who: str, columns: list[tuple[str, str, str, bool]], unit: str
) -> str:
    """A table of a benchmark: per case, or all together, a method's rows, its scores, and its place by the first."""
    # A clean image is there to be left as it is: its score ranks nothing.
    rows = [row for row in _rows(name) if not by or row[by] != "clean"]
    rivals = _competes(method.task)
    lines = []
    for case in dict.fromkeys(row[by] for row in rows) if by else [""]:
        here = [row for row in rows if not by or row[by] == case]
        scores = {column: _means(here, [who], column) for column, *_ in columns}
        first, _, _, higher = columns[0]
        ranked = {key[0]: value for key, value in scores[first].items()}
        for variant in ranked:
            if method_of(method.task, variant) != method.name:
                continue
            shown = [
                format(scores[column][variant,], decimals) if (variant,) in scores[column] else ""
                for column, _, decimals, _ in columns
            ]
            place = _place(ranked, variant, higher=higher, rivals=rivals)
            lines.append(([case] if by else []) + [f"`{variant}`", *shown, place])
    if not lines:
        return ""
    headings = ([by] if by else []) + ["row", *(heading for _, heading, _, _ in columns), "place"]
    body = table(headings, lines, right=[heading for _, heading, _, _ in columns])
    return f"From {_link(name)}, {unit}; the place is by the first score:\n\n{body}"


def from_benchmarks(method: Method) -> str:
    """What the committed benchmarks measured of a method, as tables that say where they are from."""
    if method.task == "denoising":
        columns = [("ours_mpsnr", "MPSNR, dB", ".2f", True), ("ours_cpu_s", "CPU s", ".2f", False)]
        parts = [_compared(method, "denoising", "case", "method", columns, "means over seven real scenes")]
    elif method.task == "fusion":
        columns = [("psnr", "PSNR, dB", ".2f", True), ("sam", "SAM, °", ".2f", False), ("cpu_s", "CPU s", ".2f", False)]
        parts = [
            _compared(
                method, "fusion", "", "variant", columns, "means over its scenes, PSF Gaussian, ratio 4, four bands"
            )
        ]
    elif method.task == "segmentation":
        columns = [
            ("nmi", "NMI", ".3f", True),
            ("ari", "ARI", ".3f", True),
            ("hungarian_oa", "OA, best matching", ".3f", True),
        ]
        parts = [_compared(method, "clustering", "scene", "variant", columns, "means over seeds and latents")]
        columns = [("oa", "OA, %", ".2f", True), ("aa", "AA, %", ".2f", True), ("cpu_s", "CPU s", ".1f", False)]
        parts.append(_compared(method, "classification", "case", "method", columns, "means over seeds"))
        if "latent" in method.settings:
            parts.append(f"{_link('spectral_autoencoders')} has its errors and speed beside the other autoencoders'.\n")
    else:
        rows = _rows("representation_folds")
        means = _means(rows, ["variant", "metric"], "value")
        named = [
            name
            for name in dict.fromkeys(row["variant"] for row in rows)
            if method_of(method.task, name) == method.name
        ]
        metrics = list(dict.fromkeys(row["metric"] for row in rows))
        lines = [(f"`{name}`", *(f"{means[name, metric]:.1f}" for metric in metrics)) for name in named]
        body = table(
            ("row", *(METRICS[name].label for name in metrics)), lines, right=[METRICS[name].label for name in metrics]
        )
        parts = [
            f"From {_link('representation_folds')}, percent, means of 15 runs on patches of Indian Pines:\n\n{body}"
            if body
            else ""
        ]
    return "\n".join(part for part in parts if part)


def from_papers(method: Method, results: Path) -> str:
    """The rows of a method in the tables of the papers that were run here; empty where none was."""
    parts = []
    for config in sorted(results.glob("papers/*/config.yaml")):
        paper = yaml.safe_load(config.read_text(encoding="utf-8"))
        variants = (paper.get(method.task) or {}).get("variants") or {}
        own = {name for name, given in variants.items() if _method_in(method.task, name, given) == method.name}
        for path in sorted(config.parent.glob("tables/*.csv")):
            with open(path, newline="", encoding="utf-8") as file:
                rows = [
                    row for row in csv.DictReader(file) if row.get("variant") in own and row.get("metric") in METRICS
                ]
            task = (paper.get("tables") or {}).get(path.stem, {}).get("task")
            if rows and task == method.task:
                parts.append(_paper_table(paper["paper"], path, rows))
    return "\n".join(parts)


def _method_in(task: str, name: str, given: object) -> str:
    called = str(given["method"]) if isinstance(given, dict) and "method" in given else name
    return find_method(task, called).base


def _paper_table(paper: str, path: Path, rows: Rows) -> str:
    lines = [
        (
            f"`{row['variant']}`",
            row["case"],
            METRICS[row["metric"]].heading,
            format(float(row["mean"]), METRICS[row["metric"]].format)
            + (f" ± {float(row['sd']):.2g}" if row["sd"] else ""),
        )
        for row in rows
        if row["mean"]
    ]
    file = path.relative_to(path.parents[4]).as_posix()
    source = f"From `{file}`, the study `{paper}` as it was run where this page was made:"
    return f"{source}\n\n{table(('variant', 'case', 'metric', 'score'), lines, right=['score'])}"
