"""Long work that survives faults: files, scratch, tasks, threads, progress, what is printed."""
