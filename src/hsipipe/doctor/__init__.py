"""What this machine and its Python have for a study, what is missing, and what to do about it."""
