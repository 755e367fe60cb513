"""A paper as a config file describes it, typed and checked before anything runs.

What enters is the mapping of a YAML file (docs/reference/config.md has every key); what leaves is a `Paper`, which
knows its cases, variants and runs, or an error that names the key. Begin with `load`; `sections` has the keys that
belong to no task, `paper` what the workflow asks of them, `checks` what must agree across sections, and `definitions`
what must agree across papers, which share results by path.
"""
