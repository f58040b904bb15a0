"""Search strategies: pure functions of configuration, seed and fitness values. No files, clock or torch."""
