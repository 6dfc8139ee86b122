"""One Stan program and its data as one log density, with its gradient and its names."""
