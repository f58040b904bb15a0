"""Which devices there are, and the workers on them: of this machine, or of a Ray cluster."""
