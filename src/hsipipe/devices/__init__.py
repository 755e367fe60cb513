"""GPUs for jobs that know nothing of one another.

What enters is a number of GPUs, or a share of one, that a job asks for; what leaves is a `Device` that no other job
computes on for as long as this process lives. Begin with `claim`; `pool` tells which GPUs there are and what they are
called, `locks` keeps them, and `driver` tells a node whose GPU is one in name only. Nothing here imports torch until
the device is claimed.
"""
