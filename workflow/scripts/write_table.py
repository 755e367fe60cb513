"""Write a table as CSV, Markdown, LaTeX and HTML, and the costs of its runs."""

from hsipipe.logs import job_log
from hsipipe.provenance.steps import recorded_job

with job_log(snakemake.log[0]), recorded_job(snakemake):
    from hsipipe.report.tables import write_cost_table, write_table

    write_table(
        snakemake.input.scores,
        snakemake.params.table,
        snakemake.input.records,
        csv=snakemake.output.csv,
        markdown=snakemake.output.markdown,
        tex=snakemake.output.tex,
        html=snakemake.output.html,
    )
    write_cost_table(snakemake.input.records, snakemake.output.cost)
