"""Simulate a scene with its truth; specimens as the files of a line scanner, which are then read as any others."""

from hsipipe.jobs.job import job

with job(snakemake):
    from hsipipe.scenes.scene import write_scene

    settings = dict(snakemake.params.settings)
    if settings.pop("kind") == "simulate":
        from hsipipe.scenes.simulate import simulate_scene

        items = simulate_scene(**settings)
    else:
        from hsipipe.files import fresh_folder
        from hsipipe.scenes.simulation.specimens.files import simulate_specimens
        from hsipipe.scenes.specimens.reader import read_specimens

        with fresh_folder(snakemake.params.folder) as folder:
            simulate_specimens(folder, masks=True, **settings)
        items = read_specimens(snakemake.params.folder)
    write_scene(
        snakemake.output.scene,
        items,
        name=snakemake.wildcards.scene,
        simulated=True,
        attributes={"key": snakemake.params.key, "settings": settings},
    )
