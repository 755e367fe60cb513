"""A vision transformer with a head, fine-tuned as a whole or by low-rank adapters."""
