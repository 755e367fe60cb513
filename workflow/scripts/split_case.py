"""Share out the units of a case: training, validation, test."""

from hsipipe.logs import job_log

with job_log(snakemake.log[0]):
    from hsipipe.cases.split import SplitSettings, split_scenes, write_split
    from hsipipe.scenes.hyspecnet import tile_of
    from hsipipe.scenes.scene import Scene
    from hsipipe.settings import settings_from

    settings = snakemake.params.settings
    units = split_scenes(
        [Scene(path) for path in snakemake.input.scenes],
        settings_from(SplitSettings, settings["split"], "split"),
        crop=settings.get("crop"),
        items=settings.get("items"),
        tile_of=tile_of,
    )
    write_split(snakemake.output.split, units)
    for part in ("train", "val", "test"):
        print(f"{part}: {sum(unit.part == part for unit in units)} units")
