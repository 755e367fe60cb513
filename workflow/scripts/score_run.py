"""Score a run: one row per unit and metric."""

from hsipipe.logs import job_log
from hsipipe.provenance.steps import recorded_job

with job_log(snakemake.log[0]), recorded_job(snakemake):
    from hsipipe.tasks import load_task
    from hsipipe.tidy import write_scores

    wildcards = snakemake.wildcards
    scores = load_task(wildcards.task, "score")(
        snakemake.input.case,
        snakemake.input.scenes,
        snakemake.input.prediction,
        case_settings=snakemake.params.case_settings,
    )
    write_scores(
        snakemake.output.scores,
        scores,
        task=wildcards.task,
        case=wildcards.case,
        variant=wildcards.variant,
        seed=int(wildcards.seed),
    )
