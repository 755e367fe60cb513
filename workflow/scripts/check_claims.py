"""Judge a paper's claims by its scores."""

from hsipipe.jobs.job import job

with job(snakemake):
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
