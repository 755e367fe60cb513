"""Join the scores of all runs of a paper."""

from hsipipe.logs import job_log
from hsipipe.provenance.steps import recorded_job

with job_log(snakemake.log[0]), recorded_job(snakemake):
    from hsipipe.tidy import collect_scores

    collect_scores(snakemake.input.scores, snakemake.output.scores)
