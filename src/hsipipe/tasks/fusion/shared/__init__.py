"""What several fusion methods share."""
