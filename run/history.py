"""Files that follow from state and results: those of individuals, `history.csv`; and which weights are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from records import Generation, Individual, RunState
from records.canonical import VERSION
from records.individuals import all_individuals
from records.runs import ModelInfo
from records.words import counted
from run.trainings import Trainings
from search_space.space import NetworkSpace
from storage.results import place_weights, save_info

COLUMNS = (
    "generation",
    "individual",
    "chromosome",
    "network",
    "origin",
    "parents",
    "status",
    "validation_accuracy",
    "validation_loss",
    "parameters",
    "flops",
    "epochs",
    "job",
    "trained",
    # From here on as measured: never the same in two runs.
    "seconds",
    "images_per_second",
    "peak_memory_bytes",
    "latency_ms",
    "device",
    "attempts",
)


class History:
    """The files of a run's individuals, and the table of all of them. All can be made again from state and results."""

    def __init__(self, state: RunState, space: NetworkSpace, trainings: Trainings) -> None:
        self.run, self.trainings = trainings.run, trainings
        self.data, self.facts, self.training = state.data, state.facts, state.training
        self.encoding = space.encoding

    def write(self, changed: Iterable[Individual], everyone: Sequence[Individual]) -> None:
        """Writes `info.json` and the weights of individuals that are new or changed, and the table of everyone."""
        for individual in changed:
            save_info(self.run, self.info(individual))
            self._place_weights(individual)
        self.run.write_history(COLUMNS, self.rows(everyone))

    def info(self, individual: Individual) -> ModelInfo:
        result = self.trainings.results[individual.jobs[-1]]
        return ModelInfo(
            version=VERSION,
            individual=individual,
            description=self.encoding.describe(individual.chromosome),
            phenotype=self.encoding.network(individual.chromosome),
            data=self.data,
            facts=self.facts,
            precision=self.training.precision,
            metric=self.training.metric,
            split="train",
            weights=None if result.key in self.trainings.pruned else result.weights,
            result=result,
        )

    def rows(self, individuals: Iterable[Individual]) -> Iterator[dict[str, object]]:
        """The rows of `history.csv`, one for each evaluated individual."""
        seen: set[str] = set()
        for individual in individuals:
            result, fitness = self.trainings.results[individual.jobs[-1]], individual.fitness
            yield {
                "generation": individual.generation,
                "individual": individual.index,
                "chromosome": individual.chromosome,
                "network": self.encoding.describe(individual.chromosome),
                "origin": individual.origin,
                "parents": " ".join(individual.parents),
                "status": individual.failure or "done",
                "validation_accuracy": "" if fitness is None else fitness.value,
                "validation_loss": "" if fitness is None else fitness.loss,
                "parameters": result.parameters,
                "flops": result.flops,
                "epochs": len(result.epochs),
                "job": result.key,
                "trained": "no" if result.key in seen else "yes",
                "seconds": round(result.cost.seconds, 3),
                "images_per_second": round(result.cost.images_per_second, 1),
                "peak_memory_bytes": "" if result.cost.peak_memory is None else result.cost.peak_memory,
                "latency_ms": "" if fitness is None or fitness.latency is None else round(1000 * fitness.latency, 3),
                "device": result.cost.device,
                "attempts": result.cost.attempts,
            }
            seen.add(result.key)

    def prune(self, generations: Sequence[Generation], kept: int | None, others: Iterable[Individual]) -> None:
        """Removes all weights but those of the best of each generation, as many as `kept`, and of `others`.

        With None for `kept` all stay.
        """
        if kept is None:
            return
        everyone = all_individuals(generations)
        keys = {individual.jobs[-1] for individual in others}
        for generation in generations:
            ranked = sorted(generation.individuals, key=lambda individual: individual.rank)
            keys.update(individual.jobs[-1] for individual in ranked[:kept])
        trained = {key: self.trainings.results[key] for each in everyone for key in each.jobs}
        gone = {
            key: result
            for key, result in trained.items()
            if key not in keys and result.weights is not None and (self.run.root / result.weights).is_file()
        }
        if gone:
            self.trainings.remove_weights(gone.values())
            for individual in everyone:
                if individual.jobs[-1] in gone:
                    self._place_weights(individual)
            self.trainings.watcher.said(f"weights of {counted(len(gone), 'training')} removed (--keep_models {kept})")

    def _place_weights(self, individual: Individual) -> None:
        """`best_model.pt` of an individual: there if the weights of its last training are kept."""
        result = self.trainings.results[individual.jobs[-1]]
        place_weights(self.run, individual.name, result, is_kept=result.key not in self.trainings.pruned)
