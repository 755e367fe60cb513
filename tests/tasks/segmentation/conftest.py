"""Fixtures of the tests of segmentation's figures."""

from drawn_study import close_figures, study, unlabelled

__all__ = ["close_figures", "study", "unlabelled"]
