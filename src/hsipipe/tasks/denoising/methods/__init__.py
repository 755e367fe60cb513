"""One folder per denoiser: method.yaml (what it is, read without torch) and model.py (what it does)."""
