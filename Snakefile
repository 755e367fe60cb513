# hsipipe: one command turns a hyperspectral-imaging paper into its tables.
#
#   snakemake                                                   the demo (config/config.yaml): CPU, minutes
#   snakemake --configfile config/papers/denoising-peft.yaml    a paper; `--config size=paper` for the real thing
#   snakemake --report report.zip                               the report of what was run
#
# Scenes stand in results/scenes, runs in results/{task}/{case}/{variant}/seed{seed}, what a paper shows in
# results/papers/{paper}. Way through the code: a rule below -> workflow/scripts/<rule>.py -> src/hsipipe.
from snakemake.utils import min_version

min_version("9.25")

if "paper" not in config:

    configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/scenes.smk"
include: "workflow/rules/cases.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/run.smk"
include: "workflow/rules/scores.smk"
include: "workflow/rules/shown.smk"
include: "workflow/rules/report.smk"


tell_other_code()


# A second snakemake in this folder is refused; a killed one leaves nothing behind. What code made the results is kept.
onstart:
    hold_folder()
    check_jobs()
    keep_code()


rule all:
    default_target: True
    input:
        get_paper_targets(),


rule scenes:
    input:
        get_all_scenes(),


rule models:
    input:
        get_all_models(),


localrules:
    all,
    scenes,
    models,
