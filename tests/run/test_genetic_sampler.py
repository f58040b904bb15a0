"""The engine's operators as a sampler for Optuna's own studies."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from records.texts import Chromosome
from run.work import Work
from search_space.genes import STANDARD

optuna = pytest.importorskip("optuna", reason="needs optuna (pip install -r requirements-extras.txt)")

from optuna.distributions import CategoricalDistribution, IntDistribution  # noqa: E402
from optuna.storages import JournalStorage  # noqa: E402
from optuna.storages.journal import JournalFileBackend  # noqa: E402

from reporting.watchers.optuna_study import STUDY  # noqa: E402
from run.genetic_sampler import ChoiceSpace, GeneticSampler, from_gray  # noqa: E402
from tests.reporting.watchers.test_optuna_study import finished, quick_and_quiet  # noqa: E402, F401 (fixtures)

# The sampler

LETTERS = ("a", "b", "c", "d")


def matches(trial: Any) -> int:
    """OneMax over letters: how many of thirty are the right ones."""
    return sum(trial.suggest_categorical(f"x{n}", LETTERS) == LETTERS[n % 4] for n in range(30))


def optimized(sampler: Any, objective: Any = matches, trials: int = 150, **settings: Any) -> Any:
    study = optuna.create_study(sampler=sampler, **(settings or {"direction": "maximize"}))
    study.optimize(objective, n_trials=trials)
    return study


@pytest.mark.parametrize("seed", range(5))
def test_it_is_far_better_than_chance(seed: int) -> None:
    bred = optimized(GeneticSampler(seed=seed)).best_value
    drawn = optimized(optuna.samplers.RandomSampler(seed=seed)).best_value
    assert bred >= drawn + 4


def test_it_minimizes_too() -> None:
    assert optimized(GeneticSampler(seed=0), lambda trial: -matches(trial), direction="minimize").best_value <= -20


def mixed(trial: Any) -> float:
    """Categories, whole numbers with and without steps, and a fraction, some only at times."""
    x = trial.suggest_int("x", -5, 6)
    y = trial.suggest_int("y", 0, 100, step=5)
    trial.suggest_categorical("only", ["one"])
    if trial.suggest_categorical("how", [None, True, 2.5]) is True:
        x += trial.suggest_int("more", 1, 64, log=True)
    return float(abs(x - 3) + abs(y - 35) / 5 + trial.suggest_float("z", 0, 1))


def test_parameters_of_all_kinds_are_sampled() -> None:
    study = optimized(GeneticSampler(seed=1, population=10), mixed, 120, direction="minimize")
    assert len(study.trials) == 120
    assert study.best_value < 1.5


def parameters(study: Any) -> list[dict[str, Any]]:
    return [trial.params for trial in study.trials]


def test_a_seed_gives_the_same_trials_and_another_seed_others() -> None:
    first = parameters(optimized(GeneticSampler(seed=3), mixed, 40))
    assert parameters(optimized(GeneticSampler(seed=3), mixed, 40)) == first
    assert parameters(optimized(GeneticSampler(seed=4), mixed, 40)) != first
    assert parameters(optimized(GeneticSampler(), mixed, 5)) != parameters(optimized(GeneticSampler(), mixed, 5))


def test_a_study_that_is_loaded_again_goes_on_as_one_that_never_stopped(tmp_path: Path) -> None:
    whole = parameters(optimized(GeneticSampler(seed=3), trials=60))
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    for _ in range(3):
        study = optuna.create_study(
            storage=storage,
            study_name="a",
            load_if_exists=True,
            direction="maximize",
            sampler=GeneticSampler(seed=3),
        )
        study.optimize(matches, n_trials=20)
    assert parameters(study) == whole


def test_no_trial_is_bred_twice_while_there_are_others() -> None:
    def objective(trial: Any) -> int:
        return int(trial.suggest_int("a", 0, 4) + trial.suggest_categorical("b", [0, 1, 2]))

    study = optimized(GeneticSampler(seed=0, population=2, tournament_size=1), objective, 40)
    bred: list[dict[str, Any]] = []
    for params in parameters(study):
        if params not in bred:
            bred.append(params)
    assert len(bred) == 15  # all there are, and it goes on


def test_several_objectives_are_ranked_by_dominance() -> None:
    def objective(trial: Any) -> tuple[int, int]:
        bits = [trial.suggest_int(f"x{n}", 0, 1) for n in range(24)]
        return sum(bits[:16]), sum(bits[8:])

    study = optimized(GeneticSampler(seed=0), objective, 200, directions=["maximize", "minimize"])
    assert max(first - second for first, second in (trial.values for trial in study.best_trials)) >= 6


def test_failed_and_infinite_trials_do_no_harm() -> None:
    def objective(trial: Any) -> float:
        value = matches(trial)
        if trial.number % 3 == 0:
            raise optuna.TrialPruned
        return float("inf") if trial.number == 7 else float("nan") if trial.number % 5 == 0 else float(value)

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optimized(GeneticSampler(seed=0, population=5), objective, 60)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert len(study.trials) == 60


def test_trials_side_by_side_are_sampled() -> None:
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=0, population=5))
    study.optimize(matches, n_trials=40, n_jobs=2)
    assert len(study.trials) == 40


def test_values_without_meaning_are_refused() -> None:
    with pytest.raises(ValueError, match="crossover_prob"):
        GeneticSampler(crossover_prob=2)


def test_it_goes_on_with_the_study_of_a_run(finished: Work, tmp_path: Path) -> None:  # noqa: F811
    shutil.copy(finished.run.root / "study.journal", tmp_path / "copy")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "copy")))
    study = optuna.load_study(
        study_name=STUDY, storage=storage, sampler=GeneticSampler(population=2, tournament_size=1)
    )
    trial = study.ask()
    space = {gene.name: CategoricalDistribution(tuple(dict.fromkeys(gene.values))) for gene in STANDARD.genes}
    found = {name: trial._suggest(name, each) for name, each in space.items()}
    assert set(found) == set(trial.relative_params)


def spaces() -> st.SearchStrategy[ChoiceSpace]:
    whole = st.builds(
        lambda low, count, step: IntDistribution(low, low + (count - 1) * step, step=step),
        st.integers(-99, 99),
        st.integers(2, 70),
        st.integers(1, 9),
    )
    named = st.integers(2, 9).map(lambda count: CategoricalDistribution([f"value {n}" for n in range(count)]))
    parameters = st.lists(st.one_of(whole, named), min_size=1, max_size=5)
    return parameters.map(lambda found: ChoiceSpace.of({f"p{n}": each for n, each in enumerate(found)}))


@given(space=spaces(), data=st.data())
def test_a_chromosome_stands_for_values_and_values_for_a_chromosome(space: ChoiceSpace, data: st.DataObject) -> None:
    text = data.draw(st.text("01", min_size=space.length, max_size=space.length).map(Chromosome))
    values = space.values(text)
    for name, value in values.items():
        assert space.parameters[name]._contains(space.parameters[name].to_internal_repr(value))
    again = space.chromosome(values)
    assert again is not None
    assert space.values(again) == values
    assert space.phenotype(again) == space.phenotype(text)


@given(space=spaces())
def test_every_choice_has_a_chromosome(space: ChoiceSpace) -> None:
    for name, each in space.parameters.items():
        single = ChoiceSpace.of({name: each})
        found = {single.phenotype(Chromosome(f"{code:0{single.length}b}")) for code in range(2**single.length)}
        count = (
            len(each.choices)
            if isinstance(each, CategoricalDistribution)
            else len(range(each.low, each.high + 1, each.step))
        )
        assert found == {str(number) for number in range(count)}


def test_values_that_are_no_choice_have_no_chromosome() -> None:
    space = ChoiceSpace.of({"a": IntDistribution(0, 8, step=2), "b": CategoricalDistribution([None, "x"])})
    assert space.chromosome({"a": 8, "b": None}) is not None
    for values in ({"a": 8}, {"a": 7, "b": "x"}, {"a": 10, "b": "x"}, {"a": -2, "b": "x"}, {"a": 0, "b": "y"}, {}):
        assert space.chromosome(values) is None


def test_gray_codes_are_undone() -> None:
    assert [from_gray(number ^ (number >> 1)) for number in range(300)] == list(range(300))
