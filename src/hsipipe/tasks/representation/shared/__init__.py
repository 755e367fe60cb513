"""What the encoders of representation have in common."""
