"""Band selection: which bands of a sensor a case uses."""
