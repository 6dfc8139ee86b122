"""Arrays in, arrays out: diagnostics, scores and weights that have never heard of Stan."""
