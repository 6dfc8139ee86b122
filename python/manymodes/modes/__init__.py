"""Which mode, which function, and how heavy: what chains and nested runs found, side by side."""
