"""Share out the units of a case: training, validation, test."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.cases.empty import drop_empty
    from hsipipe.cases.split import SplitSettings, split_scenes, write_split
    from hsipipe.scenes.scene import Scene
    from hsipipe.scenes.tile_names import tile_of
    from hsipipe.settings import settings_from

    settings = snakemake.params.settings
    scenes = [Scene(path) for path in snakemake.input.scenes]
    units = split_scenes(
        scenes,
        settings_from(SplitSettings, settings["split"], "split"),
        crop=settings.get("crop"),
        items=settings.get("items"),
        tile_of=tile_of,
    )
    units = drop_empty(scenes, units)
    write_split(snakemake.output.split, units)
    for part in ("train", "val", "test"):
        print(f"{part}: {sum(unit.part == part for unit in units)} units")
