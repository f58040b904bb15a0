"""Strategies for every record: any that the program could hold."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from records import (
    DataConfig,
    EvolutionConfig,
    Fitness,
    Generation,
    Individual,
    Limits,
    RunState,
    TrainingConfig,
    TrainingJob,
    TrainingResult,
    runs,
)
from records.canonical import to_json
from records.costs import Cost, Energy
from records.errors import FAILURES
from records.individuals import Forecast
from records.runs import Ablation, DataFacts, Finalist, ModelInfo, Neighbour, Preparation, Progress
from records.training_settings import AUGMENTATIONS, OPTIMIZERS
from records.trainings import Epoch

FINITE = st.floats(allow_nan=False, allow_infinity=False)
COUNT = st.integers(0, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
KEY = st.text("0123456789abcdef", min_size=64, max_size=64)
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
    jobs=st.lists(KEY, max_size=2).map(tuple),
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
    job_timeout=st.sampled_from(["auto", "none"]) | st.floats(0.0, 1e6).map(str),
    max_retries=st.integers(0, 10**6),
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
    dataset=TEXT.filter(bool),
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
    key=KEY,
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
PREPARATIONS = st.builds(Preparation, version=COUNT)
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
    results=st.dictionaries(KEY, RESULTS, max_size=2),
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
    Preparation: PREPARATIONS,
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
