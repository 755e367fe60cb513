"""HSDT: a U-shaped network of separable 3-D convolutions with attention between bands."""
