"""Synthesise what a case's methods get to see, once for all of them."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.bands.selection import read_bands_csv
    from hsipipe.cases.split import read_split
    from hsipipe.tasks import load_task

    load_task(snakemake.wildcards.task, "prepare")(
        snakemake.input.scenes,
        read_split(snakemake.input.split),
        read_bands_csv(snakemake.input.bands),
        snakemake.params.settings,
        name=snakemake.wildcards.case,
        output=snakemake.output.case,
    )
