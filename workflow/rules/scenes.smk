# Scenes: fetched or simulated, then read into one form.
rule download_scene:
    output:
        manifest="downloads/{scene}.json",
    log:
        "logs/download_scene/{scene}.log",
    wildcard_constraints:
        scene=alternatives(catalogue),
    retries: 2
    localrule: True
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=600,
    params:
        files=get_catalogue_rows,
        folder="downloads/{scene}",
    message:
        "Fetch the files of scene {wildcards.scene}"
    script:
        "../scripts/download_scene.py"


rule read_scene:
    input:
        get_scene_files,
    output:
        scene="results/scenes/{scene}.h5",
    log:
        "logs/read_scene/{scene}.log",
    wildcard_constraints:
        scene=alternatives(paper.measured_scenes(catalogue)),
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=growing("mem_mb", 4000),
        runtime=growing("runtime", 240),
    params:
        files=get_catalogue_rows,
        folder="downloads/{scene}",
        own=get_own_scene,
        key=code_key("hsipipe.scenes.assemble", "hsipipe.scenes.convert"),
        script=script_key("read_scene"),
    message:
        "Read scene {wildcards.scene} into one file"
    script:
        "../scripts/read_scene.py"


rule simulate_scene:
    output:
        scene="results/scenes/{scene}.h5",
    log:
        "logs/simulate_scene/{scene}.log",
    wildcard_constraints:
        scene=alternatives(paper.simulated_scenes()),
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=growing("mem_mb", 2000),
        runtime=growing("runtime", 30),
    params:
        settings=get_simulation,
        folder="results/specimens/{scene}",
        key=get_simulation_key,
        script=script_key("simulate_scene"),
    message:
        "Simulate scene {wildcards.scene}"
    script:
        "../scripts/simulate_scene.py"
