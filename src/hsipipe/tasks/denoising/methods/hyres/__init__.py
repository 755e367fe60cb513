"""HyRes: sparse and low-rank restoration."""
