"""Chains that were made elsewhere: read, checked against the density, kept as chains of a run."""
