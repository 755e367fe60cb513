"""Cases: which units of which scenes are for training, validation and test."""
