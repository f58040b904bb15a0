"""A network in words, bit by bit."""

from __future__ import annotations

from records.texts import Chromosome
from search_space.cost import model_cost
from search_space.encoding import Encoding, decode, explain


def explanation(encoding: Encoding, chromosome: Chromosome) -> str:
    """A table of the bits of a chromosome, then the network in words; the value of a gene is beside its first bit."""
    rows = [("locus", "bit", "gene", "code", "value")]
    seen: set[str] = set()
    for meaning in explain(encoding, chromosome):
        name = meaning.gene or ""
        words = "" if name in seen else meaning.words
        rows.append((str(meaning.locus), meaning.bit, name, "" if name in seen else meaning.code, words))
        seen |= {name} - {""}
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    architecture = decode(encoding, chromosome)
    cost = model_cost(architecture)
    channels, height, width = encoding.input_shape
    kernels = [f"{kernel}×{kernel}" for kernel in dict.fromkeys(layer.kernel for layer in architecture.layers)]
    return "\n".join(
        [
            *lines,
            "",
            encoding.describe(chromosome),
            *([f"kernels, from the first layer to the last: {', '.join(kernels)}"] if len(kernels) > 1 else []),
            f"{cost.parameters:,} parameters, {cost.flops / 1e6:,.1f} MFLOPs an image of {channels}×{height}×{width}, "
            f"{encoding.classes} classes",
        ]
    )
