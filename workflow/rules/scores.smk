# Scores: tidy, one row per unit and metric; joined per paper.
rule score_run:
    input:
        case="results/{task}/{case}/case.h5",
        scenes=get_case_scenes,
        prediction="results/{task}/{case}/{variant}/seed{seed}/prediction.h5",
    output:
        scores="results/{task}/{case}/{variant}/seed{seed}/scores.csv",
    log:
        "logs/score_run/{task}/{case}/{variant}/seed{seed}.log",
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=growing("mem_mb", 2000),
        runtime=growing("runtime", 120),
    params:
        case_settings=get_case_settings("score"),
        key=get_step_key("score"),
        script=script_key("score_run"),
    message:
        "Score {wildcards.variant} on {wildcards.case}, seed {wildcards.seed}"
    script:
        "../scripts/score_run.py"


rule collect_scores:
    input:
        scores=run_paths("scores.csv", paper.runs()),
    output:
        scores=f"results/papers/{paper.name}/scores.csv",
    log:
        f"logs/collect_scores/{paper.name}.log",
    localrule: True
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=code_key("hsipipe.tidy"),
        script=script_key("collect_scores"),
    message:
        "Join the scores of the paper"
    script:
        "../scripts/collect_scores.py"
