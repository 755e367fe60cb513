"""QRNN3D: a network that sweeps through the bands of a cube, alternately upwards and downwards."""
