"""Run directories, and what one does with a run: open, stack, predict, export."""
