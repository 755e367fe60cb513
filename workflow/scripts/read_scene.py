"""Read a scene's files, or the user's own, into one scene file."""

from hsipipe.jobs.job import job

with job(snakemake):
    import shutil
    from pathlib import Path

    from hsipipe.scenes.assemble import read_scene_files
    from hsipipe.scenes.catalogue import SceneEntry, SceneFile
    from hsipipe.scenes.convert import convert
    from hsipipe.scenes.download import download_scene
    from hsipipe.scenes.scene import write_scene

    own, name, output = snakemake.params.own, snakemake.wildcards.scene, snakemake.output.scene
    if own:
        convert(own["files"], output, labels=own["labels"], key=own["key"], layout=own["layout"], name=name)
    else:
        entry = SceneEntry(name, tuple(SceneFile(**row) for row in snakemake.params.files))
        folder = Path(snakemake.params.folder)
        if not all((folder / file.file).is_file() for file in entry.downloads):
            download_scene(entry, folder)  # somebody removed them after they were fetched
        write_scene(output, read_scene_files(entry, folder), name=name, simulated=entry.simulated)
        # What the archives hold is in the scene now, and can be as large again; the archives stay.
        shutil.rmtree(folder / "unpacked", ignore_errors=True)
