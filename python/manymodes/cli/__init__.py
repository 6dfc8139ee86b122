"""The command line: its options, its commands, and what a process holds on to."""
