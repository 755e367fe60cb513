"""Train a method on the training part of a case; a training that was interrupted goes on where it was."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.cases.split import read_split
    from hsipipe.methods import find_method
    from hsipipe.training.launch import train

    train(
        f"hsipipe.tasks.{snakemake.wildcards.task}.fit",
        gpus=snakemake.resources.get("gpu", 0),
        vram_mb=snakemake.resources.get("vram_mb", 0),
        threads=snakemake.threads,
        case=snakemake.input.case,
        scenes=list(snakemake.input.scenes),
        units=read_split(snakemake.input.split),
        method=find_method(snakemake.wildcards.task, snakemake.params.method),
        settings=snakemake.params.settings,
        case_settings=snakemake.params.case_settings,
        seed=int(snakemake.wildcards.seed),
        key=snakemake.params.key,
        state=snakemake.params.state,
        output=snakemake.output.model,
        curves=snakemake.output.curves,
        samples=snakemake.output.samples,
        start=snakemake.input.get("start") or None,
    )
