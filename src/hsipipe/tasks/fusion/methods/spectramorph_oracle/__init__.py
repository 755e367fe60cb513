"""SpectraMorph trained on the truth: the ceiling of its kind of model, not a rival."""
