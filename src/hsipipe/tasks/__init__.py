"""The tasks: each answers five questions (prepare, fit, predict, score, draw); all run through the same rules."""
