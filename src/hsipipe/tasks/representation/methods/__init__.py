"""The methods of representation, one folder each."""
