"""A run as other programs show it."""
