"""Figures, each drawn from what the analysis found."""
