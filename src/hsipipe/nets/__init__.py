"""Building blocks that networks of several methods share.

The vision transformer and its positions (`vit`, where to begin), masked-autoencoder pretraining (`mae`), heads that
turn features back into images (`heads`), low-rank adaptation with optional 4-bit weights (`lora`, `quantised`), and
weights from files fitted to another sensor, image size or token (`weights`, `band_matrix`). Modules in, modules out: no
files of the workflow, no training.
"""
