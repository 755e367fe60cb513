"""Train a method on the training part of a case; a training that was interrupted goes on where it was."""

from hsipipe.logs import job_log
from hsipipe.provenance.steps import recorded_job

with job_log(snakemake.log[0]), recorded_job(snakemake):
    from hsipipe.device import claim, set_threads

    claim(snakemake.resources.get("gpu", 0))  # the training loop works on what this process holds
    set_threads(snakemake.threads)

    from hsipipe.cases.split import read_split
    from hsipipe.methods import find_method
    from hsipipe.tasks import load_task

    load_task(snakemake.wildcards.task, "fit")(
        snakemake.input.case,
        snakemake.input.scenes,
        read_split(snakemake.input.split),
        find_method(snakemake.wildcards.task, snakemake.params.method),
        snakemake.params.settings,
        case_settings=snakemake.params.case_settings,
        seed=int(snakemake.wildcards.seed),
        key=snakemake.params.key,
        state=snakemake.params.state,
        output=snakemake.output.model,
        curves=snakemake.output.curves,
        samples=snakemake.output.samples,
        start=snakemake.input.get("start") or None,
    )
