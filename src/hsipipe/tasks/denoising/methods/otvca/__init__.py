"""OTVCA: orthogonal total variation component analysis."""
