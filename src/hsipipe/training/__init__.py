"""The training loop that all trained methods share.

What enters is a module, a function that draws batches, one that validates, and `TrainingSettings`; what leaves is the
best state, its history and what it cost. Begin with `loop`; `launch` is what the workflow calls, and starts one process
(`worker`, `ranks`) for each device. `state` is what a killed training goes on from, `model_file` what it ends with.
"""
