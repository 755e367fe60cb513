"""The convolutional autoencoder of deepHSI."""
