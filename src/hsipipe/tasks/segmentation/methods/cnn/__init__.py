"""The convolutional autoencoder of deephyp."""
