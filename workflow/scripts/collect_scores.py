"""Join the scores of all runs of a paper."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.scores import collect_scores

    collect_scores(snakemake.input.scores, snakemake.output.scores)
