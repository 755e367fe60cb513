"""Mathematics that several denoisers share."""
