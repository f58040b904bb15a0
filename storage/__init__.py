"""The files of a run: paths, durable writes, seals, the lock, checkpoints. No torch."""
