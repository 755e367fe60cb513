"""Run a variant on every test unit of a case and score it: one row per unit and metric."""

from hsipipe.jobs.job import job

with job(snakemake):
    from pathlib import Path

    from hsipipe.devices.claim import claim, limit_memory, set_threads
    from hsipipe.files import scratch_file
    from hsipipe.methods import find_method
    from hsipipe.scores import write_scores
    from hsipipe.tasks import load_task

    wildcards = snakemake.wildcards
    method = find_method(wildcards.task, snakemake.params.method)
    device = claim(snakemake.resources.get("gpu", 0), vram_mb=snakemake.resources.get("vram_mb", 0))
    if method.backend == "torch" or snakemake.input.get("model"):
        set_threads(snakemake.threads)
        limit_memory()
    # Of thousands of patches it takes gigabytes: it lives for as long as it is needed, and is no output that waits.
    with scratch_file(Path(snakemake.output.record).with_name("prediction.h5")) as prediction:
        load_task(wildcards.task, "predict")(
            snakemake.input.case,
            snakemake.input.scenes,
            method,
            snakemake.params.settings,
            case_settings=snakemake.params.case_settings,
            seed=int(wildcards.seed),
            output=prediction,
            kept=snakemake.output.kept,
            record=snakemake.output.record,
            model=snakemake.input.get("model") or None,
            device=device.torch_name,
        )
        scores = load_task(wildcards.task, "score")(
            snakemake.input.case,
            snakemake.input.scenes,
            prediction,
            case_settings=snakemake.params.score_settings,
        )
    write_scores(
        snakemake.output.scores,
        scores,
        task=wildcards.task,
        case=wildcards.case,
        variant=wildcards.variant,
        seed=int(wildcards.seed),
    )
