"""What surrounds the work of a job and of a whole run of the workflow.

A script does its work within `job`, which logs, locks, checks the inputs and records the step; the Snakefile asks
`folder` whether the results can be worked on at all. `logs` has the one format of messages. Nothing here computes.
"""
