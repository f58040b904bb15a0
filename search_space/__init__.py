"""Genes, gene tables, architectures, the encoding between them, and what a network costs. No torch."""
