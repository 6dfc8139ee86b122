"""Architecture, symmetry and constraints of networks, without a density."""
