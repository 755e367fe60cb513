"""Means over units and spreads over seeds: the one place where scores are averaged."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hsipipe.errors import UserError
from hsipipe.metrics.spatial import peer_psnr

RUN = ["task", "case", "variant", "seed"]


def read_scores(path: str | Path) -> pd.DataFrame:
    """Tidy scores, and the metrics that follow from them over many units (the published PSNR over batches of eight)."""
    frame = pd.read_csv(path, dtype={"item": str, "scene": str, "unit": str}, keep_default_na=False)
    frame["value"] = frame["value"].astype(float)
    errors = frame[frame.metric == "mse"]
    if errors.empty:
        return frame
    peers = errors.groupby(RUN, sort=False).value.apply(lambda values: peer_psnr(list(values), batch=8)).reset_index()
    peers = peers.assign(metric="peer_psnr", unit="dB", scene="", item="all")
    return pd.concat([frame, peers], ignore_index=True)


def mean_scores(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns task, case, variant, metric, mean, sd (over seeds; NaN with one seed), seeds, units, spread (over units).

    A run's score is the mean over its units; the mean and the standard deviation are then taken over the runs' seeds.
    """
    values = frame.groupby([*RUN, "metric"], sort=False).value
    # A unit without a score (NaN) makes the mean NaN: left out, it would flatter a method that fails on hard units.
    runs = values.agg(mean=lambda column: column.mean(skipna=False), std="std", count="size").reset_index()
    grouped = runs.groupby(["task", "case", "variant", "metric"], sort=False)
    return grouped.agg(
        mean=("mean", "mean"),
        sd=("mean", "std"),
        seeds=("seed", "nunique"),
        units=("count", "max"),
        spread=("std", "mean"),
    ).reset_index()


def mean_of(means: pd.DataFrame, task: str, case: str, variant: str, metric: str) -> pd.Series | None:
    """The row of one (task, case, variant, metric), or None where nothing was run."""
    found = means[(means.task == task) & (means.case == case) & (means.variant == variant) & (means.metric == metric)]
    if len(found) > 1:
        raise UserError(f"{len(found)} means of {metric} for {variant} on {case}")
    return None if found.empty else found.iloc[0]
