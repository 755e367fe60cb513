"""Linear discriminant analysis with a shrunk covariance."""
