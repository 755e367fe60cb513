"""Select a case's bands on its training part."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.bands.selection import write_bands_csv
    from hsipipe.cases.bands import select_case_bands
    from hsipipe.cases.split import read_split
    from hsipipe.scenes.scene import Scene

    scenes = [Scene(path) for path in snakemake.input.scenes]
    selection = select_case_bands(scenes, read_split(snakemake.input.split), snakemake.params.settings["bands"])
    write_bands_csv(snakemake.output.bands, selection)
