"""Smoothing-filter-based intensity modulation."""
