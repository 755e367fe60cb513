# What a cluster changes: needs that grow with the attempt, and checks before anything is submitted. Nothing happens here
# without the executor `slurm`, nor inside its jobs.
from hsipipe.slurm.endings import describe, read_endings
from hsipipe.slurm.needs import check_array, check_needs, need_of
from hsipipe.slurm.partitions import narrow, read_partitions
from hsipipe.slurm.site import check_status_command, site_partitions, site_settings

slurm = workflow.executor_settings
if not hasattr(slurm, "partition_config"):
    slurm = None
partitions, site, earlier_logs = [], {}, []

if slurm:
    PROFILE = slurm.partition_config or "profile.yaml"
    with errors_told():
        if slurm.partition_config is None:
            raise UserError(
                "names no partitions",
                file=PROFILE,
                key="slurm-partition-config",
                remedy="use --workflow-profile profiles/slurm, or a copy of it",
            )
        site = site_partitions()
        partitions = narrow(read_partitions(PROFILE), site, file=PROFILE)
        check_status_command(
            site_settings(),
            slurm.status_command,
            slurm.init_seconds_before_status_checks,
            file=PROFILE,
        )


def growing(name, need, gpu=0):
    """A need that an attempt multiplies by its number: a job that was ended for want of memory or time gets more.

    Attempts after the first exist where a profile has `retries`. Here and not in the profile, which can replace a need but
    not multiply it, and would lose what each method says of its own. It stops growing at what the partitions have.
    """

    def get(wildcards, attempt):
        first = need(wildcards) if callable(need) else need
        gpus = gpu(wildcards) if callable(gpu) else gpu
        offers = [getattr(each, name) for each in partitions if each.gpu >= gpus]
        return (
            min(attempt * first, max([first, *offers])) if offers else attempt * first
        )

    return get


def growing_resource(step, name, default):
    """A need that grows from what a method says it needs for a step (train, run)."""
    return growing(
        name, get_resource(step, name, default), get_resource(step, "gpu", 0)
    )


def check_jobs():
    """Before the first job is submitted: whether every job can start at all."""
    if not slurm:
        return
    earlier_logs.extend(Path(slurm.logdir or "").rglob("*.log") if slurm.logdir else [])
    needs = [
        need_of(job.rule.name, job.wildcards, job.threads, job.resources)
        for job in workflow.dag.needrun_jobs()
        if not job.is_local
    ]
    check_needs(needs, partitions, site, file=PROFILE)
    if slurm.array_jobs:
        check_array(needs, slurm.array_jobs, file=PROFILE)


def tell_endings():
    """After the last job: which ones SLURM ended, and what to do about it."""
    if slurm and slurm.logdir:
        for line in describe(
            read_endings(slurm.logdir, but=earlier_logs), profile=PROFILE
        ):
            print(f"slurm: {line}", file=sys.stderr)


onsuccess:
    tell_endings()


onerror:
    tell_endings()
