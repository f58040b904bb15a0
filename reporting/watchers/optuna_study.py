"""A run as an Optuna study in a journal file. Needs the package `optuna`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from records import Individual, InputError, RunState, TrainingResult
from records.canonical import canonical_json
from records.errors import SaveError
from records.individuals import all_individuals
from records.texts import JobKey
from reporting.watcher import Watcher
from search.optuna_search import categories, constraints_of, directions_of, quietly, values_of
from search_space.genes import GeneTable
from search_space.tables import encoding_of

STUDY = "evolution"
JOURNAL_START = b'{"op_code"'  # of every line that Optuna writes
PATIENCE = 5  # seconds for which a lock may stand still before it is that of a process that was killed


class OptunaStudy(Watcher):
    """A study in a journal file, which holds each trained individual of a run once.

    The file is made where it is missing. Raises `InputError` for a file that is no such study, that
    is the study of a run with which this one cannot be compared, or that cannot be written.
    """

    def __init__(self, path: Path, state: RunState) -> None:
        self.path = path
        self.objectives, self.limits = state.search.objectives, state.search.limits
        self.epochs, self.measure = state.training.epochs, state.training.measure
        self.table = encoding_of(state.facts, state.gene_table).table
        self.distributions = distributions_of(self.table)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.study = self._open(marks_of(state))
        except OSError as error:
            raise InputError(f"--optuna_study: cannot use {path}: {error.strerror}") from error

    def run_began(self, state: RunState, slots: Sequence[str]) -> None:
        self._catch_up(state)

    def generation_ended(self, state: RunState, seconds: float, busy: float | None) -> None:
        self._catch_up(state)

    def _catch_up(self, state: RunState) -> None:
        self.add(all_individuals(state.generations), state.results)

    def add(self, individuals: Sequence[Individual], results: Mapping[JobKey, TrainingResult]) -> None:
        """Adds the individuals whose last training has no trial yet. Raises `SaveError`."""
        try:
            known = {trial.user_attrs.get("job") for trial in self.study.get_trials(deepcopy=False)}
            for individual in individuals:
                if individual.jobs[-1] not in known:
                    known.add(individual.jobs[-1])
                    self.study.add_trial(self.trial(individual, results[individual.jobs[-1]]))
        except OSError as error:
            raise SaveError(f"cannot write {self.path}: {error.strerror}") from error

    def trial(self, individual: Individual, result: TrainingResult) -> FrozenTrial:
        """An individual as a trial: failed, pruned if early stopping ended its training, or else complete."""
        fitness, values, system = individual.fitness, None, {}
        state = TrialState.FAIL
        if fitness is not None:
            state = TrialState.COMPLETE if fitness.epochs >= self.epochs else TrialState.PRUNED
            values, system = values_of(fitness, self.objectives), constraints_of(fitness, self.limits)
        trial = create_trial(
            state=state,
            values=values,
            params={gene.name: gene.value(individual.chromosome) for gene in self.table.genes},
            distributions=self.distributions,
            user_attrs=attributes(individual, result),
            system_attrs=system,
            intermediate_values={
                number: epoch.score for number, epoch in enumerate(result.epochs, 1) if epoch.score is not None
            },
        )
        if result.cost.started > 0:
            trial.datetime_start = datetime.fromtimestamp(result.cost.started)
            trial.datetime_complete = datetime.fromtimestamp(result.cost.started + result.cost.seconds)
        return trial

    def _open(self, marks: Mapping[str, Any]) -> Study:
        with open(self.path, "ab+") as file:
            file.seek(0)
            if not JOURNAL_START.startswith(file.read(len(JOURNAL_START))):
                raise InputError(f"--optuna_study {self.path} is not a journal of Optuna; name another file")
        name = str(self.path.resolve())  # Optuna's lock is a link to the file, which must find it from any folder
        lock = JournalFileSymlinkLock(name)
        lock.grace_period = PATIENCE  # set, not passed: before 4.3 there was none
        lock.acquire()
        try:
            drop_torn_line(self.path)
        finally:
            lock.release()
        try:
            storage = JournalStorage(JournalFileBackend(name, lock))
            names = [study.study_name for study in storage.get_all_studies()]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError(
                f"--optuna_study {self.path} is damaged ({type(error).__name__}); name another file"
            ) from error
        if any(name != STUDY for name in names):
            raise InputError(f"--optuna_study {self.path} holds another study ({', '.join(names)}); name another file")
        directions = directions_of(self.objectives)
        with quietly():
            if names:
                study = optuna.load_study(study_name=STUDY, storage=storage)
            else:
                study = optuna.create_study(study_name=STUDY, storage=storage, directions=directions)
            self._mark(study, marks)
        return study

    def _mark(self, study: Study, marks: Mapping[str, Any]) -> None:
        """Says in the study of what run it is, or makes sure that it says so."""
        found, is_begun = study.user_attrs, bool(study.get_trials(deepcopy=False))
        for name, mark in marks.items():
            if found.get(name, None if is_begun else mark) != mark:
                raise InputError(
                    f"--optuna_study {self.path} is the study of another run: "
                    f"its {name.replace('_', ' ')} is not that of this one; name another file"
                )
        for name, mark in marks.items():
            if name not in found:
                study.set_user_attr(name, mark)
        if study.metric_names is None:
            study.set_metric_names([self.measure if name == "accuracy" else name for name in self.objectives])


def marks_of(state: RunState) -> dict[str, Any]:
    """What two runs must have in common for their individuals to be compared."""
    return {
        "data_fingerprint": state.facts.fingerprint,
        "gene_table": state.gene_table,
        "objectives": list(state.search.objectives),
        "protocol": canonical_json(asdict(state.training)),
    }


def distributions_of(table: GeneTable) -> dict[str, BaseDistribution]:
    """One categorical parameter for each gene."""
    return {gene.name: categories(gene.values) for gene in table.genes}


def attributes(individual: Individual, result: TrainingResult) -> dict[str, Any]:
    """What a trial tells of an individual beside genes and objectives."""
    found = {
        "individual": individual.name,
        "generation": individual.generation,
        "parents": list(individual.parents),
        "chromosome": individual.chromosome,
        "origin": individual.origin,
        "epochs": len(result.epochs),
        "parameters": result.parameters,
        "flops": result.flops,
        "job": result.key,
        "device": result.cost.device,
    }
    return found if individual.failure is None else {**found, "failure": individual.failure}


def drop_torn_line(path: Path) -> None:
    """Removes what a crash left of a line at the end; Optuna reads past it, but what it appends would be lost."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
