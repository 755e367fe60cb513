"""Our autoencoder: principal components and a learned correction."""
