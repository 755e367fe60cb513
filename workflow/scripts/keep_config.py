"""Keep the config of a paper as it was run."""

from hsipipe.jobs.job import job

with job(snakemake):
    import yaml

    from hsipipe.files import write_text

    write_text(snakemake.output.config, yaml.safe_dump(snakemake.params.config, sort_keys=False, allow_unicode=True))
