"""The search space of networks: chromosomes, their networks, and the cost of these."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from records import Fitness, RunState
from records.texts import Chromosome, NetworkText
from search_space.architecture import architecture_of
from search_space.cost import ModelCost, model_cost
from search_space.encoding import Encoding
from search_space.tables import encoding_of


@dataclass(frozen=True, slots=True)
class NetworkSpace:
    """The networks of an encoding as a `search.base.SearchSpace`."""

    encoding: Encoding

    @property
    def length(self) -> int:
        return self.encoding.length

    @property
    def coding_loci(self) -> tuple[int, ...]:
        return self.encoding.coding_loci

    @property
    def alleles(self) -> tuple[tuple[object, ...], ...]:
        return tuple(gene.values for gene in self.encoding.table.genes)

    def traits(self, chromosome: Chromosome) -> tuple[object, ...]:
        return tuple(gene.value(chromosome) for gene in self.encoding.table.genes)

    def chromosome_of(self, traits: Sequence[object]) -> Chromosome:
        return self.encoding.table.chromosome_of(traits)

    def phenotype(self, chromosome: Chromosome) -> str:
        return self.encoding.phenotype(chromosome)

    def network(self, chromosome: Chromosome) -> NetworkText:
        """The text of the architecture alone."""
        return self.encoding.network(chromosome)

    def hyperparameters(self, chromosome: Chromosome) -> dict[str, Any]:
        """The training settings that the chromosome codes for."""
        return self.encoding.hyperparameters(chromosome)

    def size(self, chromosome: Chromosome) -> Fitness:
        cost = cost_of(self.network(chromosome))
        return Fitness(value=0.0, parameters=cost.parameters, flops=cost.flops)

    @classmethod
    def of(cls, state: RunState) -> NetworkSpace:
        """The space of a run."""
        return cls(encoding_of(state.facts, state.gene_table))


@functools.lru_cache(maxsize=4096)
def cost_of(network: NetworkText) -> ModelCost:
    """The cost of a network."""
    return model_cost(architecture_of(network))
