"""Long work that survives faults: files, scratch, tasks, threads, progress, printed output."""
