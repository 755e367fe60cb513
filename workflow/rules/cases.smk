# Cases: split, bands and degradation, made once and shared by all methods.
rule split_case:
    input:
        scenes=get_case_scenes,
    output:
        split="results/{task}/{case}/split.csv",
    log:
        "logs/split_case/{task}/{case}.log",
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=growing("mem_mb", 1000),
        runtime=growing("runtime", 30),
    params:
        settings=get_case_settings("split"),
        key=code_key("hsipipe.cases.split", "hsipipe.scenes.tile_names"),
        script=script_key("split_case"),
    message:
        "Split case {wildcards.case}"
    script:
        "../scripts/split_case.py"


rule select_bands:
    input:
        scenes=get_case_scenes,
        split="results/{task}/{case}/split.csv",
    output:
        bands="results/{task}/{case}/bands.csv",
    log:
        "logs/select_bands/{task}/{case}.log",
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=growing("mem_mb", 4000),
        runtime=growing("runtime", 60),
    params:
        settings=get_case_settings("bands"),
        key=code_key("hsipipe.cases.bands"),
        script=script_key("select_bands"),
    message:
        "Select the bands of case {wildcards.case} on its training part"
    script:
        "../scripts/select_bands.py"


rule degrade_case:
    input:
        scenes=get_case_scenes,
        split="results/{task}/{case}/split.csv",
        bands="results/{task}/{case}/bands.csv",
        files=get_case_files,
    output:
        case="results/{task}/{case}/case.h5",
    log:
        "logs/degrade_case/{task}/{case}.log",
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=growing("mem_mb", 4000),
        runtime=growing("runtime", 120),
    params:
        settings=get_case_settings("prepare"),
        key=get_step_key("prepare"),
        script=script_key("degrade_case"),
    message:
        "Make what the methods of case {wildcards.case} get to see"
    script:
        "../scripts/degrade_case.py"
