"""The engines: NUTS in many chains, nested sampling, and the base measures that they begin from."""
