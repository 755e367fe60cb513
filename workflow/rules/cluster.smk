# What a cluster changes: needs that grow with the attempt, and checks before anything is submitted. Nothing happens here
# without the executor `slurm`, nor inside its jobs.
import functools

from snakemake.settings.types import DeploymentMethod

from hsipipe.slurm.endings import describe, log_times, read_endings
from hsipipe.slurm.needs import check_array, check_needs, grown, need_of
from hsipipe.slurm.partitions import narrow, read_partitions
from hsipipe.slurm.site import check_status_command, site_partitions, site_settings

earlier_logs = {}

# Only where containers are asked for: a rule with one would be another rule, and run again.
if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:

    container: str(ROOT / "envs/hsipipe.sif")


@contextlib.contextmanager
def mistakes_told():
    """Tell a mistake in one line, and end with 2: no job has started, and Snakemake would make a traceback of it, or a
    resource that is not known yet."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)


@functools.cache
def get_cluster():
    """The profile's file, its partitions and those of the site; None without SLURM. Not known yet while rules are read."""
    slurm = workflow.executor_settings
    if not hasattr(slurm, "partition_config"):
        return None
    file = slurm.partition_config or "profile.yaml"
    with mistakes_told():
        if slurm.partition_config is None:
            raise UserError(
                "names no partitions",
                file=file,
                key="slurm-partition-config",
                remedy="use --workflow-profile profiles/slurm, or a copy of it",
            )
        site = site_partitions()
        partitions = narrow(read_partitions(file), site, file=file)
        check_status_command(
            site_settings(),
            slurm.status_command,
            slurm.init_seconds_before_status_checks,
            file=file,
        )
    return file, partitions, site


def growing(name, need, gpu=0):
    """A need that an attempt multiplies by its number: a job that was ended for want of memory or time gets more.

    Attempts after the first exist where a profile has `retries`. Here and not in the profile, which can replace a need but
    not multiply it, and would lose what each method says of its own. It stops growing at what the partitions have.
    """

    def get(wildcards, attempt):
        first = need(wildcards) if callable(need) else need
        gpus = gpu(wildcards) if callable(gpu) else gpu
        _, partitions, _ = get_cluster() or (None, [], {})
        return grown(first, attempt, name, gpus, partitions)

    return get


def growing_resource(step, name, default):
    """A need that grows from what a method says it needs for a step (train, run)."""
    return growing(
        name, get_resource(step, name, default), get_resource(step, "gpu", 0)
    )


def check_jobs():
    """Before the first job is submitted: whether every job can start at all."""
    if not get_cluster():
        return
    file, partitions, site = get_cluster()
    slurm = workflow.executor_settings
    if slurm.logdir:
        earlier_logs.update(log_times(slurm.logdir))
    needs = [
        need_of(job.rule.name, job.wildcards, job.threads, job.resources)
        for job in workflow.dag.needrun_jobs()
        if not job.is_local
    ]
    with mistakes_told():
        check_needs(needs, partitions, site, file=file)
        if slurm.array_jobs:
            jobs = workflow.resource_settings.nodes
            check_array(needs, slurm.array_jobs, jobs, file=file)


def tell_endings():
    """After the last job: which ones SLURM ended, and what to do about it."""
    if get_cluster() and workflow.executor_settings.logdir:
        file, *_ = get_cluster()
        folder = workflow.executor_settings.logdir
        for line in describe(read_endings(folder, but=earlier_logs), profile=file):
            print(f"slurm: {line}", file=sys.stderr)


onsuccess:
    tell_endings()


onerror:
    tell_endings()
