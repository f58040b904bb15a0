"""Three kinds of text that are easily taken for one another; to mypy they are different types."""

from __future__ import annotations

from typing import NewType

Chromosome = NewType("Chromosome", str)  # characters 0 and 1, one for each bit
NetworkText = NewType("NetworkText", str)  # the canonical JSON of an architecture
JobKey = NewType("JobKey", str)  # SHA-256 of a training job, in hex
