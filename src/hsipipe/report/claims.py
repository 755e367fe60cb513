"""Claims of a paper, judged as inequalities over mean scores."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hsipipe.files import write_text
from hsipipe.metrics.registry import METRICS
from hsipipe.report.page import html_page
from hsipipe.report.scores import mean_of, mean_scores, read_scores

REPRODUCED, NOT_REPRODUCED, NOT_TESTED = "reproduced", "not reproduced", "not tested"


def judge(claim: dict[str, Any], means: pd.DataFrame, *, size: str) -> tuple[str, str]:
    """Verdict and evidence of one claim.

    `better` must beat every one of `than` by more than `margin` (in the metric's unit, towards the better side). A
    claim that `needs` another size of study is not tested, whatever this one shows; what it shows is still told.
    """
    metric = METRICS[claim["metric"]]
    task, case, name = claim["task"], claim["case"], claim["better"]
    if not name:
        return NOT_TESTED, "nothing that this study runs can decide it"
    ours = mean_of(means, task, case, name, claim["metric"])
    if ours is None:
        return NOT_TESTED, f"{name} was not run on {case}"
    found, holds = [], True
    for other in claim["than"]:
        theirs = mean_of(means, task, case, other, claim["metric"])
        if theirs is None:
            return NOT_TESTED, f"{other} was not run on {case}"
        sign = 1 if metric.higher_is_better else -1
        difference = sign * (ours["mean"] - theirs["mean"])
        holds &= bool(difference > claim["margin"])
        found.append(f"{other} {theirs['mean']:.{metric.decimals}f}")
    spread = f" ± {ours['sd']:.{metric.decimals}f}" if not np.isnan(ours["sd"]) else ""
    evidence = f"{metric.label} on {case}: {name} {ours['mean']:.{metric.decimals}f}{spread}; {', '.join(found)}"
    if claim["needs"] and claim["needs"] != size:
        return f"{NOT_TESTED} ({size} data)", evidence
    return REPRODUCED if holds else NOT_REPRODUCED, evidence


def check_claims(
    scores: str | Path,
    claims: Sequence[dict[str, Any]],
    *,
    paper: str,
    size: str,
    csv: str | Path,
    markdown: str | Path,
    html: str | Path,
) -> None:
    """Judge all claims of a paper; columns paper, task, claim, verdict, evidence."""
    means = mean_scores(read_scores(scores))
    rows = []
    for claim in claims:
        verdict, evidence = judge(claim, means, size=size)
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
