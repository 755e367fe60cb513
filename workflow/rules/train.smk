# Training: interrupted, it goes on from results/.state, which is no declared output (those are deleted at a restart).
rule train_method:
    input:
        case="results/{task}/{case}/case.h5",
        split="results/{task}/{case}/split.csv",
        scenes=get_case_scenes,
        start=get_start,
    output:
        model="results/{task}/{case}/{variant}/seed{seed}/model.pt",
        curves=report(
            "results/{task}/{case}/{variant}/seed{seed}/loss_curves.png",
            caption="../report/loss_curves.rst",
            category="Training",
            subcategory="{task}",
            labels={"case": "{case}", "variant": "{variant}", "seed": "{seed}"},
        ),
        samples=report(
            "results/{task}/{case}/{variant}/seed{seed}/samples.png",
            caption="../report/samples.rst",
            category="Training",
            subcategory="{task}",
            labels={"case": "{case}", "variant": "{variant}", "seed": "{seed}"},
        ),
    log:
        "logs/train_method/{task}/{case}/{variant}/seed{seed}.log",
    conda:
        "../../envs/hsipipe.yaml"
    threads: get_resource("train", "threads", 1)
    resources:
        mem_mb=growing_resource("train", "mem_mb", 8000),
        runtime=growing_resource("train", "runtime", 600),
        gpu=get_resource("train", "gpu", 0),
        vram_mb=get_resource("train", "vram_mb", 0),
    params:
        case_settings=get_case_settings("fit"),
        method=get_method_name,
        settings=get_method_settings,
        key=get_method_key("fit"),
        script=script_key("train_method"),
        state="results/.state/{task}/{case}/{variant}/seed{seed}",
    message:
        "Train {wildcards.variant} on {wildcards.case}, seed {wildcards.seed}"
    script:
        "../scripts/train_method.py"
