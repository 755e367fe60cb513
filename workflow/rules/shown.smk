# What a paper shows, as the rules of the report ask for it: tables, claims, figures, the explorer.


def get_table_runs(table):
    shown = paper.tables[table]
    runs = paper.runs(shown.task, shown.cases)
    return [
        run for run in runs if shown.variants is None or run.variant in shown.variants
    ]


def get_table_records(wildcards):
    return run_paths("run.json", get_table_runs(wildcards.table))


def get_claim_records(wildcards):
    """The records of the runs that claims over costs compare."""
    compared = {
        (claim.task, claim.case, name)
        for claim in paper.claims
        if claim.cost
        for name in (claim.better, *claim.than)
    }
    runs = [
        run for run in paper.runs() if (run.task, run.case, run.variant) in compared
    ]
    return run_paths("run.json", runs)


def is_simulated(scene):
    """Whether a scene is no measurement: simulated by the config, or catalogued as such."""
    return scene in paper.simulated_scenes() or (
        scene in catalogue and catalogue[scene].simulated
    )


def describe_table(name):
    """A table's settings, and what is known of its rows: title and kind of each variant, in the order of the config."""
    table = paper.tables[name]
    runs = get_table_runs(name)
    rows = {run.variant: paper.variant(run.task, run.variant) for run in runs}
    order = [
        name for name in table.variants or paper.variants[table.task] if name in rows
    ]
    methods = {name: rows[name].method for name in order}
    described = {
        name: {"title": method.title, "kind": method.kind}
        for name, method in methods.items()
    }
    simulated = {
        case: any(is_simulated(scene) for scene in paper.case(table.task, case).scenes)
        for case in table.cases
    }
    notes = {case: paper.case(table.task, case).note for case in table.cases}
    return {
        **dataclasses.asdict(table),
        "title": table.title or name,
        "rows": described,
        "simulated": simulated,
        "case_notes": {case: note for case, note in notes.items() if note},
    }


def get_figure_runs(figure):
    """The runs that a figure shows: its variants on its case, first seed."""
    shown = paper.figures[figure]
    runs = [
        run
        for run in paper.runs(shown.task, [shown.case])
        if run.seed == paper.seeds[0]
    ]
    return [
        run for run in runs if shown.variants is None or run.variant in shown.variants
    ]


def figure_cases():
    """The cases of which the paper has figures: (task, case), each once."""
    return list(
        dict.fromkeys((figure.task, figure.case) for figure in paper.figures.values())
    )


def figures_of(task, case):
    """The figures of a case: name -> settings, with the variants that it shows in the order of the config."""
    return {
        name: {
            **dataclasses.asdict(figure),
            "variants": [run.variant for run in get_figure_runs(name)],
        }
        for name, figure in paper.figures.items()
        if (figure.task, figure.case) == (task, case)
    }


def shown_runs(task, case):
    """The runs that the figures of a case show, each once."""
    return list(
        dict.fromkeys(
            run for name in figures_of(task, case) for run in get_figure_runs(name)
        )
    )


def pictured_runs():
    """The runs of which the explorer shows pictures: all of the first seed."""
    return [run for run in paper.runs() if run.seed == paper.seeds[0]]


def get_explored_cases():
    """What the explorer is told of each case: its scenes, and its variants in the order of the config."""
    cases = []
    for task, by_name in paper.cases.items():
        for name, case in by_name.items():
            ran = {run.variant for run in paper.runs(task, [name])}
            order = [variant for variant in paper.variants[task] if variant in ran]
            cases.append(
                {
                    "task": task,
                    "case": name,
                    "note": case.note,
                    "simulated": any(is_simulated(scene) for scene in case.scenes),
                    "scenes": case.scenes,
                    "variants": {
                        variant: paper.variant(task, variant).method.name
                        for variant in order
                    },
                }
            )
    return cases


def get_other_explored():
    """The explorer's data of papers that ran in this folder before: one page shows them all."""
    found = sorted(Path("results/papers").glob("*/explorer.json"))
    return [str(path) for path in found if path.parent.name != paper.name]
