"""The parts of one training."""
