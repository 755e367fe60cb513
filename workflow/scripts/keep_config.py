"""Keep the config of a paper as it was run."""

from hsipipe.logs import job_log
from hsipipe.provenance.steps import recorded_job

with job_log(snakemake.log[0]), recorded_job(snakemake):
    import yaml

    from hsipipe.files import write_text

    write_text(snakemake.output.config, yaml.safe_dump(snakemake.params.config, sort_keys=False, allow_unicode=True))
