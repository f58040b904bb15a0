"""The loop of a steady state: an offspring is bred whenever a device becomes free, and no generation is waited for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from genetic_algorithm import SteadyState
from job_queue import Attempt, JobQueue
from records import Individual, InputError, TrainingResult
from records.runs import Progress
from records.texts import JobKey
from run.time_estimate import trainings_after
from run.trainings import fault_of
from run.work import Work
from storage.checkpoint import read_progress, save_progress

AHEAD = 1  # networks that wait: a device trains on while a result is made durable and the next offspring is bred


class SteadyLoop:
    """Takes a run to its end without generations to wait for.

    What was bred, and the order in which results were taken, are saved after each result, before
    what they led to is trained. A run that goes on takes the recorded results in that order; then it
    hands out those that were bred and have none, in the order in which they were bred. A result that
    was sealed but not recorded is taken then, before any is waited for.

    As the workers' observer it passes everything on to the run's trainings.
    """

    def __init__(self, work: Work) -> None:
        if not isinstance(work.engine, SteadyState):
            raise TypeError(f"a steady state needs its own engine, but this run has {type(work.engine).__name__}")
        self.work, self.engine = work, work.engine
        self.trainings, self.epochs = work.trainings, work.jobs.rungs[-1]
        self.waiting: deque[Individual] = deque()  # bred, and not handed to the queue yet
        self.queued: dict[str, Individual] = {}  # handed to it, and not ended
        self.known_already: deque[tuple[Individual, JobKey]] = deque()  # with the key of the result
        self.queue = JobQueue()
        self.saved = (0, 0)  # of those bred and of those taken, how many the last checkpoint holds
        self.clock = time.monotonic()

    def evolve(self) -> None:
        """One individual after the other, until the last, or the last network of the space.

        Raises `InputError` if the run is to end before what it has done already.
        """
        self.go_on()
        search, engine = self.work.state.search, self.engine
        begun = max((each.generation for each in engine.taken), default=0)
        if search.budget is None and begun > search.generations:
            raise InputError(f"--generations is {search.generations}, but {begun} have begun; give {begun} or more")
        self.work.begin()
        self.trainings.estimate.new_queue()
        self.queue, self.clock = self.trainings.new_queue(longest_first=False), time.monotonic()
        self.work.watcher.queue_began(engine.total - len(engine.taken))
        self._say_what_begins()
        self._top_up()
        self.trainings.work_through(self.queue, self)
        if len(engine.bred) < engine.total:
            self.work.watcher.said(f"every network of the space is known after {len(engine.bred)} individuals")

    def go_on(self) -> None:
        """Takes up what was done until the last checkpoint, and since."""
        work, state = self.work, self.work.state
        since = read_progress(work.run, state)
        jobs = {each.name: work.job(each, self.epochs) for each in since.taken}
        lost = {name: job for name, job in jobs.items() if self.trainings.known(job.key, name) is None}
        if lost:
            self.trainings.run_all(lost, "what was lost")
        evaluated = {each.name: each for each in (*work.individuals(), *state.population)}
        taken = [evaluated[name] for name in state.order]
        results = self.trainings.results
        taken += [self._with_recorded_result(each, results[jobs[each.name].key]) for each in since.taken]
        self.saved = (len(self.engine.bred) + len(state.population), len(state.order))
        self.engine.replay([*state.population, *since.bred], taken)
        self.waiting.extend(self.engine.pending)
        for each in taken:
            self.trainings.estimate.measure(work.space.network(each.chromosome), results[each.jobs[-1]])

    def _with_recorded_result(self, individual: Individual, result: TrainingResult) -> Individual:
        """An individual whose result was recorded, with the result that is found; its latency is that measured then."""
        bare = replace(individual, jobs=(), fitness=None, failure=None, earlier=())
        latency = None if individual.fitness is None else individual.fitness.latency
        if latency is None or result.fitness is None:
            return self.work.jobs.with_result(bare, result)
        fitness = result.fitness.with_limits(self.work.state.search.limits, latency)
        return replace(bare, jobs=(result.key,), fitness=fitness)

    def _top_up(self) -> None:
        """Sees to it that each device has a network to train, and saves what was done."""
        self._hand_out()
        while self.known_already:
            self._take(*self.known_already.popleft())
            self._hand_out()
        self._record()
        self._close_generations()
        work, engine = self.work, self.engine
        networks = [work.space.network(each.chromosome) for each in engine.bred[-work.state.search.population :]]
        further = engine.total - len(engine.bred) + len(self.waiting) + trainings_after(work.state)
        self.trainings.estimate.expect_after(networks, further, self.epochs)

    def _hand_out(self) -> None:
        """Hands out as many networks as there are devices, and `AHEAD` more: those bred already, then new ones.

        Those whose result is known take part in it, so that what is bred does not depend on when it
        became known. A failure that was not recorded is tried again.
        """
        most = len(self.work.means.workers.slots) + AHEAD
        while len(self.queued) + len(self.known_already) < most:
            individual = self.waiting.popleft() if self.waiting else self.engine.breed()
            if individual is None:
                break
            job = self.work.job(individual, self.epochs)
            result = self.trainings.known(job.key, individual.name)
            is_known = result is not None and result.status == "done"
            if not is_known:
                self.trainings.add(self.queue, job, individual.name)
                is_known = job.key in self.queue.results  # no device has the memory for it
            if is_known:
                self.known_already.append((individual, job.key))
            else:
                self.queued[individual.name] = individual

    def job_started(self, slot: str, attempt: Attempt) -> None:
        self.trainings.job_started(slot, attempt)

    def job_progress(self, slot: str, attempt: Attempt, progress: Mapping[str, Any]) -> None:
        self.trainings.job_progress(slot, attempt, progress)

    def job_retried(self, slot: str, attempt: Attempt, status: str, reason: str) -> None:
        self.trainings.job_retried(slot, attempt, status, reason)

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        self.trainings.job_ended(slot, attempt, result)
        self._take(self.queued.pop(attempt.name), attempt.key)
        self._top_up()

    def _take(self, individual: Individual, key: JobKey) -> None:
        """The result of an individual, under that key, is the next in order.

        Raises `RunFault` if as many in a row failed as there are in a generation, which is no network's fault.
        """
        results = self.trainings.results
        self.engine.take(self.work.jobs.with_result(individual, results[key]))
        count = min(self.work.state.search.population, self.engine.total)
        last = self.engine.taken[-count:]
        if len(last) == count > 1 and all(each.failure for each in last):
            self.engine.withdraw(count)
            self._record()
            raise fault_of(f"the last {count} trainings", [results[each.jobs[-1]] for each in last])

    def _record(self) -> None:
        """Saves what was bred and taken since the last checkpoint."""
        bred, taken = self.engine.bred[self.saved[0] :], self.engine.taken[self.saved[1] :]
        if bred or taken:
            progress = Progress(bred=tuple(bred), taken=tuple(taken))
            save_progress(self.work.run, self.work.state.generation, progress)

    def _close_generations(self) -> None:
        """Saves the state after each generation of which all individuals have ended by now."""
        while (members := self.engine.complete()) is not None:
            self.engine.tell(members)
            self._save()
            seconds, self.clock = time.monotonic() - self.clock, time.monotonic()
            self.work.generation_ended(members, seconds)
            self._say_what_begins()

    def _save(self) -> None:
        """The checkpoint of the last complete generation; it holds all that was done."""
        work, engine = self.work, self.engine
        ended: Mapping[str, Individual] = {each.name: each for each in engine.taken}
        closed = len(work.individuals())
        work.run.remove(work.run.progress(len(engine.generations)))  # of a state that was lost
        work.save(
            generations=tuple(engine.generations),
            results={key: self.trainings.results[key] for each in engine.taken for key in each.jobs},
            population=tuple(ended.get(each.name, each) for each in engine.bred[closed:]),
            order=tuple(each.name for each in engine.taken),
        )
        self.saved = (len(engine.bred), len(engine.taken))

    def _say_what_begins(self) -> None:
        """Which generation is the first that is not complete, and what is known of it."""
        state, engine = self.work.state, self.engine
        number = state.generation + 1
        left = engine.total - len(self.work.individuals())
        if left > 0 and not (engine.is_spent and not engine.pending):
            known = [each.fitness.value for each in engine.taken if each.generation == number and each.fitness]
            self.work.watcher.generation_began(number, known, min(left, state.search.population) - len(known))
