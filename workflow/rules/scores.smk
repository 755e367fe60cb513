# Scores: tidy, one row per unit and metric; joined per paper.
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
        key=code_key("hsipipe.scores"),
        script=script_key("collect_scores"),
    message:
        "Join the scores of the paper"
    script:
        "../scripts/collect_scores.py"
