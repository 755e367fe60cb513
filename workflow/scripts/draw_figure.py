"""Draw a figure of a paper, as PNG and SVG."""

from hsipipe.job import job

with job(snakemake):
    from hsipipe.tasks import load_task

    figure = snakemake.params.figure
    variants = figure["variants"]
    load_task(figure["task"], "draw")(
        figure,
        case=snakemake.input.case,
        scenes=snakemake.input.scenes,
        case_settings=snakemake.params.case_settings,
        scores=snakemake.input.scores,
        kept=dict(zip(variants, snakemake.input.kept, strict=True)),
        records=dict(zip(variants, snakemake.input.records, strict=True)),
        outputs=[snakemake.output.png, snakemake.output.svg],
    )
