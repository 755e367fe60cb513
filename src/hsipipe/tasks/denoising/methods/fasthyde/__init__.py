"""FastHyDe: BM3D in the signal's subspace."""
