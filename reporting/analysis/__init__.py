"""Analysis of a run: pure functions from its records to numbers."""
