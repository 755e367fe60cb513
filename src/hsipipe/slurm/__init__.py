"""A cluster under SLURM: what its site offers, and how its jobs ended.

Read by workflow/rules/cluster.smk alone; nothing here is needed anywhere else. `site` asks SLURM for its partitions and
`partitions` joins them with the profile's; `needs` tells before the first job whether each can start; `endings` reads
after the last why some did not end well.
"""
