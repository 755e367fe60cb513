"""Representation: embeddings of hyperspectral images learned without labels, and what they are worth.

The six questions are in the files of their names. `case` holds the images at their final size, `image_pool` draws
batches of them, `model_file` turns a trained encoder into a function, `embed_files` is what the verb calls. `augment`
makes the views; encoders, heads and losses are in `shared`.
"""
