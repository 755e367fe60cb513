"""Read a scene's files, or the user's own, into one scene file."""

from hsipipe.logs import job_log

with job_log(snakemake.log[0]):
    from hsipipe.scenes.assemble import read_scene_files
    from hsipipe.scenes.catalogue import SceneEntry, SceneFile
    from hsipipe.scenes.convert import convert
    from hsipipe.scenes.scene import write_scene

    own, name, output = snakemake.params.own, snakemake.wildcards.scene, snakemake.output.scene
    if own:
        convert(list(snakemake.input), output, labels=own["labels"], key=own["key"], layout=own["layout"], name=name)
    else:
        entry = SceneEntry(name, tuple(SceneFile(**row) for row in snakemake.params.files))
        items = read_scene_files(entry, snakemake.params.folder)
        write_scene(output, items, name=name, simulated=entry.simulated)
