"""Simulate a scene with its truth."""

from hsipipe.logs import job_log

with job_log(snakemake.log[0]):
    from hsipipe.scenes.scene import write_scene
    from hsipipe.scenes.simulate import simulate_scene

    settings = snakemake.params.settings
    write_scene(
        snakemake.output.scene,
        simulate_scene(**settings),
        name=snakemake.wildcards.scene,
        simulated=True,
        attributes={"key": snakemake.params.key, "settings": settings},
    )
