"""Architecture, symmetry and constraints of networks: all that needs no density."""
