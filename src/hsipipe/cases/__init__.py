"""Cases: which units of which scenes are for training, validation and test, and which bands they show.

What enters are scene files and the keys `split`, `pixels` and `bands` of a config; what leaves are split.csv and
bands.csv, which all methods share. Begin with `split`, whose `Unit` is what a method is trained or tested on.
"""
