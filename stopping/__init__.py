"""How a program is asked to stop, from its first line to its last."""
