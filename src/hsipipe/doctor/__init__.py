"""What this machine and its Python have for a study, what is missing, and what to do about it.

Nothing enters but the machine itself; what leaves are `Finding`s: what was looked at, what was found, whether that is a
problem, the remedy. Begin with `finding`; `software` looks at packages (in processes of their own, so that a broken one
is told and not raised), `machine` at GPUs, cores, memory and SLURM, `places` at folders and disks.
"""
