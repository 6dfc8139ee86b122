"""Modes and functions with their weights: the results of chains and nested runs side by side."""
