"""The method of each task that the command line and the Python interface take where none is named."""

DEFAULT_METHODS = {"denoising": "blind", "fusion": "subspace_map", "segmentation": "kmeans"}
