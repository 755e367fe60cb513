"""Draw a paper's figures of a case, each as PNG and SVG."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.tasks import load_task

    variants = snakemake.params.variants
    kept = dict(zip(variants, snakemake.input.kept, strict=True))
    records = dict(zip(variants, snakemake.input.records, strict=True))
    outputs = zip(snakemake.output.png, snakemake.output.svg, strict=True)
    for figure, paths in zip(snakemake.params.figures, outputs, strict=True):
        load_task(figure["task"], "draw")(
            figure,
            case=snakemake.input.case,
            scenes=snakemake.input.scenes,
            case_settings=snakemake.params.case_settings,
            scores=snakemake.input.scores,
            kept={variant: kept[variant] for variant in figure["variants"]},
            records={variant: records[variant] for variant in figure["variants"]},
            outputs=paths,
        )
