"""Networks that the tests draw."""

from __future__ import annotations

from records.texts import Chromosome
from search_space.encoding import Encoding, decode
from search_space.genes import EXTENDED, Gene, GeneTable
from tests.builders import chromosome

PLAIN = Chromosome("0110010110110011010")
ALL_GENES = chromosome(EXTENDED, PLAIN, residual=True, squeeze_excitation=True, dropout=0.2)
COLOURED = Encoding((3, 32, 32), 10)
MANY_LAYERS = GeneTable(tuple(Gene(f"block_{n}", (n - 1,), (16, 16)) for n in range(1, 8)), 7)
NETWORKS = {
    "plain": decode(COLOURED, PLAIN),
    "all genes": decode(Encoding((3, 32, 32), 100, EXTENDED), ALL_GENES),
    "digits": decode(Encoding((1, 8, 8), 10), PLAIN),
    "a stem": decode(Encoding((3, 224, 224), 1000), PLAIN),
    "112 layers": decode(Encoding((3, 32, 32), 10, MANY_LAYERS), Chromosome("0" * 7)),
}
