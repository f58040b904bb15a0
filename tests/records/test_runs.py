"""Records: bad settings are refused by name, JSON gives back what it was given, equal jobs have equal keys."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import math
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import records
from records import (
    DataConfig,
    EvolutionConfig,
    Fitness,
    Generation,
    Individual,
    InputError,
    Limits,
    RunState,
    TrainingConfig,
    TrainingJob,
    TrainingResult,
    runs,
)
from records.canonical import canonical_json, content_hash, from_json, to_json
from records.costs import Cost, Energy
from records.errors import FAILURES, TrainingFailure
from records.individuals import Forecast
from records.objectives import Objective
from records.runs import Ablation, DataFacts, Finalist, ModelInfo, Neighbour, Progress
from records.texts import Chromosome, JobKey, NetworkText
from records.training_settings import AUGMENTATIONS, OPTIMIZERS
from records.trainings import Epoch
from records.words import mean_with_error, percentage_points

NAN, INFINITE = math.nan, math.inf

BAD_SETTINGS: list[tuple[type, dict[str, Any], str]] = [
    (EvolutionConfig, {"generations": 0}, "generations"),
    (EvolutionConfig, {"generations": -3}, "generations"),
    (EvolutionConfig, {"population": 1}, "population"),
    (EvolutionConfig, {"population": 0}, "population"),
    (EvolutionConfig, {"crossover_prob": -0.01}, "crossover_prob"),
    (EvolutionConfig, {"crossover_prob": 1.01}, "crossover_prob"),
    (EvolutionConfig, {"crossover_prob": NAN}, "crossover_prob"),
    (EvolutionConfig, {"mutation_prob": -0.01}, "mutation_prob"),
    (EvolutionConfig, {"mutation_prob": 1.01}, "mutation_prob"),
    (EvolutionConfig, {"mutation_prob": NAN}, "mutation_prob"),
    (EvolutionConfig, {"tournament_size": 0}, "tournament_size"),
    (EvolutionConfig, {"tournament_size": 11}, "tournament_size"),
    (EvolutionConfig, {"population": 2}, "tournament_size"),
    (EvolutionConfig, {"elitism": -1}, "elitism"),
    (EvolutionConfig, {"elitism": 10}, "elitism"),
    (EvolutionConfig, {"final_epochs": 0}, "final_epochs"),
    (EvolutionConfig, {"budget": 0}, "budget"),
    (EvolutionConfig, {"budget": 6, "finalists": 2, "final_seeds": 3}, "budget"),
    (EvolutionConfig, {"reduction_factor": 1}, "reduction_factor"),
    (EvolutionConfig, {"max_parameters": 0}, "max_parameters"),
    (EvolutionConfig, {"max_flops": -5}, "max_flops"),
    (EvolutionConfig, {"max_latency": 0.0}, "max_latency"),
    (EvolutionConfig, {"max_latency": INFINITE}, "max_latency"),
    (EvolutionConfig, {"max_latency": NAN}, "max_latency"),
    (EvolutionConfig, {"finalists": -1}, "finalists"),
    (EvolutionConfig, {"finalists": 201}, "finalists"),
    (EvolutionConfig, {"finalists": 31, "budget": 30}, "finalists"),
    (EvolutionConfig, {"final_seeds": 0}, "final_seeds"),
    (EvolutionConfig, {"seed": -1}, "seed"),
    (TrainingConfig, {"epochs": 0}, "epochs"),
    (TrainingConfig, {"batch_size": 1}, "batch_size"),
    (TrainingConfig, {"micro_batch": 1}, "micro_batch"),
    (TrainingConfig, {"micro_batch": 129}, "micro_batch"),
    (TrainingConfig, {"learning_rate": -0.1}, "learning_rate"),
    (TrainingConfig, {"learning_rate": INFINITE}, "learning_rate"),
    (TrainingConfig, {"learning_rate": NAN}, "learning_rate"),
    (TrainingConfig, {"momentum": -0.1}, "momentum"),
    (TrainingConfig, {"momentum": NAN}, "momentum"),
    (TrainingConfig, {"momentum": 1.0}, "momentum"),
    (TrainingConfig, {"weight_decay": -1e-9}, "weight_decay"),
    (TrainingConfig, {"weight_decay": INFINITE}, "weight_decay"),
    (TrainingConfig, {"label_smoothing": 1.0}, "label_smoothing"),
    (TrainingConfig, {"label_smoothing": -0.1}, "label_smoothing"),
    (TrainingConfig, {"label_smoothing": NAN}, "label_smoothing"),
    (TrainingConfig, {"crop_padding": -1}, "crop_padding"),
    (TrainingConfig, {"threads": 0}, "threads"),
    (TrainingConfig, {"training_seed": -1}, "training_seed"),
    (DataConfig, {"dataset": ""}, "dataset"),
    (DataConfig, {"val_fraction": 0.0}, "val_fraction"),
    (DataConfig, {"val_fraction": 1.0}, "val_fraction"),
    (DataConfig, {"val_fraction": NAN}, "val_fraction"),
    (DataConfig, {"train_limit": 0}, "train_limit"),
    (DataConfig, {"image_size": "7"}, "image_size"),
    (Limits, {"job_timeout": 0.0}, "job_timeout"),
    (Limits, {"job_timeout": NAN}, "job_timeout"),
    (Limits, {"max_retries": -1}, "max_retries"),
    (Limits, {"max_hours": -1.0}, "max_hours"),
    (Limits, {"max_hours": INFINITE}, "max_hours"),
    (Limits, {"min_free_disk": -0.1}, "min_free_disk"),
    (Limits, {"min_free_disk": NAN}, "min_free_disk"),
]

BOUNDARY_SETTINGS: list[tuple[type, dict[str, Any]]] = [
    (EvolutionConfig, {"generations": 1}),
    (EvolutionConfig, {"population": 2, "tournament_size": 2, "elitism": 1}),
    (EvolutionConfig, {"tournament_size": 1, "elitism": 0}),
    (EvolutionConfig, {"tournament_size": 10, "elitism": 9}),
    (EvolutionConfig, {"crossover_prob": 0.0, "mutation_prob": 0.0}),
    (EvolutionConfig, {"crossover_prob": 1.0, "mutation_prob": 1.0}),
    (EvolutionConfig, {"final_epochs": 1, "seed": 0}),
    (EvolutionConfig, {"budget": 2, "finalists": 1, "final_seeds": 1}),
    (EvolutionConfig, {"finalists": 0, "reduction_factor": 2}),
    (EvolutionConfig, {"finalists": 200}),
    (EvolutionConfig, {"max_parameters": 1, "max_flops": 1, "max_latency": 1e-9}),
    (EvolutionConfig, {"objectives": ("accuracy", "latency", "flops", "parameters")}),
    (TrainingConfig, {"epochs": 1, "batch_size": 2, "micro_batch": 2}),
    (TrainingConfig, {"micro_batch": 128}),
    (TrainingConfig, {"learning_rate": 0.0, "momentum": 0.0, "weight_decay": 0.0, "label_smoothing": 0.0}),
    (TrainingConfig, {"label_smoothing": 0.999, "crop_padding": 0, "threads": 1}),
    (DataConfig, {"val_fraction": 0.001, "train_limit": 1, "image_size": "8"}),
    (Limits, {"job_timeout": 0.001, "max_hours": 0.001, "max_retries": 0, "min_free_disk": 0.0}),
]


@pytest.mark.parametrize(("kind", "values", "flag"), BAD_SETTINGS)
def test_a_setting_without_meaning_is_refused_by_the_name_of_its_flag(
    kind: type, values: dict[str, Any], flag: str
) -> None:
    with pytest.raises(InputError, match=f"^--{flag} must be ") as refusal:
        kind(**values)
    if values.get(flag, "") != "":
        assert str(refusal.value).endswith(f"but is {values[flag]}")


@pytest.mark.parametrize(("kind", "values"), BOUNDARY_SETTINGS)
def test_the_last_values_that_have_a_meaning_are_accepted(kind: type, values: dict[str, Any]) -> None:
    record = kind(**values)
    assert {name: getattr(record, name) for name in values} == values


def test_the_refused_settings_cover_every_setting_that_is_a_number() -> None:
    tried = {(kind, flag) for kind, _, flag in BAD_SETTINGS}
    for kind in (EvolutionConfig, TrainingConfig, DataConfig, Limits):
        for setting in dataclasses.fields(kind):
            if "int" in str(setting.type) or "float" in str(setting.type):
                assert (kind, setting.name) in tried


@pytest.mark.parametrize("words", ["", "some", "-1", "2.5", "ALL", " 3"])
def test_weights_to_keep_that_are_neither_a_number_nor_all_nor_none_are_refused(words: str) -> None:
    with pytest.raises(InputError, match=r"^--keep_models must be a number, all or none, but is "):
        Limits(keep_models=words)


@pytest.mark.parametrize(("words", "kept"), [("all", None), ("none", 0), ("0", 0), ("3", 3), ("12", 12)])
def test_weights_to_keep_are_a_number_or_all_or_none(words: str, kept: int | None) -> None:
    assert Limits(keep_models=words).models_kept == kept


def test_the_documented_defaults_hold() -> None:
    search, training = EvolutionConfig(), TrainingConfig()
    assert (search.generations, search.population, search.seed) == (20, 10, 0)
    assert (search.crossover, search.crossover_prob, search.mutation_prob) == ("uniform", 0.9, None)
    assert (search.tournament_size, search.elitism) == (3, 2)
    assert (training.epochs, training.batch_size) == (5, 128)
    assert DataConfig().dataset == "cifar10"


# JSON and back

FINITE = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 2**63)
TEXT = st.text(max_size=6)
SHARE = st.floats(0, 1)
EPOCHS = st.builds(Epoch, train_loss=FINITE, score=st.none() | SHARE, loss=st.none() | FINITE)
NAMES = st.sampled_from(["accuracy", "parameters", "flops", "latency"])
ENERGIES = st.builds(Energy, gpu=TEXT, before=FINITE, after=FINITE)
COSTS = st.builds(
    Cost,
    seconds=FINITE,
    images_per_second=FINITE,
    peak_memory=st.none() | COUNT,
    device=TEXT,
    reused=TEXT,
    started=FINITE,
    attempts=COUNT,
    energy=st.none() | ENERGIES,
)
FITNESSES = st.builds(
    Fitness,
    value=FINITE,
    loss=FINITE,
    parameters=COUNT,
    flops=COUNT,
    latency=st.none() | FINITE,
    epochs=COUNT,
    violation=FINITE,
)
FORECASTS = st.builds(Forecast, mean=FINITE, deviation=FINITE)
INDIVIDUALS = st.builds(
    Individual,
    generation=COUNT,
    index=COUNT,
    chromosome=st.text("01", max_size=6),
    origin=TEXT,
    parents=st.lists(TEXT, max_size=2).map(tuple),
    jobs=st.lists(TEXT, max_size=2).map(tuple),
    fitness=st.none() | FITNESSES,
    failure=st.none() | TEXT,
    earlier=st.lists(FITNESSES, max_size=2).map(tuple),
    forecast=st.none() | FORECASTS,
)
GENERATIONS = st.builds(Generation, number=COUNT, individuals=st.lists(INDIVIDUALS, max_size=2).map(tuple))
TRAININGS = st.integers(2, 512).flatmap(
    lambda batch: st.builds(
        TrainingConfig,
        epochs=st.integers(1, 99),
        batch_size=st.just(batch),
        micro_batch=st.none() | st.integers(2, batch),
        optimizer=st.sampled_from(OPTIMIZERS),
        learning_rate=st.floats(0, 10),
        label_smoothing=st.floats(0, 0.9),
        augmentation=st.sampled_from(AUGMENTATIONS),
        flip=st.sampled_from(["auto", "on", "off"]),
        crop_padding=st.none() | st.integers(0, 9),
        precision=st.sampled_from(["auto", "float32", "bfloat16"]),
        deterministic=st.booleans(),
    )
)
LIMITS = st.builds(
    Limits,
    job_timeout=st.none() | st.floats(0.1, 1e6),
    max_retries=COUNT,
    max_hours=st.none() | st.floats(0.1, 1e6),
    keep_models=st.sampled_from(["all", "none", "0", "17"]),
    min_free_disk=st.floats(0, 1e6),
)
SCHEMES = st.fixed_dictionaries(
    {
        "scheme": st.just("generations"),
        "algorithm": st.sampled_from(["genetic", "aging", "random", "local_search", "optuna:TPESampler"]),
        "early_stopping": st.sampled_from(["none", "halving", "median"]),
    }
) | st.just({"scheme": "steady_state", "algorithm": "genetic", "early_stopping": "none"})


def searches(population: int, scheme: dict[str, str]) -> st.SearchStrategy[EvolutionConfig]:
    return st.builds(
        EvolutionConfig,
        generations=st.integers(1, 99),
        budget=st.none() | st.integers(19, 999),
        population=st.just(population),
        crossover=st.sampled_from(["uniform", "one_point", "two_point"]),
        crossover_prob=SHARE,
        mutation_prob=st.none() | SHARE,
        tournament_size=st.integers(1, population),
        elitism=st.integers(0, population - 1),
        surrogate=st.sampled_from(["auto", "off"]),
        reduction_factor=st.integers(2, 9),
        objectives=st.lists(NAMES.filter(lambda name: name != "accuracy"), unique=True).map(
            lambda others: ("accuracy", *others)
        ),
        max_parameters=st.none() | st.integers(1, 10**9),
        max_flops=st.none() | st.integers(1, 10**9),
        max_latency=st.none() | st.floats(0.001, 1e6),
        finalists=st.none() | st.integers(0, 2),
        final_seeds=st.integers(1, 9),
        final_epochs=st.none() | st.integers(1, 99),
        seed=COUNT,
        **{name: st.just(value) for name, value in scheme.items()},
    )


SEARCHES = st.tuples(st.integers(2, 50), SCHEMES).flatmap(lambda drawn: searches(*drawn))
DATA = st.builds(
    DataConfig,
    dataset=st.text(min_size=1, max_size=6),
    data_dir=TEXT,
    val_fraction=st.none() | st.floats(0.01, 0.99),
    train_limit=st.none() | st.integers(1, 99),
    image_size=st.none() | st.integers(8, 99).map(str),
)
JOBS = st.builds(
    TrainingJob,
    phenotype=TEXT,
    protocol=TRAININGS,
    data_fingerprint=TEXT,
    replicate=COUNT,
    split=TEXT,
    stop_below=st.lists(SHARE, max_size=3).map(tuple),
)
RESULTS = st.builds(
    TrainingResult,
    key=TEXT,
    status=st.sampled_from(["done", *FAILURES]),
    reason=TEXT,
    epochs=st.lists(EPOCHS, min_size=1, max_size=2).map(tuple),
    parameters=COUNT,
    flops=COUNT,
    micro_batch=COUNT,
    weights=st.none() | st.just("results/gen1/ind1/best_model.pt"),
    weights_sha256=st.none() | TEXT,
    cost=COSTS,
)
FACTS = st.builds(
    DataFacts,
    fingerprint=TEXT,
    input_shape=st.tuples(COUNT, COUNT, COUNT),
    class_names=st.lists(TEXT, max_size=2).map(tuple),
    train_images=COUNT,
    val_images=COUNT,
    test_images=COUNT,
)
SCORES = st.builds(runs.TestScore, accuracy=SHARE, loss=FINITE, images=COUNT)
FINALISTS = st.builds(
    Finalist, individual=TEXT, chromosome=TEXT, accuracies=st.lists(SHARE, min_size=1, max_size=3).map(tuple)
)
NEIGHBOURS = st.builds(
    Neighbour,
    locus=COUNT,
    gene=TEXT,
    best_value=TEXT,
    value=TEXT,
    chromosome=TEXT,
    is_same_network=st.booleans(),
    accuracies=st.lists(SHARE, max_size=3).map(tuple),
)
ABLATIONS = st.builds(
    Ablation,
    individual=TEXT,
    chromosome=TEXT,
    accuracies=st.lists(SHARE, max_size=3).map(tuple),
    neighbours=st.lists(NEIGHBOURS, max_size=2).map(tuple),
)
INFOS = st.builds(
    ModelInfo,
    version=TEXT,
    individual=INDIVIDUALS,
    description=TEXT,
    phenotype=TEXT,
    data=DATA,
    facts=FACTS,
    precision=TEXT,
    split=TEXT,
    weights=st.none() | TEXT,
    result=st.none() | RESULTS,
    finalists=st.lists(FINALISTS, max_size=2).map(tuple),
    test=st.none() | SCORES,
)
STATES = st.builds(
    RunState,
    version=TEXT,
    search=SEARCHES,
    training=TRAININGS,
    data=DATA,
    facts=FACTS,
    gene_table=TEXT,
    generations=st.lists(GENERATIONS, max_size=2).map(tuple),
    results=st.dictionaries(TEXT, RESULTS, max_size=2),
    population=st.lists(INDIVIDUALS, max_size=2).map(tuple),
    order=st.lists(TEXT, max_size=2).map(tuple),
)
PROGRESS = st.builds(
    Progress,
    bred=st.lists(INDIVIDUALS, max_size=2).map(tuple),
    taken=st.lists(INDIVIDUALS, max_size=2).map(tuple),
)
STRATEGIES: dict[type, st.SearchStrategy[Any]] = {
    EvolutionConfig: SEARCHES,
    TrainingConfig: TRAININGS,
    DataConfig: DATA,
    Limits: LIMITS,
    TrainingJob: JOBS,
    Epoch: EPOCHS,
    Cost: COSTS,
    Energy: ENERGIES,
    TrainingResult: RESULTS,
    Fitness: FITNESSES,
    Forecast: FORECASTS,
    Finalist: FINALISTS,
    Neighbour: NEIGHBOURS,
    Ablation: ABLATIONS,
    Individual: INDIVIDUALS,
    Generation: GENERATIONS,
    DataFacts: FACTS,
    runs.TestScore: SCORES,
    ModelInfo: INFOS,
    RunState: STATES,
    Progress: PROGRESS,
}
KINDS = sorted(STRATEGIES, key=lambda kind: kind.__name__)
relaxed = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def through_json(record: Any) -> Any:
    return json.loads(json.dumps(to_json(record)))


def containers(value: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any] | list[Any]]]:
    """Every object and list inside a JSON value, with the name under which it is found."""
    if isinstance(value, dict):
        yield name, value
        for key, item in value.items():
            yield from containers(item, "" if name == "results" else key)
    elif isinstance(value, list):
        yield name, value
        for item in value:
            yield from containers(item)


def test_every_record_of_the_program_is_tried_below() -> None:
    modules = [importlib.import_module(f"records.{each.name}") for each in pkgutil.iter_modules(records.__path__)]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    there = {kind for kind in kinds if dataclasses.is_dataclass(kind)}
    assert set(STRATEGIES) == there - {Objective}


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_comes_back_from_json_as_it_was(kind: type) -> None:
    @given(STRATEGIES[kind])
    @relaxed
    def holds(record: Any) -> None:
        again: Any = from_json(kind, through_json(record))
        assert again == record
        assert canonical_json(to_json(again)) == canonical_json(to_json(record))

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_with_a_missing_or_an_odd_part_is_refused(kind: type) -> None:
    @given(STRATEGIES[kind], st.integers(0), st.integers(0), st.booleans())
    @relaxed
    def holds(record: Any, pick: int, part: int, missing: bool) -> None:
        value = through_json(record)
        # "results" has a name for each result and no parts of its own.
        objects = [each for name, each in containers(value) if isinstance(each, dict) and name != "results"]
        target = objects[pick % len(objects)]
        name = sorted(target)[part % len(target)] if missing else "oddity"
        if missing:
            del target[name]
        else:
            target[name] = None
        with pytest.raises(ValueError, match=name):
            from_json(kind, value)

    holds()


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_with_a_part_of_another_type_is_refused(kind: type) -> None:
    @given(STRATEGIES[kind], st.integers(0), st.integers(0))
    @relaxed
    def holds(record: Any, pick: int, part: int) -> None:
        value = through_json(record)
        filled = [each for _, each in containers(value) if each]
        target: Any = filled[pick % len(filled)]
        place = sorted(target)[part % len(target)] if isinstance(target, dict) else part % len(target)
        target[place] = [] if isinstance(target[place], dict) else {"odd": 1}
        with pytest.raises(ValueError, match="expected"):
            from_json(kind, value)

    holds()


@pytest.mark.parametrize(
    ("kind", "part", "value"),
    [
        (Fitness, "parameters", 3.0),
        (Fitness, "parameters", True),
        (Fitness, "parameters", "3"),
        (Fitness, "value", "0.5"),
        (Fitness, "value", True),
        (Fitness, "value", None),
        (Individual, "chromosome", 101),
        (Individual, "chromosome", None),
        (Individual, "parents", "gen1/ind1"),
        (Individual, "parents", ["gen1/ind1", 7]),
        (Individual, "fitness", 0.5),
        (TrainingConfig, "deterministic", 0),
        (TrainingConfig, "deterministic", "false"),
        (TrainingConfig, "micro_batch", 2.5),
        (DataFacts, "input_shape", [3, 32]),
        (DataFacts, "input_shape", [3, 32, 32, 1]),
        (DataFacts, "input_shape", [3, 32, 32.0]),
    ],
)
def test_a_value_is_not_bent_into_another_type(kind: type, part: str, value: object) -> None:
    examples: dict[type, Any] = {
        Fitness: Fitness(value=0.5),
        Individual: Individual(generation=1, index=1, chromosome=Chromosome("01"), origin="random"),
        TrainingConfig: TrainingConfig(),
        DataFacts: DataFacts(
            fingerprint="f",
            input_shape=(3, 32, 32),
            class_names=("cat",),
            train_images=3,
            val_images=2,
            test_images=1,
        ),
    }
    content = through_json(examples[kind])
    assert from_json(kind, content) == examples[kind]
    with pytest.raises(ValueError, match=rf"{kind.__name__}\.{part}"):
        from_json(kind, content | {part: value})


def test_a_whole_number_is_accepted_where_a_share_is_expected() -> None:
    fitness = from_json(Fitness, through_json(Fitness(value=0.5, parameters=5)) | {"value": 1, "loss": 0})
    assert fitness == Fitness(value=1.0, loss=0.0, parameters=5)
    assert type(fitness.value) is float


@pytest.mark.parametrize("value", [None, 3, "text", True, [], [{}], {}])
def test_what_is_no_record_at_all_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="TrainingResult"):
        from_json(TrainingResult, value)


def test_the_message_names_the_very_part_that_does_not_fit() -> None:
    individuals = tuple(
        Individual(generation=1, index=index, chromosome=Chromosome("0"), origin="random", fitness=Fitness(value=0.5))
        for index in (1, 2)
    )
    content = through_json(Generation(number=1, individuals=individuals))
    content["individuals"][1]["fitness"]["loss"] = "low"
    with pytest.raises(
        ValueError, match=re.escape("Generation.individuals[1].fitness.loss: expected float, found 'low'")
    ):
        from_json(Generation, content)


def test_a_value_that_a_record_refuses_is_refused_from_json_as_well() -> None:
    with pytest.raises(ValueError, match="--epochs must be at least 1"):
        from_json(TrainingConfig, through_json(TrainingConfig()) | {"epochs": 0})


# Keys


def test_canonical_json_does_not_depend_on_the_order_of_names_and_knows_no_nan() -> None:
    assert canonical_json({"b": [1, 2.5], "a": None}) == canonical_json({"a": None, "b": [1, 2.5]})
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"\\u00e9","b":1}'
    with pytest.raises(ValueError, match="Out of range float"):
        canonical_json({"loss": NAN})


def test_a_content_hash_is_the_sha256_of_the_canonical_text() -> None:
    assert content_hash({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').hexdigest()


JOB = TrainingJob(phenotype=NetworkText("network"), protocol=TrainingConfig(), data_fingerprint="data")
OTHER_PROTOCOL: dict[str, Any] = {
    "epochs": 6,
    "batch_size": 64,
    "micro_batch": 64,
    "optimizer": "adamw",
    "learning_rate": 0.0123,
    "momentum": 0.8,
    "weight_decay": 1e-4,
    "label_smoothing": 0.0,
    "augmentation": "none",
    "flip": "on",
    "crop_padding": 4,
    "metric": "balanced_accuracy",
    "precision": "float32",
    "threads": 2,
    "training_seed": 1,
    "deterministic": True,
    "cuda_graph": "off",
    "compile": "on",
}
OTHER_JOB: dict[str, Any] = {
    "phenotype": "another network",
    "protocol": TrainingConfig(epochs=7),
    "data_fingerprint": "other data",
    "replicate": 1,
    "split": "all",
    "stop_below": (0.5,),
}


def other_jobs() -> list[TrainingJob]:
    """Jobs that differ from `JOB` in exactly one part."""
    protocols = [replace(JOB.protocol, **{name: value}) for name, value in OTHER_PROTOCOL.items()]
    return [replace(JOB, **{name: value}) for name, value in OTHER_JOB.items()] + [
        replace(JOB, protocol=protocol) for protocol in protocols
    ]


@given(JOBS)
@relaxed
def test_equal_jobs_have_equal_keys_and_seeds(job: TrainingJob) -> None:
    again = from_json(TrainingJob, through_json(job))
    assert again is not job
    assert (again.key, again.seed) == (job.key, job.seed)


def test_any_part_of_a_job_changes_its_key_and_seed() -> None:
    assert OTHER_PROTOCOL.keys() == {item.name for item in dataclasses.fields(TrainingConfig)}
    assert OTHER_JOB.keys() == {item.name for item in dataclasses.fields(TrainingJob)}
    jobs = [JOB, *other_jobs()]
    assert len({job.key for job in jobs}) == len(jobs)
    assert len({job.seed for job in jobs}) == len(jobs)


@given(JOBS, JOBS)
@relaxed
def test_different_jobs_have_different_keys(first: TrainingJob, second: TrainingJob) -> None:
    assert (first == second) == (first.key == second.key)


@given(JOBS)
@relaxed
def test_a_key_is_a_file_name_and_the_seed_derives_from_it_alone(job: TrainingJob) -> None:
    assert re.fullmatch("[0-9a-f]{64}", job.key)
    assert job.seed == int(job.key[:16], 16) // 2
    assert 0 <= job.seed < 2**63  # what torch takes


# Results, individuals, generations


def result(*epochs: Epoch, status: str = "done") -> TrainingResult:
    return TrainingResult(key=JobKey("k"), status=status, epochs=epochs, parameters=12)


def test_the_fitness_is_that_of_the_last_epoch_not_of_the_best() -> None:
    epochs = Epoch(train_loss=2.0, score=0.9, loss=0.3), Epoch(train_loss=1.0, score=0.8, loss=0.6)
    assert result(*epochs).fitness == Fitness(value=0.8, loss=0.6, parameters=12, epochs=2)


@pytest.mark.parametrize("status", FAILURES)
def test_a_failed_training_has_no_fitness(status: str) -> None:
    assert result(Epoch(train_loss=1.0, score=0.9, loss=0.1), status=status).fitness is None


def test_a_training_without_validation_images_has_no_fitness() -> None:
    assert result(Epoch(train_loss=1.0)).fitness is None


def test_a_status_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="'finished'"):
        result(Epoch(train_loss=1.0), status="finished")


def test_a_finished_training_without_an_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one epoch"):
        result()


@pytest.mark.parametrize("path", ["/etc/hosts", "../weights.pt", "results/../../weights.pt", ".."])
def test_weights_outside_the_folder_of_the_run_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="inside the run's folder"):
        TrainingResult(key=JobKey("k"), status="error", weights=path)


@pytest.mark.parametrize("path", ["weights.pt", "results/gen1/ind2/best_model.pt", "results/..odd../weights.pt"])
def test_weights_inside_the_folder_of_the_run_are_accepted(path: str) -> None:
    assert TrainingResult(key=JobKey("k"), status="error", weights=path).weights == path


@pytest.mark.parametrize(("value", "loss"), [(NAN, 0.0), (0.5, NAN), (0.5, INFINITE), (-INFINITE, 0.0)])
def test_a_fitness_that_is_not_finite_is_refused(value: float, loss: float) -> None:
    with pytest.raises(ValueError, match="must be finite"):
        Fitness(value=value, loss=loss)


def test_a_training_failure_tells_its_status_and_reason() -> None:
    failure = TrainingFailure("diverged", "the loss is nan")
    assert (failure.status, failure.reason, str(failure)) == (
        "diverged",
        "the loss is nan",
        "diverged: the loss is nan",
    )


def individual(chromosome: Chromosome, value: float | None, loss: float = 0.0, parameters: int = 0) -> Individual:
    return Individual(generation=2, index=7, chromosome=chromosome, origin="mutation").evaluated(
        value, loss, parameters
    )


def test_an_individual_is_named_by_generation_and_index() -> None:
    assert individual(Chromosome("01"), 0.5).name == "gen2/ind7"


def test_evaluating_adds_the_fitness_and_changes_nothing_else() -> None:
    asked = Individual(
        generation=2, index=7, chromosome=Chromosome("01"), origin="crossover", parents=("gen1/ind1", "gen1/ind2")
    )
    evaluated = asked.evaluated(0.5, loss=1.5, parameters=9)
    assert evaluated.fitness == Fitness(value=0.5, loss=1.5, parameters=9)
    assert replace(evaluated, fitness=None) == asked
    assert asked.evaluated(None) == asked


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (individual(Chromosome("11"), 0.6, 9.0, 99), individual(Chromosome("00"), 0.5, 0.1, 1)),
        (individual(Chromosome("11"), 0.5, 0.1, 99), individual(Chromosome("00"), 0.5, 0.2, 1)),
        (individual(Chromosome("11"), 0.5, 0.1, 10), individual(Chromosome("00"), 0.5, 0.1, 11)),
        (individual(Chromosome("01"), 0.5, 0.1, 10), individual(Chromosome("10"), 0.5, 0.1, 10)),
        (individual(Chromosome("11"), 0.0, 99.0, 99), individual(Chromosome("00"), None)),
        (individual(Chromosome("11"), -5.0), individual(Chromosome("00"), None)),
        (individual(Chromosome("00"), None), individual(Chromosome("11"), None)),
    ],
)
def test_ties_go_to_lower_loss_then_fewer_parameters_then_the_smaller_chromosome(
    better: Individual, worse: Individual
) -> None:
    assert better.rank < worse.rank
    assert Generation(number=2, individuals=(worse, better)).best is better
    assert Generation(number=2, individuals=(better, worse)).best is better


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_cannot_be_changed(kind: type) -> None:
    @given(STRATEGIES[kind])
    @settings(relaxed, max_examples=1)
    def holds(record: Any) -> None:
        name = dataclasses.fields(kind)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(record, name, getattr(record, name))

    holds()


@given(STATES)
@relaxed
def test_a_state_counts_its_evaluated_generations(state: RunState) -> None:
    assert state.generation == len(state.generations)


@pytest.mark.parametrize(
    ("record", "setting"),
    [
        (TrainingConfig, {"precision": "float16"}),
        (TrainingConfig, {"flip": "sometimes"}),
        (TrainingConfig, {"compile": "yes"}),
        (TrainingConfig, {"optimizer": "adam"}),
        (TrainingConfig, {"augmentation": "weak"}),
        (EvolutionConfig, {"crossover": "three_point"}),
        (EvolutionConfig, {"surrogate": "on"}),
        (EvolutionConfig, {"early_stopping": "patience"}),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(record: Any, setting: dict[str, str]) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(InputError, match=rf"--{name} must be one of .*, but is '{value}'"):
        record(**setting)


@pytest.mark.parametrize(
    "setting", [{"early_stopping": "halving"}, {"early_stopping": "median"}, {"algorithm": "aging"}]
)
def test_what_waits_for_others_is_refused_in_a_steady_state(setting: dict[str, Any]) -> None:
    ((name, value),) = setting.items()
    with pytest.raises(InputError, match=rf"--{name} must be .* \(or use --scheme generations\), but is {value}"):
        EvolutionConfig(**{"scheme": "steady_state", "early_stopping": "none", **setting})


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        (("accuracy", "speed"), "--objectives must be one of accuracy, parameters, flops, latency, but is 'speed'"),
        (("parameters",), "--objectives must be accuracy and then any of parameters, flops, latency, each once, "),
        ((), "but is "),
        (("parameters", "accuracy"), "but is parameters accuracy"),
        (("accuracy", "flops", "flops"), "each once, but is accuracy flops flops"),
    ],
)
def test_objectives_are_accuracy_and_then_others_each_once(objectives: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        EvolutionConfig(objectives=objectives)


@pytest.mark.parametrize(
    ("values", "trained"),
    [
        ({}, 0),
        ({"generations": 8, "population": 11}, 0),
        ({"generations": 9}, 3),
        ({"generations": 20}, 3),
        ({"generations": 9, "final_seeds": 4}, 0),
        ({"budget": 89}, 0),
        ({"budget": 90}, 3),
        ({"budget": 90, "finalists": 0}, 0),
        ({"generations": 1, "finalists": 5}, 5),
    ],
)
def test_finalists_are_trained_by_themselves_only_where_they_cost_at_most_a_tenth(
    values: dict[str, Any], trained: int
) -> None:
    assert EvolutionConfig(**{"generations": 1, **values}).finalists_trained == trained


def test_limits_are_those_that_are_set_and_latency_is_in_seconds() -> None:
    assert EvolutionConfig().limits == {}
    assert EvolutionConfig(max_parameters=5, max_latency=2.5).limits == {"parameters": 5, "latency": 0.0025}
    assert [EvolutionConfig(**values).needs_latency for values in LATENCIES] == [False, False, True, True]


LATENCIES: list[dict[str, Any]] = [
    {},
    {"max_flops": 1},
    {"max_latency": 1.0},
    {"objectives": ("accuracy", "latency")},
]

RICH = Fitness(value=0.5, loss=0.1, parameters=300, flops=2000, epochs=3)


def test_a_limit_that_is_kept_costs_nothing_and_one_that_is_passed_its_share() -> None:
    assert RICH.with_limits({"parameters": 300, "flops": 5000}, None) == RICH
    passed = RICH.with_limits({"parameters": 200, "flops": 1000, "latency": 0.02}, latency=0.01)
    assert passed.violation == pytest.approx(0.5 + 1.0)
    assert passed == replace(RICH, latency=0.01, violation=passed.violation)


def test_an_objective_that_was_not_measured_is_an_error() -> None:
    assert [RICH.objective(name) for name in ("accuracy", "parameters", "flops")] == [-0.5, 300, 2000]
    with pytest.raises(ValueError, match=r"latency of .* was not measured"):
        RICH.objective("latency")
    with pytest.raises(ValueError, match=r"latency of .* was not measured"):
        RICH.with_limits({"latency": 1.0}, None)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (replace(RICH, value=0.1, epochs=1), replace(RICH, violation=0.01)),  # limits come first
        (replace(RICH, violation=0.1), replace(RICH, violation=0.2, value=0.9)),
        (replace(RICH, value=0.1), replace(RICH, epochs=1, value=0.9)),  # then the longer training
        (replace(RICH, value=0.6, loss=9.0), RICH),
    ],
)
def test_limits_come_before_epochs_and_epochs_before_accuracy(better: Fitness, worse: Fitness) -> None:
    assert better.rank < worse.rank


def test_a_finalists_mean_and_standard_error_are_those_of_its_trainings() -> None:
    finalist = Finalist(individual="gen1/ind1", chromosome=Chromosome("0"), accuracies=(0.5, 0.7, 0.9))
    assert finalist.mean == pytest.approx(0.7)
    assert finalist.standard_error == pytest.approx(0.2 / math.sqrt(3))
    assert replace(finalist, accuracies=(0.5,)).standard_error is None


def test_equal_jobs_have_equal_keys_however_their_numbers_are_written() -> None:
    keys = {
        TrainingJob(
            phenotype=NetworkText(""),
            protocol=TrainingConfig(learning_rate=rate, weight_decay=decay),
            data_fingerprint="",
        ).key
        for rate, decay in ((1, 0), (1.0, 0.0), (1.0, -0.0))
    }
    assert len(keys) == 1


@pytest.mark.parametrize("value", [10**400, float("nan"), float("inf")])
def test_numbers_that_no_float_can_hold_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"Epoch\.train_loss: expected float"):
        from_json(Epoch, {"train_loss": value, "accuracy": None, "loss": None})


def test_the_score_of_an_epoch_is_called_accuracy_in_json() -> None:
    assert to_json(Epoch(train_loss=1.0, score=0.5, loss=2.0)) == {"train_loss": 1.0, "accuracy": 0.5, "loss": 2.0}


def test_json_has_the_same_parts_as_the_record_in_the_same_order() -> None:
    @given(STRATEGIES[TrainingJob] | STRATEGIES[EvolutionConfig])
    @relaxed
    def holds(record: Any) -> None:
        assert json.dumps(to_json(record)) == json.dumps(dataclasses.asdict(record))

    holds()


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [(0.91666, 0.00404, "0.9167 ± 0.0040"), (0.91666, None, "0.9167"), (0.0, 0.0, "0.0000 ± 0.0000")],
)
def test_a_mean_is_written_with_its_error_where_there_is_one(mean: float, error: float | None, text: str) -> None:
    assert mean_with_error(mean, error) == text


def test_a_difference_is_written_in_points_with_its_sign_and_error() -> None:
    assert percentage_points(0.0123) == "+1.23 points"
    assert percentage_points(-0.0123, 0.004) == "−1.23 points ± 0.40"
