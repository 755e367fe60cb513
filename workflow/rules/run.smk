# Runs: one variant on all test units of a case, scored in the same job: predictions can be large and are not kept.
rule run_method:
    input:
        case="results/{task}/{case}/case.h5",
        scenes=get_case_scenes,
        model=get_model,
    output:
        scores="results/{task}/{case}/{variant}/seed{seed}/scores.csv",
        kept="results/{task}/{case}/{variant}/seed{seed}/kept.h5",
        record="results/{task}/{case}/{variant}/seed{seed}/run.json",
    log:
        "logs/run_method/{task}/{case}/{variant}/seed{seed}.log",
    conda:
        "../../envs/hsipipe.yaml"
    threads: get_resource("run", "threads", 1)
    resources:
        mem_mb=growing_resource("run", "mem_mb", 4000),
        runtime=growing_resource("run", "runtime", 240),
        gpu=get_resource("run", "gpu", 0),
        vram_mb=get_resource("run", "vram_mb", 0),
    params:
        case_settings=get_case_settings("predict"),
        score_settings=get_case_settings("score"),
        method=get_method_name,
        settings=get_method_settings,
        key=get_method_key("predict", "score"),
        script=script_key("run_method"),
    message:
        "Run and score {wildcards.variant} on {wildcards.case}, seed {wildcards.seed}"
    script:
        "../scripts/run_method.py"
