"""Scenes: where they come from, how they are read, and the one form they all take."""
