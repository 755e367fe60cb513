"""Score a run: one row per unit and metric."""

from hsipipe.job import job

with job(snakemake):
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
