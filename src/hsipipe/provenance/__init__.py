"""Where results come from: the record of each step, the walk back from a number, bundles of papers.

Each job leaves a record of what it read, wrote and ran (`steps`, where to begin). Three read them: `settle`, before a
workflow plans, makes the times of files say what their contents say; `explain` walks from a number to its sources
(`walk`, `tree`); `bundle` and `verify` pack a paper and check what was packed. Nothing here computes a result.
"""
