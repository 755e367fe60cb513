"""Join the scores of all runs of a paper."""

from hsipipe.logs import job_log

with job_log(snakemake.log[0]):
    from hsipipe.tidy import collect_scores

    collect_scores(snakemake.input.scores, snakemake.output.scores)
