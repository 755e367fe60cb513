"""Building blocks that networks of several methods share.

The vision transformer and its positions (`vit`), masked-autoencoder pretraining (`mae`), heads that turn features back
into images (`heads`), low-rank adaptation with optional 4-bit weights (`lora`), and weights from files fitted to
another sensor, image size or token (`weights`).
"""
