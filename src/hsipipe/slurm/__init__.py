"""A cluster under SLURM: what its site offers, and how its jobs ended. Nothing here is needed anywhere else."""
