"""Masked autoencoder: the pretraining of the vision transformer that `vit` starts from."""
