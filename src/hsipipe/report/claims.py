"""Claims of a paper, judged as inequalities over mean scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hsipipe.files import write_text
from hsipipe.metrics.registry import METRICS
from hsipipe.report.costs import COSTS
from hsipipe.report.page import html_page
from hsipipe.report.scores import mean_of, mean_scores, read_scores
from hsipipe.report.tables import mean_costs

REPRODUCED, NOT_REPRODUCED, NOT_TESTED = "reproduced", "not reproduced", "not tested"


# Keys of a claim that ask for a difference in units of a spread over seeds: in words, and of a row of `mean_scores`.
SPREADS: dict[str, tuple[str, Callable[[pd.Series], float]]] = {
    "deviations": ("sd", lambda row: float(row["sd"])),
    "standard_errors": ("standard error(s)", lambda row: float(row["sd"] / np.sqrt(row["seeds"]))),
}

Costs = dict[tuple[str, str], dict[str, float | None]]


def judge(claim: dict[str, Any], means: pd.DataFrame, costs: Costs, *, size: str) -> tuple[str, str]:
    """Verdict and evidence of one claim, over scores or over costs."""
    if not claim["better"]:
        return NOT_TESTED, "nothing that this study runs can decide it"
    judged = judge_cost(claim, costs) if claim["cost"] else judge_scores(claim, means)
    if isinstance(judged, str):
        return NOT_TESTED, judged
    holds, evidence = judged
    if claim["needs"] and claim["needs"] != size:
        return f"{NOT_TESTED} ({size} data)", evidence
    return REPRODUCED if holds else NOT_REPRODUCED, evidence


def judge_cost(claim: dict[str, Any], costs: Costs) -> tuple[bool, str] | str:
    """Whether all of `than` cost more than `factor` times what `better` does, with evidence; or what is missing."""
    figure, case = COSTS[claim["cost"]], claim["case"]
    values = {name: costs.get((case, name), {}).get(claim["cost"]) for name in (claim["better"], *claim["than"])}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        return f"{', '.join(missing)} has no {figure.heading} on {case}"
    known = {name: float(value) for name, value in values.items() if value is not None}
    holds = all(known[name] > claim["factor"] * known[claim["better"]] for name in claim["than"])
    found = [f"{name} {value:,.{figure.decimals}f}" for name, value in known.items()]
    return holds, f"{figure.heading} on {case}: {found[0]}; {', '.join(found[1:])}; factor asked {claim['factor']:g}"


def judge_scores(claim: dict[str, Any], means: pd.DataFrame) -> tuple[bool, str] | str:
    """Whether `better` beats every one of `than`, with evidence; or what is missing.

    By more than `margin`, in the metric's unit, towards the better side, and by more than `deviations` standard
    deviations and `standard_errors` standard errors of the mean over seeds, the larger one of the two sides; and
    whether its mean keeps to `at_least` and `at_most`.
    """
    metric = METRICS[claim["metric"]]
    task, case, name = claim["task"], claim["case"], claim["better"]
    ours = mean_of(means, task, case, name, claim["metric"])
    if ours is None:
        return f"{name} was not run on {case}"
    found, holds = [], True
    for other in claim["than"]:
        theirs = mean_of(means, task, case, other, claim["metric"])
        if theirs is None:
            return f"{other} was not run on {case}"
        sign = 1 if metric.higher_is_better else -1
        difference = sign * (ours["mean"] - theirs["mean"])
        holds &= bool(difference > claim["margin"])
        for key, (_, spread_of) in SPREADS.items():
            if not claim[key]:
                continue
            spreads = [spread for side in (ours, theirs) if not np.isnan(spread := spread_of(side))]
            if not spreads:
                return f"{name} and {other} on {case} have one seed each, hence no standard deviation"
            holds &= bool(difference > claim[key] * max(spreads))
        found.append(f"{other} {theirs['mean']:{metric.format}}")
    spread = f" ± {ours['sd']:{metric.format}}" if not np.isnan(ours["sd"]) else ""
    for bound, words, sign in (("at_least", "at least", 1), ("at_most", "at most", -1)):
        if claim[bound] is not None:
            holds &= bool(sign * (ours["mean"] - claim[bound]) >= 0)
            found.append(f"asked {words} {claim[bound]:g}")
    found += [f"asked {claim[key]:g} {words}" for key, (words, _) in SPREADS.items() if claim[key]]
    evidence = f"{metric.label} on {case}: {name} {ours['mean']:{metric.format}}{spread}; {', '.join(found)}"
    return holds, evidence


def check_claims(
    scores: str | Path,
    records: Sequence[str | Path],
    claims: Sequence[dict[str, Any]],
    *,
    paper: str,
    size: str,
    csv: str | Path,
    markdown: str | Path,
    html: str | Path,
) -> None:
    """Judge all claims of a paper; columns paper, task, claim, verdict, evidence.

    A claim that `needs` another size of study is not tested, whatever this one shows; what it shows is still told.
    `records` are the run.json files of the runs that claims over costs speak of.
    """
    means = mean_scores(read_scores(scores))
    costs = mean_costs(records) if records else {}
    rows = []
    for claim in claims:
        verdict, evidence = judge(claim, means, costs, size=size)
        rows.append((paper, claim["task"], claim["claim"], verdict, evidence))
    frame = pd.DataFrame(rows, columns=["paper", "task", "claim", "verdict", "evidence"])
    write_text(csv, frame.to_csv(index=False, lineterminator="\n"))
    lines = ["| claim | verdict | evidence |", "|---|---|---|"]
    lines += [f"| {claim} | {verdict} | {evidence} |" for _, _, claim, verdict, evidence in rows]
    title = f"Claims of {paper}"
    write_text(markdown, "\n".join([f"# {title}", "", *lines, ""]))
    body = "".join(
        f"<tr><td class=text>{escape(claim)}</td>"
        f'<td class="{verdict.partition(" (")[0].replace(" ", "-")}">{escape(verdict)}</td>'
        f"<td class=text>{escape(evidence)}</td></tr>"
        for _, _, claim, verdict, evidence in rows
    )
    head = "<thead><tr><th>claim</th><th>verdict</th><th>evidence</th></tr></thead>"
    write_text(html, html_page(title, f"<table>{head}<tbody>{body}</tbody></table>"))
