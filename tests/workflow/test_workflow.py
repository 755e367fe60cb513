"""The workflow as its users run it: dry runs of every paper, a tiny study from end to end, reruns, kills."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import torch

ROOT = Path(__file__).parent.parent.parent
TINY = Path(__file__).parent / "tiny.yaml"
pytestmark = pytest.mark.workflow


def snakemake(folder, *arguments, config=TINY, background=False, **environment):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--configfile", str(config), "--cores", "2", *arguments]
    keywords = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "cwd": folder}
    keywords["env"] = {**os.environ, **environment}
    if background:
        return subprocess.Popen(command, start_new_session=True, **keywords)
    return subprocess.run(command, timeout=900, check=False, **keywords)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout
    return folder


PAPERS = [ROOT / "config" / "config.yaml", *sorted((ROOT / "config" / "papers").glob("*.yaml"))]


@pytest.mark.parametrize("config", PAPERS, ids=lambda path: path.stem)
@pytest.mark.parametrize("size", ["demo", "paper"])
def test_every_paper_plans(tmp_path, config, size):
    if "sizes:" not in config.read_text() and size == "paper":
        pytest.skip("this paper has one size")
    # Snakemake takes `--config` after the file, as on the command line.
    chosen = ["--config", f"size={size}"] if "sizes:" in config.read_text() else []
    planned = snakemake(tmp_path, "--dry-run", *chosen, config=config)
    assert planned.returncode == 0, planned.stdout
    assert "run_method" in planned.stdout
    assert not (tmp_path / "results").exists()


def test_everything_is_made(finished):
    results = finished / "results"
    table = (results / "papers/tiny/tables/tiny.md").read_text()
    assert "simulated" in table
    assert "12.5" in table
    assert "±" in table
    frame = pd.read_csv(results / "papers/tiny/scores.csv")
    assert set(frame[frame.task == "denoising"].variant) == {"noisy", "destripe+svd", "qrnn3d", "lora", "oracle"}
    assert set(frame[frame.task == "fusion"].variant) == {"bicubic", "linear"}
    assert set(frame[frame.variant == "qrnn3d"].seed) == {0, 1}
    assert not frame.duplicated(["case", "variant", "seed", "item", "metric"]).any()
    claims = pd.read_csv(results / "papers/tiny/claims.csv")
    assert claims.verdict[1] == "not tested (demo data)"
    for figure in ("fusion", "bars", "visual", "spectra", "time", "band", "parameters"):
        assert (results / f"papers/tiny/figures/{figure}.png").stat().st_size > 5000
    assert (results / "denoising/tiny-hyspecnet/bands.png").exists()
    assert not list(results.rglob("prediction.h5")), "predictions are temporary"


def test_the_explorer_shows_every_case_and_variant(finished, browser):
    page = browser.new_page()
    told = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto((finished / "results/explorer/index.html").as_uri())
    frame = pd.read_csv(finished / "results/papers/tiny/scores.csv")
    for (task, case), rows in frame.groupby(["task", "case"]):
        page.select_option("#task", task)
        page.select_option("#case", case)
        for metric in rows.metric.unique()[:3]:
            page.select_option("#metric", metric)
            names = page.locator("#leaderboard-table tbody button").all_inner_texts()
            assert set(names) == set(rows[rows.metric == metric].variant)
        for name in rows.variant.unique():
            page.select_option("#metric", rows[rows.variant == name].metric.iloc[0])
            page.click(f'#leaderboard-table button[data-variant="{name}"]')
            page.wait_for_selector(".view[data-ready], #run-views > p")
            assert page.inner_text("#run-title") == f"{name} on {case} (simulated)"
    assert told == []
    page.close()


def test_a_run_can_be_followed_back(finished):
    record = json.loads((finished / "results/denoising/tiny-hyspecnet/qrnn3d/seed1/run.json").read_text())
    assert record["method"] == "qrnn3d"
    assert record["seed"] == 1
    assert record["settings"]["channels"] == 2
    assert record["seconds_to_train"] > 0
    assert record["memory"]["parameters"] == record["memory"]["trainable"] > 100
    assert record["state"] == "finished"


def test_an_encoder_is_trained_for_others_and_not_run(finished):
    folder = finished / "results/denoising/tiny-hyspecnet"
    for seed in (0, 1):
        assert (folder / f"mae/seed{seed}/model.pt").exists()
        assert not (folder / f"mae/seed{seed}/run.json").exists()
        record = json.loads((folder / f"lora/seed{seed}/run.json").read_text())
        assert record["started_from"] == f"results/denoising/tiny-hyspecnet/mae/seed{seed}/model.pt"
        assert (folder / f"lora/seed{seed}/samples.png").stat().st_size > 2000
        assert (folder / f"lora/seed{seed}/samples/epoch-0001.png").exists()
    costs = (finished / "results/papers/tiny/tables/costs.md").read_text()
    assert "trained parameters" in costs


def test_models_from_another_case_are_not_retrained(finished):
    assert (finished / "results/denoising/tiny-other/qrnn3d/seed0/scores.csv").exists()
    assert not (finished / "results/denoising/tiny-other/qrnn3d/seed0/model.pt").exists()


def test_nothing_to_be_done_again_even_after_touching_a_script(finished):
    script = ROOT / "workflow/scripts/train_method.py"
    times = script.stat()
    try:
        script.touch()
        again = snakemake(finished)
    finally:
        os.utime(script, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "Nothing to be done" in again.stdout, again.stdout


def test_report(finished):
    made = snakemake(finished, "--report", "report.zip")
    assert made.returncode == 0, made.stdout
    names = zipfile.ZipFile(finished / "report.zip").namelist()
    assert any(name.endswith("report.html") for name in names)
    assert sum(name.endswith(".png") for name in names) >= 5


def test_a_changed_setting_reruns_what_depends_on_it_only(finished, tmp_path):
    changed = tmp_path / "changed.yaml"
    changed.write_text(TINY.read_text().replace("oracle: {method: oracle}", "oracle: {method: oracle, rank: 2}"))
    planned = snakemake(finished, "--dry-run", "--verbose", config=changed)
    counts = dict(
        line.split() for line in planned.stdout.splitlines() if line.startswith(("run_method", "train_method"))
    )
    assert counts == {"run_method": "1"}, planned.stdout


def test_a_study_made_again_gives_the_same_scores(finished, tmp_path):
    (tmp_path / "results").mkdir()
    again = snakemake(tmp_path, "results/denoising/tiny-hyspecnet/qrnn3d/seed0/scores.csv")
    assert again.returncode == 0, again.stdout
    path = "results/denoising/tiny-hyspecnet/qrnn3d/seed0/scores.csv"
    assert (tmp_path / path).read_bytes() == (finished / path).read_bytes()


def wait_for(condition, seconds=120):
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")


def test_kill_during_training_then_the_next_run_ends_with_the_same_weights(finished, tmp_path):
    """SIGKILL the workflow with all its children while it trains; the next one goes on and ends where it would have."""
    for name in ("results", ".snakemake"):
        shutil.copytree(finished / name, tmp_path / name)
    model = "results/denoising/tiny-hyspecnet/qrnn3d/seed0/model.pt"
    state = tmp_path / "results/.state/denoising/tiny-hyspecnet/qrnn3d/seed0"
    shutil.rmtree(state)
    (tmp_path / model).unlink()
    running = snakemake(tmp_path, model, background=True)
    wait_for(lambda: (state / "last.ckpt").exists())
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    after = snakemake(tmp_path, model)
    assert after.returncode == 0, after.stdout
    straight, resumed = (
        torch.load(folder / model, weights_only=True)["model_state"] for folder in (finished, tmp_path)
    )
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_a_second_run_in_the_same_folder_is_refused_until_the_first_is_dead(tmp_path):
    running = snakemake(tmp_path, background=True)
    wait_for(lambda: (tmp_path / "logs" / "simulate_scene").exists())
    target = "results/scenes/tiny-landscape.h5"
    second = snakemake(tmp_path)  # all of it: the scene alone may be there before this one has read the config
    assert second.returncode == 2
    assert "another snakemake runs here" in second.stdout
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    third = snakemake(tmp_path, target)
    assert third.returncode == 0, third.stdout
    assert (tmp_path / target).exists()


def test_kill_during_a_run_leaves_nothing_half_written(finished, tmp_path):
    for name in ("results", ".snakemake"):
        shutil.copytree(finished / name, tmp_path / name)
    scores = "results/denoising/tiny-hyspecnet/destripe+svd/seed0/scores.csv"
    run = (tmp_path / scores).parent
    shutil.rmtree(run)
    running = snakemake(tmp_path, scores, background=True)
    wait_for(lambda: run.exists() and any(run.iterdir()))
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    after = snakemake(tmp_path, scores)
    assert after.returncode == 0, after.stdout
    assert (tmp_path / scores).read_bytes() == (finished / scores).read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("method: oracle", "method: oracl", "did you mean 'oracle'"),
        ("noise: hyspecnet", "noise: hyspecnett", "did you mean 'hyspecnet'"),
        ("strategy: uniform, count: 12", "strategy: unifrm, count: 12", "did you mean 'uniform'"),
        ("figures:", "figurs:", "did you mean 'figures'"),
        ("scenes: [tiny-landscape]", "scenes: [tiny-landscap]", "did you mean 'tiny-landscape'"),
        ("channels: 2", "chanels: 2", "did you mean 'channels'"),
        ("channels: 2", "channels: many", "channels"),
        ("kind: bars", "kind: bar", "did you mean 'bars'"),
        ("metrics: [peer_psnr", "metrics: [peer_psrn", "did you mean 'peer_psnr'"),
    ],
)
def test_a_typing_error_is_one_line_that_names_the_nearest(tmp_path, old, new, message):
    config = tmp_path / "wrong.yaml"
    config.write_text(TINY.read_text().replace(old, new))
    answer = snakemake(tmp_path, "--dry-run", config=config)
    errors = [line for line in answer.stdout.splitlines() if line.startswith("error:")]
    assert answer.returncode == 2
    assert len(errors) == 1, answer.stdout
    assert message in errors[0]
    assert "Traceback" not in answer.stdout
