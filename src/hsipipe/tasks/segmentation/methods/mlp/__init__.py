"""The fully connected autoencoder of deephyp."""
