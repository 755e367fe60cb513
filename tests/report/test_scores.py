import numpy as np
import pandas as pd
import pytest

from hsipipe.report.scores import mean_of, mean_scores, read_scores

COLUMNS = ["task", "case", "scene", "item", "variant", "seed", "metric", "value", "unit"]


def write(path, rows):
    pd.DataFrame([("denoising", "c", "s", *row) for row in rows], columns=COLUMNS).to_csv(path, index=False)


def test_a_unit_without_a_score_is_not_left_out(tmp_path):
    write(tmp_path / "s.csv", [(f"i{n}", "a", 0, "mpsnr", value, "dB") for n, value in enumerate((30, 32, np.nan))])
    text = (tmp_path / "s.csv").read_text().replace(",,dB", ",nan,dB")
    (tmp_path / "s.csv").write_text(text)
    row = mean_of(mean_scores(read_scores(tmp_path / "s.csv")), "denoising", "c", "a", "mpsnr")
    assert np.isnan(row["mean"])
    assert row["units"] == 3


def test_spread_over_seeds_is_of_means_over_units(tmp_path):
    rows = [(f"i{n}", "a", seed, "mpsnr", 10 * n + seed, "dB") for n in range(2) for seed in (0, 2)]
    write(tmp_path / "s.csv", rows)
    row = mean_of(mean_scores(read_scores(tmp_path / "s.csv")), "denoising", "c", "a", "mpsnr")
    assert row["mean"] == 6
    assert row["sd"] == pytest.approx(np.std([5, 7], ddof=1))


def test_published_psnr_pools_errors_over_batches_of_eight(tmp_path):
    errors = np.linspace(0.001, 0.1, 16)
    write(tmp_path / "s.csv", [(f"i{n:02}", "a", 0, "mse", error, "") for n, error in enumerate(errors)])
    row = mean_of(mean_scores(read_scores(tmp_path / "s.csv")), "denoising", "c", "a", "peer_psnr")
    batches = [-10 * np.log10(part.mean()) for part in (errors[:8], errors[8:])]
    assert row["mean"] == pytest.approx(np.mean(batches))
