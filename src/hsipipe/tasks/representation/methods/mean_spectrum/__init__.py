"""Mean spectrum."""
