"""The convolutional autoencoder of deepHSI, as a denoiser of single spectra."""
