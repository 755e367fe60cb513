"""Judge a paper's claims by its scores."""

from hsipipe.logs import job_log
from hsipipe.provenance.steps import recorded_job

with job_log(snakemake.log[0]), recorded_job(snakemake):
    from hsipipe.report.claims import check_claims

    check_claims(
        snakemake.input.scores,
        snakemake.input.records,
        snakemake.params.claims,
        paper=snakemake.params.paper,
        size=snakemake.params.size,
        csv=snakemake.output.csv,
        markdown=snakemake.output.markdown,
        html=snakemake.output.html,
    )
