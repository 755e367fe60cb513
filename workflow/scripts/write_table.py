"""Write a table as CSV, Markdown, LaTeX and HTML, and the costs of its runs."""

from hsipipe.jobs.job import job

with job(snakemake):
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
