"""Samplers of Optuna as search algorithms behind `ask` and `tell`. Needs the package `optuna`.

Every generation is proposed by a new sampler with its own seed, on a new in-memory study of all results so far, so
neither has state to save.
"""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from records import EvolutionConfig, Fitness, Generation, Individual, InputError
from records.objectives import OBJECTIVES
from records.search_settings import OPTUNA
from search.base import BitStrings, SearchAlgorithm
from search.operators import Offspring, random_bits
from search.surrogate import Rungs

REPEATS = 64  # known or over-limit proposals accepted in a generation before they are mutated instead
MOVES = ("CmaEsSampler", "QMCSampler")  # for numerical spaces; some versions sample categorical genes at random
REHEARSAL = 12  # known networks: more than samplers draw at random at first


class OptunaSearch(SearchAlgorithm):
    """A sampler of Optuna proposes the networks; each gene is a categorical parameter.

    A trained network is a complete trial with its score on the common scale of all training lengths
    (`surrogate.Rungs`), a failed one a failed trial. Proposals of the current generation, and
    proposals that are known or over a limit, stay open trials, so that samplers which consider these
    propose something else. After `REPEATS` of the latter they are mutated instead.
    """

    _study: Study  # of the generation that is asked for
    _repeats = 0  # in it

    def _offspring(self, rng: np.random.Generator, taken: set[str], count: int) -> list[Offspring]:
        with quietly():
            self._study, self._repeats = self._new_study(int(rng.integers(2**31))), 0
            return super()._offspring(rng, taken, count)

    def _breed(self, rng: np.random.Generator, taken: set[str]) -> Offspring:
        parameters = self._parameters()
        while True:
            values = self._study.ask(dict(parameters)).params
            chromosome = self.space.chromosome_of([values[name] for name in parameters])
            is_new = self.space.phenotype(chromosome) not in taken and not self._passed(chromosome)
            if is_new or self._repeats == REPEATS:
                return Offspring(chromosome, str(self.config.sampler))
            self._repeats += 1

    def _make_new(self, rng: np.random.Generator, offspring: Offspring, taken: set[str]) -> Offspring:
        made = super()._make_new(rng, offspring, taken)
        is_mutated = made.origin == offspring.origin and made.chromosome != offspring.chromosome
        return replace(made, origin=f"{made.origin}+mutation") if is_mutated else made

    def _parameters(self) -> dict[str, CategoricalDistribution]:
        """The parameters, with names whose alphabetical order, which Optuna uses, is the order of the genes."""
        return {f"gene_{number:04}": categories(values) for number, values in enumerate(self.space.alleles)}

    def _new_study(self, seed: int) -> Study:
        """A study of all networks so far."""
        sampler = new_sampler(self.config, seed)
        study = optuna.create_study(directions=directions_of(self.config.objectives), sampler=sampler)
        study.add_trials(list(self._trials(generation_key(sampler))))
        if isinstance(sampler, optuna.samplers.BaseGASampler):
            # Each selection builds on the one before; requested in order, none recurses deeply.
            complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            for number in range(1, self._generation_of(len(complete))):
                sampler.get_parent_population(study, number)
        return study

    def _trials(self, key: str | None) -> Iterator[FrozenTrial]:
        """Each trained network once; under `key` genetic samplers store the generation of a trial."""
        distinct: dict[str, Individual] = {}
        for each in self.individuals():
            distinct.setdefault(self.space.phenotype(each.chromosome), each)
        rungs, parameters, complete = Rungs(list(distinct.values())), self._parameters(), 0
        for each in distinct.values():
            attributes: dict[str, Any] = {} if key is None else {key: self._generation_of(complete)}
            fitness, values = each.fitness, None
            if fitness is not None:
                fitness = replace(fitness, value=rungs.aligned(each) or 0.0)
                values, complete = values_of(fitness, self.config.objectives), complete + 1
                attributes |= constraints_of(fitness, self.config.limits)
            yield create_trial(
                state=TrialState.FAIL if values is None else TrialState.COMPLETE,
                values=values,
                params=dict(zip(parameters, self.space.traits(each.chromosome), strict=True)),
                distributions=dict(parameters),
                system_attrs=attributes,
            )

    def _generation_of(self, complete: int) -> int:
        """The generation that a genetic sampler gives to the trial after `complete` complete ones."""
        return complete // self.config.population


def categories(values: Sequence[Any]) -> CategoricalDistribution:
    """The distinct values of a gene, in the order of their codes."""
    return CategoricalDistribution(tuple(dict.fromkeys(values)))


def directions_of(objectives: Sequence[str]) -> list[StudyDirection]:
    return [
        StudyDirection.MAXIMIZE if OBJECTIVES[name].is_maximised else StudyDirection.MINIMIZE for name in objectives
    ]


def values_of(fitness: Fitness, objectives: Sequence[str]) -> list[float]:
    """The values of a trial for these objectives."""
    return [
        -fitness.objective(name) if OBJECTIVES[name].is_maximised else fitness.objective(name) for name in objectives
    ]


def constraints_of(fitness: Fitness, limits: dict[str, float]) -> dict[str, list[float]]:
    """The constraint values of a trial, as every version of Optuna reads them: above zero is a violation."""
    passed = [fitness.objective(name) / limit - 1 for name, limit in limits.items()]
    return {"constraints": passed} if limits else {}


@contextmanager
def quietly() -> Iterator[None]:
    """Silences Optuna's log below errors, and its warnings of experimental features."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


# Available samplers


def new_sampler(config: EvolutionConfig, seed: int) -> BaseSampler:
    """The sampler of a configuration, with its defaults except for what a search in generations needs."""
    kind = getattr(optuna.samplers, str(config.sampler))
    wanted: dict[str, Any] = {
        "seed": seed,
        "constant_liar": True,  # so that networks proposed together differ
        "population_size": config.population,
        "scramble": True,  # otherwise every generation would repeat the start of one fixed sequence
    }
    if config.limits and not hasattr(FrozenTrial, "constraints"):
        wanted["constraints_func"] = lambda trial: ()  # before Optuna 5 constraints are ignored without this function
    taken = inspect.signature(kind).parameters
    return cast("BaseSampler", kind(**{name: value for name, value in wanted.items() if name in taken}))


def generation_key(sampler: BaseSampler) -> str | None:
    """The attribute in which a genetic sampler stores the generation of a trial; None for other samplers."""
    find = getattr(sampler, "_get_generation_key", None)
    return None if find is None else str(find())


def samplers() -> dict[str, Callable[..., BaseSampler]]:
    """The samplers of the installed version of Optuna by name."""
    every = {name: getattr(optuna.samplers, name) for name in optuna.samplers.__all__}
    return {
        name: kind
        for name, kind in every.items()
        if inspect.isclass(kind) and issubclass(kind, BaseSampler) and not inspect.isabstract(kind)
    }


def check_sampler(config: EvolutionConfig) -> None:
    """Raises `InputError` with the reason and the alternatives for a sampler that cannot propose networks."""
    name, known, advice = str(config.sampler), samplers(), ""
    if name in known:
        reason = refusal(config) or fault(config)
        if not reason:
            return
    else:
        spelled = {text: each for each in known for text in (each.lower(), each.lower().removesuffix("sampler"))}
        close = difflib.get_close_matches(name.lower(), spelled, n=2, cutoff=0.6)
        reason = f"Optuna {optuna.__version__} has no such sampler"
        meant = dict.fromkeys(spelled[text] for text in close)
        advice = f"; did you mean {' or '.join(meant)}?" if close else ""
    usable = [each for each in known if each != name and not refusal(replace(config, algorithm=OPTUNA + each))]
    raise InputError(f"--algorithm {config.algorithm}: {reason}; choose among {', '.join(usable)}{advice}")


def refusal(config: EvolutionConfig) -> str:
    """Why a sampler cannot learn from results; empty if it can."""
    parameters = inspect.signature(samplers()[str(config.sampler)]).parameters
    needed = [each.name for each in parameters.values() if each.default is each.empty]
    if needed:
        return f"it needs arguments that a flag cannot give ({', '.join(needed)})"
    with quietly():
        sampler = new_sampler(config, 0)
        study = optuna.create_study(sampler=sampler)
        gene = {"gene": categories("01")}
        study.add_trial(create_trial(value=0.0, params={"gene": "0"}, distributions=dict(gene)))
        if config.sampler in MOVES and not sampler.infer_relative_search_space(study, study.trials[0]):
            return f"in Optuna {optuna.__version__} it leaves categories, as genes are, to chance"
    if "population_size" in parameters and generation_key(sampler) is None:
        return f"in Optuna {optuna.__version__} its generations cannot be rebuilt, in a newer one they can"
    return ""


def fault(config: EvolutionConfig) -> str:
    """The error of a trial search with bit strings and these objectives; empty if it works."""
    rehearsed = EvolutionConfig(algorithm=config.algorithm, population=REHEARSAL, objectives=config.objectives)
    rng, space = np.random.default_rng(0), BitStrings(8)
    known = tuple(
        Individual(
            generation=1,
            index=index,
            chromosome=random_bits(rng, space.length).chromosome,
            origin="random",
            fitness=Fitness(
                value=float(index),
                latency=1.0,
                measured=tuple((name, 1.0) for name, each in OBJECTIVES.items() if each.measured),
            ),
        )
        for index in range(1, REHEARSAL + 1)
    )
    try:
        OptunaSearch(rehearsed, space, [Generation(number=1, individuals=known)]).ask(1)
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        return f"it does not work with this search ({type(error).__name__}: {error})"
    return ""
