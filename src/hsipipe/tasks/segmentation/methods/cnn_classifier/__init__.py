"""The convolutional classifier of the program deephyp."""
