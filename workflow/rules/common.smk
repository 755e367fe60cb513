# What the rules ask of the config. Everything here is read from the checked paper; nothing imports torch.
import contextlib
import dataclasses
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

from hsipipe.config.definitions import check_definitions, load_papers
from hsipipe.config.load import load_paper
from hsipipe.errors import UserError
from hsipipe.jobs.folder import check_results_writable, held_folder, settle_folder
from hsipipe.keys import PACKAGE_FOLDER, code_key, file_key, folder_key
from hsipipe.provenance.code import keep_code
from hsipipe.provenance.settle import Settled
from hsipipe.provenance.versions import told_of_other_code
from hsipipe.scenes.catalogue import read_catalogue
from hsipipe.scenes.own_files import own_files

# Of the Snakefile beside which this folder lies, which another Snakefile may include: `hsipipe init` writes one that does.
ROOT = Path(workflow.current_basedir).parent.parent
CONFIG = ROOT / "config"
# Conda runs a copy of envs/hsipipe.post-deploy.sh, which lies elsewhere and must be told what to install.
os.environ.setdefault("HSIPIPE_ROOT", str(ROOT))

try:
    paper = load_paper(config, file=next(iter(workflow.configfiles), None))
    check_definitions([(paper.name, paper), *load_papers(CONFIG, but=paper.name)])
    catalogue = read_catalogue(CONFIG / "scenes.tsv")
    paper.check_scenes(catalogue)
    # A job reads this file too (on a cluster); by then all is settled, and it checks its own inputs.
    settled = settle_folder(paper) if workflow.is_main_process else Settled()
    if workflow.is_main_process:
        check_results_writable(sys.argv)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

# Results that were changed by hand or by a failing disk are told before anything is made from them.
if settled.problems:
    for problem in settled.problems[:10]:
        print(f"error: {problem}", file=sys.stderr)
    if len(settled.problems) > 10:
        print(
            f"error: {len(settled.problems) - 10} more such results; deal with these first",
            file=sys.stderr,
        )
    sys.exit(2)


wildcard_constraints:
    task="|".join(paper.cases) or "none",
    scene=r"[A-Za-z0-9][A-Za-z0-9_.+-]*",
    case=r"[A-Za-z0-9][A-Za-z0-9_.+-]*",
    variant=r"[A-Za-z0-9][A-Za-z0-9_.+-]*",
    seed=r"\d+",


def alternatives(names):
    """A wildcard constraint that allows these names only."""
    return "|".join(re.escape(name) for name in names) or "none"


def script_key(rule):
    """A hash of what a rule's script does; the hash of what it calls is the rule's `key`."""
    return file_key(ROOT / "workflow/scripts" / f"{rule}.py")


def get_case(wildcards):
    return paper.case(wildcards.task, wildcards.case)


def get_case_settings(step):
    """A function that gives the settings of a case that a step reads, and no others."""

    def get(wildcards):
        return used_settings(wildcards.task, wildcards.case, step)

    return get


def used_settings(task, case, step):
    """The settings of a case that a step reads."""
    used = import_module(f"hsipipe.tasks.{task}.settings").USED_BY[step]
    settings = dataclasses.asdict(paper.case(task, case))
    return {name: settings[name] for name in used}


def get_case_scenes(wildcards):
    return [f"results/scenes/{scene}.h5" for scene in get_case(wildcards).scenes]


def get_variant(wildcards):
    return paper.variant(wildcards.task, wildcards.variant)


def get_method_name(wildcards):
    return get_variant(wildcards).method.name


def get_method_settings(wildcards):
    return get_variant(wildcards).settings


def get_resource(step, name, default):
    """A function that reads what a variant, or else its method, says it needs for a step (train, run)."""

    def get(wildcards):
        return get_variant(wildcards).resources.get(step, {}).get(name, default)

    return get


def get_step_key(step):
    """A function that hashes the code of a task's step."""

    def get(wildcards):
        return code_key(f"hsipipe.tasks.{wildcards.task}.{step}")

    return get


def get_method_key(*steps):
    """A function that hashes the code of a task's steps and of the method that they run."""

    def get(wildcards):
        modules = [f"hsipipe.tasks.{wildcards.task}.{step}" for step in steps]
        return code_key(*modules, *get_variant(wildcards).method.modules)

    return get


def get_model(wildcards):
    """The trained model of a run, or that of the encoder whose latents it works on; nothing if there is neither.

    Of its own case, or of the case named in `models_from`.
    """
    variant = get_variant(wildcards)
    case = get_case(wildcards).models_from or wildcards.case
    if not variant.method.is_fitted:
        return paper.start_of(wildcards.task, case, variant, wildcards.seed) or []
    return f"results/{wildcards.task}/{case}/{wildcards.variant}/seed{wildcards.seed}/model.pt"


def unless_same(paths):
    """Files of the user's own; those whose content is what it was when results were made of them count as old."""
    return [
        ancient(path) if path in settled.same_sources else path
        for path in map(str, paths)
    ]


def get_case_files(wildcards):
    """Files that a case reads besides its scenes."""
    files = [
        path
        for name in getattr(get_case(wildcards), "files", [])
        for path in own_files([], name)
    ]
    return unless_same(files)


def get_start(wildcards):
    """What a training starts from: the model of the encoder that it needs, or a file of weights; or nothing."""
    variant = get_variant(wildcards)
    start = paper.start_of(wildcards.task, wildcards.case, variant, wildcards.seed)
    return unless_same([start])[0] if start else []


def run_paths(name, runs):
    """The file `name` of each run."""
    return [
        f"results/{run.task}/{run.case}/{run.variant}/seed{run.seed}/{name}"
        for run in runs
    ]


# The local folder that serves downloads goes to the jobs by the environment: were it a param, naming it another way would
# make everything run again.
if config.get("mirror"):
    os.environ.update(HSIPIPE_MIRROR=str(Path(config["mirror"]).resolve()))


while_running = contextlib.ExitStack()  # what this process holds until it ends


def hold_folder():
    """Keep other runs out of this folder for as long as this one lives."""
    try:
        while_running.enter_context(held_folder())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        os._exit(
            2
        )  # nothing has started yet, and Snakemake would turn an exception into a traceback


def get_all_scenes():
    return [f"results/scenes/{scene}.h5" for scene in paper.scene_names()]


def get_all_models():
    models = {model for run in paper.runs() if (model := get_model(run))}
    return sorted({*run_paths("model.pt", paper.encoder_runs()), *models})


def get_config_as_run():
    """The config with what the command line made of it; without the folder of downloads, which is the machine's."""
    return {key: value for key, value in config.items() if key != "mirror"}


def get_paper_targets():
    folder = f"results/papers/{paper.name}"
    cases = [(task, case) for task, by_name in paper.cases.items() for case in by_name]
    return [
        *[f"{folder}/tables/{table}.md" for table in paper.tables],
        *[f"{folder}/figures/{figure}.png" for figure in paper.figures],
        *[f"results/{task}/{case}/bands.png" for task, case in cases],
        *([f"{folder}/claims.csv"] if paper.claims else []),
        f"{folder}/scores.csv",
        f"{folder}/config.yaml",
        "results/explorer/index.html",
        *run_paths("model.pt", paper.encoder_runs()),
    ]


def get_scene_files(wildcards):
    """What a scene is read from: the user's own files, or the manifest of a download."""
    own = paper.scenes.get(wildcards.scene)
    return (
        unless_same(own_files(own.files, own.labels))
        if own
        else f"downloads/{wildcards.scene}.json"
    )


def get_simulation(wildcards):
    """Which simulator makes a scene, and its settings."""
    scene = paper.scenes[wildcards.scene]
    kind = "simulate" if scene.simulate is not None else "specimens"
    return {"kind": kind, **dataclasses.asdict(getattr(scene, kind))}


def get_simulation_key(wildcards):
    """A hash of the code that makes a scene."""
    if paper.scenes[wildcards.scene].simulate is not None:
        return code_key("hsipipe.scenes.simulate")
    return code_key(
        "hsipipe.scenes.simulation.specimens.files", "hsipipe.scenes.specimens.reader"
    )


def get_catalogue_rows(wildcards):
    """The files of a scene of the catalogue; nothing for the config's own."""
    entry = catalogue.get(wildcards.scene)
    return [dataclasses.asdict(file) for file in entry.files] if entry else []


def get_own_scene(wildcards):
    """How the user's own files are read; nothing for a scene of the catalogue."""
    own = paper.scenes.get(wildcards.scene)
    return dataclasses.asdict(own) if own else {}


def get_code(step, wildcards):
    """The hash of the code that a step uses now; None if the paper has no such step."""
    keys = {rule.name: dict(rule.params.items()).get("key") for rule in workflow.rules}
    key = keys.get(step)
    if not callable(key):
        return key
    try:
        return key(SimpleNamespace(**dict(wildcards)))
    except (UserError, KeyError):
        return None


def tell_other_code():
    """Say which results of this paper were made by another version of the code."""
    if told := told_of_other_code(settled.steps, get_code):
        print(f"note: {told}", file=sys.stderr)
