"""Fetch the files of a scene, from the mirror folder or the network, and list them with their hashes."""

from hsipipe.jobs.job import job

with job(snakemake):
    from pathlib import Path

    from hsipipe.files import sha256_of, write_json
    from hsipipe.scenes.catalogue import SceneEntry, SceneFile
    from hsipipe.scenes.download import download_scene

    entry = SceneEntry(snakemake.wildcards.scene, tuple(SceneFile(**row) for row in snakemake.params.files))
    paths = download_scene(entry, Path(snakemake.params.folder))
    write_json(snakemake.output.manifest, {str(path): sha256_of(path) for path in paths})
