"""A small convolutional network over the neighbourhood of a pixel."""
