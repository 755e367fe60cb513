"""Every pixel the mean spectrum."""
