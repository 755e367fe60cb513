"""Scenes: where they come from, how they are read, and the one form they all take.

What enters are files of any format, or the settings of a simulator; what leaves are `Item`s, image cubes with
wavelengths and mask, and scene files that hold many (`scene`, where to begin). `catalogue` and `download` fetch,
`readers` read, `writers` write, `simulate` and `simulation` invent; `windows` reads what memory cannot hold.
"""
