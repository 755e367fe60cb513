"""Gather what the explorer shows of a paper."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.report.explorer.gather import gather

    gather(
        snakemake.params.paper,
        snakemake.params.cases,
        snakemake.params.tables,
        scores=snakemake.input.scores,
        records=snakemake.input.records,
        kept=snakemake.input.kept,
        claims=snakemake.input.get("claims") or None,
        output=snakemake.output.data,
    )
