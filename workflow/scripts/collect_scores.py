"""Join the scores of all runs of a paper."""

from hsipipe.job import job

with job(snakemake):
    from hsipipe.tidy import collect_scores

    collect_scores(snakemake.input.scores, snakemake.output.scores)
