"""Tables of scores: CSV for programs, Markdown, LaTeX and HTML for people; and tables of costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from hsipipe.files import write_text
from hsipipe.metrics.registry import METRICS
from hsipipe.report.costs import COSTS
from hsipipe.report.page import html_page
from hsipipe.report.scores import mean_of, mean_scores, read_scores

COST_NOTE = (
    "Costs are means over seeds. Memory of training is an account of the tensors that a step holds, the same on every "
    "device: weights, gradients, state of the optimiser, and what the backward pass needs, at the batch size in use."
)


def table_columns(table: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The columns of a table as (case, metric, heading)."""
    several = len(table["cases"]) > 1
    columns = []
    for case in table["cases"]:
        name = f"{case} (simulated)" if table["simulated"].get(case) else case
        for metric in table["metrics"]:
            heading = METRICS[metric].heading
            columns.append((case, metric, f"{name}: {heading}" if several else heading))
    return columns


def best_rows(means: pd.DataFrame, table: dict[str, Any], case: str, metric: str) -> set[str]:
    """The variants with the best mean in a column; an oracle is given part of the truth and does not compete."""
    values = {}
    for variant, about in table["rows"].items():
        row = mean_of(means, table["task"], case, variant, metric)
        if row is not None and about["kind"] != "oracle":
            values[variant] = float(format(row["mean"], METRICS[metric].format))
    if not values or METRICS[metric].higher_is_better is None:
        return set()
    best = max(values.values()) if METRICS[metric].higher_is_better else min(values.values())
    return {variant for variant, value in values.items() if value == best}


def shown(row: pd.Series | None, metric: str) -> str:
    """A cell: mean, and ± standard deviation over seeds where there are several."""
    if row is None:
        return "–"
    how = METRICS[metric].format
    text = format(row["mean"], how)
    return f"{text} ± {format(row['sd'], how)}" if row["seeds"] > 1 else text


def published_columns(table: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Headings and values of the published columns."""
    return list(((table.get("published") or {}).get("columns") or {}).items())


@dataclass(frozen=True)
class Table:
    """A table as it is printed.

    Attributes: title; headings (variant, kind, columns); lines: of each row its cells, (text, whether it is the
    best of its column); notes below it; values: one row a number, for programs.
    """

    title: str
    headings: list[str]
    lines: list[list[tuple[str, bool]]]
    notes: list[str]
    values: pd.DataFrame


def make_table(frame: pd.DataFrame, table: dict[str, Any], records: Sequence[str | Path] = ()) -> Table:
    """A table of scores, costs and published numbers.

    Args:
        frame: tidy scores of the paper, as `read_scores` gives them.
        table: a `TableSettings` as a dictionary, with `rows` (variant -> title, kind) and `simulated` (case -> bool).
        records: run.json of each run; read only for a table that shows costs.
    """
    means = mean_scores(frame)
    columns, published = table_columns(table), published_columns(table)
    values, lines = [], []
    spent = mean_costs(records) if table["costs"] else {}
    several = len(table["cases"]) > 1
    best = {(case, metric): best_rows(means, table, case, metric) for case, metric, _ in columns}
    for variant, about in table["rows"].items():
        line: list[tuple[str, bool]] = [(variant, False), (about["kind"], False)]
        for case, metric, _ in columns:
            row = mean_of(means, table["task"], case, variant, metric)
            line.append((shown(row, metric), variant in best[case, metric]))
            if row is not None:
                values.append(
                    {"variant": variant, "kind": about["kind"], "case": case, "metric": metric, **_plain(row)}
                )
        for case in table["cases"] if table["costs"] else ():
            for cost in table["costs"]:
                value = spent.get((case, variant), {}).get(cost)
                line.append(("–" if value is None else f"{value:,.{COSTS[cost].decimals}f}", False))
                if value is not None:
                    about_cost = {"variant": variant, "kind": about["kind"], "case": case, "metric": cost}
                    values.append({**about_cost, "mean": value})
        lines.append([*line, *_published_cells(variant, published)])
    for other in (table.get("published") or {}).get("others", []):
        dashes = [("–", False)] * (len(columns) + len(table["costs"]) * len(table["cases"]))
        lines.append([(other, False), ("published", False), *dashes, *_published_cells(other, published)])
        values.append({"variant": other, "kind": "published"})
    headings = ["variant", "kind", *(heading for _, _, heading in columns)]
    for case in table["cases"]:
        headings += [f"{case}: {COSTS[cost].heading}" if several else COSTS[cost].heading for cost in table["costs"]]
    headings += [heading for heading, _ in published]
    numbers = pd.DataFrame(values)
    for heading, of in published:
        numbers[f"published: {heading}"] = numbers.variant.map(of)
    return Table(table["title"], headings, lines, table_notes(table, means), numbers)


def write_table(
    scores: str | Path,
    table: dict[str, Any],
    records: Sequence[str | Path] = (),
    *,
    csv: str | Path,
    markdown: str | Path,
    tex: str | Path,
    html: str | Path,
) -> None:
    """Write a table in four forms.

    A table of scores is the same byte for byte whenever it is made; one that shows costs is as variable as they are.

    Args:
        scores: tidy scores of the paper.
        table, records: as `make_table` takes them.
        csv, markdown, tex, html: where to.
    """
    made = make_table(read_scores(scores), table, records)
    write_text(csv, made.values.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text(markdown, _markdown(made.title, made.headings, made.lines, made.notes))
    write_text(tex, _latex(made.title, made.headings, made.lines, made.notes))
    write_text(html, html_page(made.title, _html_table(made.headings, made.lines), made.notes))


def _published_cells(name: str, published: list[tuple[str, dict[str, float]]]) -> list[tuple[str, bool]]:
    return [(f"{values[name]:,.10g}" if name in values else "–", False) for _, values in published]


def _plain(row: pd.Series) -> dict[str, Any]:
    return {key: row[key] for key in ("mean", "sd", "seeds", "units")}


def table_notes(table: dict[str, Any], means: pd.DataFrame) -> list[str]:
    """What a reader must know to read the table."""
    units = means[(means.task == table["task"]) & means.case.isin(table["cases"]) & (means.metric != "peer_psnr")]
    units = units[units.metric.isin(set(table["metrics"]) - {"recall", "precision"})]  # those are one row per class
    counts = ", ".join(f"{case}: {count}" for case, count in units.groupby("case", sort=False).units.max().items())
    notes = []
    if table["metrics"]:
        notes.append(f"Means over test units ({counts}); ± is the standard deviation over seeds of random methods.")
        notes.append("Bold: best of the column. An oracle is given part of the truth and does not compete.")
    notes += [f"{case}: {note}." for case, note in table.get("case_notes", {}).items()]
    if any(table["simulated"].values()):
        notes.append("Cases marked simulated are simulated scenes, not measurements.")
    if table["costs"]:
        notes.append(COST_NOTE)
    if table.get("published"):
        notes.append(f"Published numbers: {table['published'].get('source', 'source not given')}.")
    if table.get("note"):
        notes.append(str(table["note"]))
    return notes


def _markdown(title: str, headings: list[str], cells: list[list[tuple[str, bool]]], notes: list[str]) -> str:
    lines = [f"# {title}", "", "| " + " | ".join(headings) + " |"]
    lines.append("|" + "|".join(["---", "---", *["---:"] * (len(headings) - 2)]) + "|")
    for line in cells:
        lines.append("| " + " | ".join(f"**{text}**" if bold else text for text, bold in line) + " |")
    return "\n".join([*lines, "", *(f"{note}\n" for note in notes)])


def _latex(title: str, headings: list[str], cells: list[list[tuple[str, bool]]], notes: list[str]) -> str:
    def clean(text: str) -> str:
        for plain, command in (("_", r"\_"), ("%", r"\%"), ("&", r"\&"), ("±", r"$\pm$"), ("–", "--")):
            text = text.replace(plain, command)
        return text.replace("↑", r"$\uparrow$").replace("↓", r"$\downarrow$").replace("°", r"\textdegree ")

    rows = [" & ".join(rf"\textbf{{{clean(text)}}}" if bold else clean(text) for text, bold in line) for line in cells]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,textcomp}",
            r"\begin{table}\centering",
            rf"\caption{{{clean(title)}. {clean(' '.join(notes))}}}",
            rf"\begin{{tabular}}{{ll{'r' * (len(headings) - 2)}}}",
            r"\toprule",
            " & ".join(clean(heading) for heading in headings) + r" \\",
            r"\midrule",
            *(row + r" \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _html_cell(text: str, bold: bool, *, number: bool) -> str:
    kinds = " ".join(name for name, holds in (("best", bold), ("number", number)) if holds)
    return f'<td class="{kinds}">{escape(text)}</td>' if kinds else f"<td>{escape(text)}</td>"


def _html_table(headings: list[str], cells: list[list[tuple[str, bool]]]) -> str:
    head = "".join(
        f"<th{' class=number' if place > 1 else ''}>{escape(text)}</th>" for place, text in enumerate(headings)
    )
    body = "".join(
        "<tr>" + "".join(_html_cell(text, bold, number=place > 1) for place, (text, bold) in enumerate(line)) + "</tr>"
        for line in cells
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _records(paths: Sequence[str | Path]) -> list[dict[str, Any]]:
    """The costs in run.json files, each with the names of its run."""
    rows = []
    for path in paths:
        task, case, variant, seed = Path(path).parts[-5:-1]
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        row = {"task": task, "case": case, "variant": variant, "seed": seed.removeprefix("seed")}
        costs = {name: figure.of(record) for name, figure in COSTS.items()}
        rows.append({**row, **costs, "device": record.get("device")})
    return rows


def mean_costs(paths: Sequence[str | Path]) -> dict[tuple[str, str], dict[str, float | None]]:
    """(case, variant) to the mean over seeds of each cost; None where there is none."""
    frame = pd.DataFrame(_records(paths)).astype(dict.fromkeys(COSTS, float))
    found: dict[tuple[str, str], dict[str, float | None]] = {}
    for (case, variant), rows in frame.groupby(["case", "variant"], sort=False):
        means = rows[list(COSTS)].mean()
        found[str(case), str(variant)] = {name: None if pd.isna(means[name]) else float(means[name]) for name in COSTS}
    return found


def write_cost_table(records: Sequence[str | Path], output: str | Path) -> None:
    """Write what runs cost (from their run.json): one row per run. Kept apart, since costs differ from run to run."""
    write_text(output, pd.DataFrame(_records(records)).to_csv(index=False, float_format="%.6g", lineterminator="\n"))
