"""Run a variant on every test unit of a case."""

from hsipipe.job import job

with job(snakemake):
    from hsipipe.device import claim, limit_memory, set_threads
    from hsipipe.methods import find_method
    from hsipipe.tasks import load_task

    method = find_method(snakemake.wildcards.task, snakemake.params.method)
    device = claim(snakemake.resources.get("gpu", 0), vram_mb=snakemake.resources.get("vram_mb", 0))
    if method.backend == "torch" or snakemake.input.get("model"):
        set_threads(snakemake.threads)
        limit_memory()
    load_task(snakemake.wildcards.task, "predict")(
        snakemake.input.case,
        snakemake.input.scenes,
        method,
        snakemake.params.settings,
        case_settings=snakemake.params.case_settings,
        seed=int(snakemake.wildcards.seed),
        output=snakemake.output.prediction,
        kept=snakemake.output.kept,
        record=snakemake.output.record,
        model=snakemake.input.get("model") or None,
        device=device.torch_name,
    )
