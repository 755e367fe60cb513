import csv
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import finetuning
import finetuning_measures as measures
import pytest
import torch
from finetuning_tables import as_markdown

FOLDER = Path(finetuning.__file__).parent

TINY = ["--preset", "tiny", "--head", "skip", "--bands", "5", "--image-size", "16", "--batch-sizes", "1", "32"]
STUDY = measures.Study(bands=5, image_size=16, preset="tiny", head="skip", batch_sizes=(1, 3))


def run(folder, *arguments):
    return finetuning.main([*TINY, "--device", "cpu", "--output", str(folder / "tuning"), *arguments])


def table(folder):
    with open(folder / "tuning.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_work_by_hand():
    """ViT-S with patches of 4 pixels on 202 x 128 x 128: two operations for each product and its sum."""
    encoder = measures.Study().network("full").encoder
    tokens, width = 1025, 384
    embedding = 2 * 1024 * 16 * 202 * width
    block = 2 * tokens * width * (3 + 1 + 4 + 4) * width + 2 * 2 * tokens**2 * width
    found = measures.count_flops(encoder, lambda net, batch: net(batch["input"]), input=(1, 202, 128, 128))
    assert found == embedding + 12 * block

    def learn(net, batch):
        net(batch["input"]).sum().backward()

    # A product's gradients are two more, save that nothing asks for the image's.
    found = measures.count_flops(encoder, learn, input=(1, 202, 128, 128))
    assert found == 2 * embedding + 3 * 12 * block
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_recomputing_costs_blocks_and_adapters_save_gradients_of_weights():
    work = {name: measures.step_flops(measures.Study(), name) for name in ("full", "lora", "frozen")}
    assert work["frozen"] < work["lora"] < work["full"] < measures.step_flops(measures.Study(), "full", recomputed=True)


def test_account_finds_the_largest_batch():
    rows = list(measures.account_rows(STUDY, "full"))
    limits = [row for row in rows if row["quantity"] == "largest batch"]
    assert len(limits) == 4 * len(STUDY.limits_gb)
    where = {"precision": "bfloat16", "checkpointing": True}
    found = next(row for row in limits if where.items() <= row.items() and row["limit_gb"] == 2.9)["value"]
    network = STUDY.network("full").to("meta")
    network.encoder.checkpointing = True

    def total(images):
        batch = STUDY.batch(images, "meta")
        return measures.training_memory(network, measures.loss_in("bfloat16"), batch, optimizer="adamw").total_bytes

    assert total(found) <= 2.9e9 < total(found + 1)


@pytest.mark.parametrize(("limit", "expected"), [(9, 0), (10, 1), (19.9, 1), (20, 2), (87, 8), (1000, 100)])
def test_largest_batch_by_bisection(limit, expected):
    asked = []

    def peak(images):
        asked.append(images)
        return 10 * images

    assert measures.largest_batch(peak, limit) == expected
    assert len(set(asked)) <= 15
    assert max(asked) <= 2 * max(1, expected)


def test_timings():
    """On the CPU, with a rate of 1 GFLOP/s in place of the measured one: what follows from the times, not the times."""
    step = measures.TrainingStep(STUDY, "lora", "cpu", channels_last=True)
    before = {name: value.clone() for name, value in step.network.state_dict().items()}
    rows = {row["quantity"]: row for row in measures.speed_rows(step, repeats=3, peak=1e9, work=2e6)}
    assert {row["batch"] for row in rows.values()} == {3}
    value = {name: row["value"] for name, row in rows.items()}
    assert value["samples"] == pytest.approx(3 / (value["step with drawing"] / 1e3))
    assert value["share of matrix peak"] == pytest.approx(100 * (3 * 2e6 / 1e9) / (value["step"] / 1e3))
    assert value["200 epochs of HySpecNet-11k"] == pytest.approx(200 * 9186 / value["samples"] / 3600)
    assert value["drawing"] > 0
    moved = {name for name, tensor in step.network.state_dict().items() if not (tensor == before[name]).all()}
    assert any("lora_" in name for name in moved)
    assert step.draw(0)["input"].shape == (3, 5, 16, 16)
    assert (step.draw(0)["input"] != step.draw(0)["target"]).any()
    assert measures.matrix_peak("cpu", size=32, repeats=2) > 0


def test_variants_of_the_speed(monkeypatch):
    def no_compiler(network):  # noqa: ARG001
        raise RuntimeError("no compiler\nhere")

    monkeypatch.setattr(torch, "compile", no_compiler)
    rows = list(measures.speed_of(STUDY, "frozen", "cpu", 2, 1e9))
    timed = [(row["compile"], row["channels_last"]) for row in rows if row["quantity"] == "step"]
    failed = {(row["compile"], row["channels_last"]): row["note"] for row in rows if row["quantity"] == "failed"}
    assert timed == [(False, False), (False, True)]
    assert failed == dict.fromkeys([(True, False), (True, True)], "RuntimeError: no compiler here")
    best = finetuning.fastest_of(rows)
    assert best in timed
    again = measures.speed_of(STUDY, "frozen", "cpu", 2, 1e9, (False, True))
    assert [row["channels_last"] for row in again if row["quantity"] == "step"] == [False, True]
    assert finetuning.fastest_of([row for row in rows if row["quantity"] == "failed"]) is None


def test_peaks(monkeypatch):
    """A GPU of a kind: 1 GB and 0.5 GB for each image of the batch, and no more than 6 GB."""

    def memory(network, loss, batch, optimizer):  # noqa: ARG001
        assert optimizer == "adamw"
        images = len(batch["input"]) / (2 if network.encoder.checkpointing else 1)
        if 1 + 0.5 * images > 6:
            raise torch.OutOfMemoryError("no more")
        return SimpleNamespace(peak_gpu_bytes=int(1e9 + 0.5e9 * images))

    monkeypatch.setattr(measures, "training_memory", memory)
    study = measures.Study(bands=5, image_size=16, preset="tiny", head="skip", batch_sizes=(1, 32))
    rows = list(measures.peak_rows(study, "dora", "cpu"))
    columns = ("quantity", "checkpointing", "batch", "limit_gb")
    found = {tuple(row[name] for name in columns if name in row): row["value"] for row in rows}
    assert found["peak memory", False, 1] == 1.5
    assert found["peak memory", False, 32] == math.inf
    assert [found["largest batch", False, limit] for limit in study.limits_gb] == [10, 8, 6, 3]
    assert [found["largest batch", True, limit] for limit in study.limits_gb] == [20, 16, 12, 7]


def test_files_and_update(tmp_path, capsys):
    assert run(tmp_path, "--adaptations", "lora") == 0
    first = table(tmp_path)
    text = (tmp_path / "tuning.md").read_text()
    assert "Network: preset tiny, 5 bands, 16 x 16 pixels, head skip." in text
    assert "for lack of a GPU: milliseconds per step" in text
    assert "`python benchmarks/finetuning.py --preset tiny" in text
    assert str(tmp_path) not in text
    assert run(tmp_path, "--adaptations", "frozen", "--update") == 0
    rows = table(tmp_path)
    names = list(dict.fromkeys(row["adaptation"] for row in rows if not row["adaptation"].startswith("head")))
    assert names == ["frozen", "lora"]
    assert [row for row in rows if row["adaptation"] == "lora"] == [row for row in first if row["adaptation"] == "lora"]
    keys = [tuple(row[column] for column in (*finetuning.WHERE, "quantity")) for row in rows]
    assert len(set(keys)) == len(keys)
    assert run(tmp_path, "--update", "--bands", "6") == 2
    assert "holds the figures of another network than preset tiny, 6 bands" in capsys.readouterr().err
    assert table(tmp_path) == rows


def test_what_a_gpu_would_add():
    def row(part, quantity, value="", **more):
        network = {"network": "preset tiny, 5 bands, 16 x 16 pixels, head skip"}
        return finetuning.as_text(
            {"part": part, "device": "GPU X", **network, "quantity": quantity, "value": value, **more}
        )

    variant = {"adaptation": "full", "precision": "bfloat16", "compile": False, "channels_last": True}
    memory = {"adaptation": "full", "precision": "bfloat16", "checkpointing": True}
    rows = [
        row("memory", "peak memory", 3.14159, batch=32, **memory),
        row("memory", "largest batch", 21, limit_gb=9.8, **memory),
        row("speed", "matrix peak", 700.0, adaptation="none"),
        row("speed", "step", 123.456, batch=32, **variant),
        row("speed", "samples", 250.0, batch=32, **variant),
        row("speed", "failed", note="no compiler", **(variant | {"compile": True})),
        row("speed", "left out", adaptation="qlora", note="no bitsandbytes"),
    ]
    text = as_markdown(rows)
    assert "| full | bfloat16 | recomputed | 3.14 |" in text
    assert "| full | bfloat16 | recomputed | **21** |" in text
    assert "| full | off | on | 123.5 |  |  | 250.0 |  |  |" in text
    assert "| full | on | on | no compiler |" in text
    assert "700 TFLOP/s" in text
    assert "- qlora (speed, GPU X): no bitsandbytes" in text
    assert "lack of a GPU" not in text


def test_what_was_measured_stays_when_it_cannot_be_measured_again():
    def row(adaptation, quantity, note=""):
        cells = {"part": "account", "device": "any", "adaptation": adaptation, "quantity": quantity, "note": note}
        return finetuning.as_text(cells)

    old = [row("qlora", "total memory"), row("full", "total memory", "old"), row("dora", "left out")]
    new = [row("qlora", "left out"), row("full", "total memory", "new"), row("dora", "total memory")]
    merged = [(r["adaptation"], r["quantity"], r["note"]) for r in finetuning.merge(old, new)]
    assert merged == [("full", "total memory", "new"), ("qlora", "total memory", ""), ("dora", "total memory", "")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repeats", "0"], "--repeats: must be at least 1 (found 0)"),
        (["--batch-sizes", "8", "0"], "--batch-sizes: must be at least 1 (found 0)"),
        (["--parts", "speed"], "--parts: needs a GPU that torch can use (found speed, and no GPU)"),
        (["--preset", "smal"], "unknown preset 'smal'; did you mean 'small'"),
        (["--image-size", "18"], "must be a multiple of the token's patch"),
        (["--bands", "0"], "bands: must be at least 1"),
        (["--head", "unett"], "unknown head 'unett'; did you mean 'unet'"),
    ],
)
def test_mistakes(tmp_path, capsys, arguments, message):
    assert run(tmp_path, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(tmp_path.iterdir())


def test_other_files_are_no_output(tmp_path, capsys):
    (tmp_path / "tuning.csv").write_text("a,b\n1,2\n")
    assert run(tmp_path, "--update") == 2
    assert "is not a table of this benchmark" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert finetuning.main([*TINY, "--device", "cpu", "--output", str(tmp_path / "file" / "tuning")]) == 2
    assert "--output: cannot be written" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        run(tmp_path, "--adaptations", "loraa")
    assert stopped.value.code == 2


def test_runs_with_few_packages(tmp_path):
    """As on a machine that has no more than what computes; 4 bits are left out there, and said to be."""
    lacking = ("rasterio", "spectral", "snakemake", "h5py", "pandas", "scipy", "pytorch_lightning", "bitsandbytes")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({lacking})); sys.path.insert(0, {str(FOLDER)!r})\n"
        "import finetuning; sys.exit(finetuning.main(sys.argv[1:]))"
    )
    output = ["--device", "cpu", "--output", str(tmp_path / "tuning"), "--adaptations", "qlora", "frozen"]
    done = subprocess.run([sys.executable, "-c", code, *TINY, *output], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "qlora is left out: 4-bit weights need the package bitsandbytes" in done.stderr
    text = (tmp_path / "tuning.md").read_text()
    assert "- qlora (account, any): 4-bit weights need the package bitsandbytes" in text
    assert {row["adaptation"] for row in table(tmp_path) if row["quantity"] == "training step"} == {"frozen"}
