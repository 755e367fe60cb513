"""Where results come from: the record of each step, the walk back from a number, bundles of papers."""
