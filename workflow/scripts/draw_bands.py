"""Draw where a case's bands fall over the mean spectrum."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.bands.figure import draw_bands
    from hsipipe.bands.selection import read_bands_csv
    from hsipipe.cases.bands import mean_spectrum
    from hsipipe.cases.split import read_split
    from hsipipe.scenes.scene import Scene

    scenes = [Scene(path) for path in snakemake.input.scenes]
    selection = read_bands_csv(snakemake.input.bands)
    mean, deviation = mean_spectrum(scenes, read_split(snakemake.input.split))
    strategy = snakemake.params.settings["bands"]["strategy"]
    draw_bands(
        selection,
        scenes[0].wavelength_nm,
        mean,
        deviation,
        snakemake.output.figure,
        good_bands=scenes[0].good_bands,
        title=f"{snakemake.wildcards.case}: {len(selection)} of {scenes[0].bands} bands, {strategy}",
    )
