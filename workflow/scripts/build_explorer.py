"""Build the explorer: one page of all papers that ran in this folder."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.report.explorer.page import write_page

    write_page([snakemake.input.data, *snakemake.input.others], snakemake.output.page)
