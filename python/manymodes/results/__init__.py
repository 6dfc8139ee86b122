"""Run directories: write and open them, stack, predict and export their draws."""
