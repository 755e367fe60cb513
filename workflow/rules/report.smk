# What a paper shows: tables, figures, claims; and the config that asked for them.
rule keep_config:
    output:
        config=f"results/papers/{paper.name}/config.yaml",
    log:
        f"logs/keep_config/{paper.name}.log",
    localrule: True
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        script=script_key("keep_config"),
        config=get_config_as_run(),
    message:
        "Keep the config beside what it asked for"
    script:
        "../scripts/keep_config.py"


rule write_table:
    input:
        scores=f"results/papers/{paper.name}/scores.csv",
        records=get_table_records,
    output:
        csv=f"results/papers/{paper.name}/tables/{{table}}.csv",
        markdown=f"results/papers/{paper.name}/tables/{{table}}.md",
        tex=f"results/papers/{paper.name}/tables/{{table}}.tex",
        html=report(
            f"results/papers/{paper.name}/tables/{{table}}.html",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        cost=f"results/papers/{paper.name}/tables/{{table}}_cost.csv",
    log:
        f"logs/write_table/{paper.name}/{{table}}.log",
    wildcard_constraints:
        table=alternatives(paper.tables),
    localrule: True
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        table=lambda wildcards: describe_table(wildcards.table),
        key=code_key("hsipipe.report.tables"),
        script=script_key("write_table"),
    message:
        "Write table {wildcards.table}"
    script:
        "../scripts/write_table.py"


# One job for all figures of a case: drawing takes less than loading what draws.
for task, case in figure_cases():

    rule:
        name:
            f"draw_figures_{task}_{case}"
        input:
            scores=f"results/papers/{paper.name}/scores.csv",
            case=f"results/{task}/{case}/case.h5",
            scenes=[
                f"results/scenes/{name}.h5" for name in paper.case(task, case).scenes
            ],
            kept=run_paths("kept.h5", shown_runs(task, case)),
            records=run_paths("run.json", shown_runs(task, case)),
        output:
            png=[
                report(
                    f"results/papers/{paper.name}/figures/{name}.png",
                    caption="../report/figure.rst",
                    category="Figures",
                    subcategory=case,
                    labels={"figure": figure["kind"]},
                )
                for name, figure in figures_of(task, case).items()
            ],
            svg=[
                f"results/papers/{paper.name}/figures/{name}.svg"
                for name in figures_of(task, case)
            ],
        log:
            f"logs/draw_figures/{paper.name}/{task}-{case}.log",
        localrule: True
        conda:
            "../../envs/hsipipe.yaml"
        threads: 1
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            figures=list(figures_of(task, case).values()),
            variants=[run.variant for run in shown_runs(task, case)],
            case_settings=used_settings(task, case, "draw"),
            key=code_key(f"hsipipe.tasks.{task}.draw"),
            script=script_key("draw_figures"),
        message:
            f"Draw the figures of case {case}"
        script:
            "../scripts/draw_figures.py"


rule check_claims:
    input:
        scores=f"results/papers/{paper.name}/scores.csv",
        records=get_claim_records,
    output:
        csv=f"results/papers/{paper.name}/claims.csv",
        markdown=f"results/papers/{paper.name}/claims.md",
        html=report(
            f"results/papers/{paper.name}/claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels={"paper": paper.name},
        ),
    log:
        f"logs/check_claims/{paper.name}.log",
    localrule: True
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        paper=paper.name,
        size=paper.size,
        claims=[dataclasses.asdict(claim) for claim in paper.claims],
        key=code_key("hsipipe.report.claims"),
        script=script_key("check_claims"),
    message:
        "Judge the claims of the paper"
    script:
        "../scripts/check_claims.py"


rule draw_bands:
    input:
        scenes=get_case_scenes,
        split="results/{task}/{case}/split.csv",
        bands="results/{task}/{case}/bands.csv",
    output:
        figure=report(
            "results/{task}/{case}/bands.png",
            caption="../report/bands.rst",
            category="Cases",
            subcategory="{task}",
            labels={"case": "{case}", "figure": "bands"},
        ),
    log:
        "logs/draw_bands/{task}/{case}.log",
    localrule: True
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
    params:
        settings=get_case_settings("bands"),
        key=code_key("hsipipe.cases.bands", "hsipipe.bands.figure"),
        script=script_key("draw_bands"),
    message:
        "Draw where the bands of case {wildcards.case} fall"
    script:
        "../scripts/draw_bands.py"


rule gather_explorer:
    input:
        scores=f"results/papers/{paper.name}/scores.csv",
        claims=f"results/papers/{paper.name}/claims.csv" if paper.claims else [],
        records=run_paths("run.json", paper.runs()),
        kept=run_paths("kept.h5", pictured_runs()),
        cases=[
            f"results/{task}/{case}/case.h5"
            for task in paper.cases
            for case in paper.cases[task]
        ],
        scenes=get_all_scenes(),
    output:
        data=f"results/papers/{paper.name}/explorer.json",
    log:
        f"logs/gather_explorer/{paper.name}.log",
    localrule: True
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        paper={
            "name": paper.name,
            "title": paper.title,
            "citation": paper.citation,
            "size": paper.size,
        },
        cases=get_explored_cases(),
        tables={name: describe_table(name) for name in paper.tables},
        key=code_key(
            "hsipipe.report.explorer.gather",
            *[
                f"hsipipe.tasks.{task}.{module}"
                for task in paper.cases
                for module in ("explore", "figures.material")
            ],
        ),
        script=script_key("gather_explorer"),
    message:
        "Gather what the explorer shows of the paper"
    script:
        "../scripts/gather_explorer.py"


rule build_explorer:
    input:
        data=f"results/papers/{paper.name}/explorer.json",
        others=get_other_explored(),
    output:
        page=report(
            "results/explorer/index.html",
            caption="../report/explorer.rst",
            category="Explorer",
            labels={"page": "all results, with pictures"},
        ),
    log:
        f"logs/build_explorer/{paper.name}.log",
    localrule: True
    conda:
        "../../envs/hsipipe.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        key=code_key("hsipipe.report.explorer.page"),
        assets=folder_key(PACKAGE_FOLDER / "report/explorer/assets"),
        script=script_key("build_explorer"),
    message:
        "Build the page that shows all results"
    script:
        "../scripts/build_explorer.py"
