"""A run that waits for no generation: whenever a device falls free, an offspring is bred for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from genetic_algorithm import SteadyState
from job_queue import Attempt, JobQueue
from records import Individual, InputError, TrainingResult
from records.canonical import VERSION
from records.runs import Progress
from records.texts import JobKey
from run.loop import Search, fault_of
from run.time_estimate import trainings_after
from storage.checkpoint import read_progress, save_progress, save_state

AHEAD = 1  # networks that wait: a device trains on while a result is made durable and the next offspring is bred


class SteadySearch(Search):
    """A run at work without generations to wait for.

    What was bred, and the order in which results were taken, are saved after each result, before
    what they led to is trained. A run that goes on takes the recorded results in that order; then it
    hands out those that were bred and have none, in the order in which they were bred. A result that
    was sealed but not recorded is taken then, before any is waited for.
    """

    engine: SteadyState

    def __init__(self, *parts: Any, **others: Any) -> None:
        super().__init__(*parts, **others)
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
        search, begun = self.state.search, max((each.generation for each in self.engine.taken), default=0)
        if search.budget is None and begun > search.generations:
            raise InputError(f"--generations is {search.generations}, but {begun} have begun; give {begun} or more")
        self.write_derived_files(self.individuals())
        self.estimate.new_queue()
        self.queue, self.clock = self.new_queue(longest_first=False), time.monotonic()
        self.console.expect(self.engine.total - len(self.engine.taken))
        self.say_what_begins()
        self.check_disk()
        self.top_up()
        self.stop.run(self.workers, self.queue, self)
        if len(self.engine.bred) < self.engine.total:
            self.console.say(f"every network of the space is known after {len(self.engine.bred)} individuals")

    def go_on(self) -> None:
        """Takes up what was done until the last checkpoint, and since."""
        state, since = self.state, read_progress(self.run, self.state)
        jobs = {each.name: self.job(each, self.rungs[-1]) for each in since.taken}
        lost = {name: job for name, job in jobs.items() if self.known(job.key, name) is None}
        if lost:
            self.run_jobs(lost, "what was lost")
        evaluated = {each.name: each for each in (*self.individuals(), *state.population)}
        taken = [evaluated[name] for name in state.order]
        taken += [self.with_recorded_result(each, self.results[jobs[each.name].key]) for each in since.taken]
        self.saved = (len(self.engine.bred) + len(state.population), len(state.order))
        self.engine.replay([*state.population, *since.bred], taken)
        self.waiting.extend(self.engine.pending)
        for each in taken:
            self.estimate.measure(self.space.network(each.chromosome), self.results[each.jobs[-1]])

    def with_recorded_result(self, individual: Individual, result: TrainingResult) -> Individual:
        """An individual whose result was recorded, with the result that is found; its latency is that measured then."""
        bare = replace(individual, jobs=(), fitness=None, failure=None, earlier=())
        latency = None if individual.fitness is None else individual.fitness.latency
        if latency is None or result.fitness is None:
            return self.with_result(bare, result)
        return replace(bare, jobs=(result.key,), fitness=result.fitness.with_limits(self.state.search.limits, latency))

    def top_up(self) -> None:
        """Sees to it that each device has a network to train, and saves what was done."""
        self.hand_out()
        while self.known_already:
            self.take(*self.known_already.popleft())
            self.hand_out()
        self.record()
        self.close_generations()
        networks = [self.space.network(each.chromosome) for each in self.engine.bred[-self.state.search.population :]]
        further = self.engine.total - len(self.engine.bred) + len(self.waiting) + trainings_after(self.state)
        self.estimate.expect_after(networks, further, self.rungs[-1])

    def hand_out(self) -> None:
        """Hands out as many networks as there are devices, and `AHEAD` more: those bred already, then new ones.

        Those whose result is known take part in it, so that what is bred does not depend on when it
        became known. A failure that was not recorded is tried again.
        """
        while len(self.queued) + len(self.known_already) < len(self.workers.slots) + AHEAD:
            individual = self.waiting.popleft() if self.waiting else self.engine.breed()
            if individual is None:
                break
            job = self.job(individual, self.rungs[-1])
            result = self.known(job.key, individual.name)
            is_known = result is not None and result.status == "done"
            if not is_known:
                self.enqueue(self.queue, job, individual.name)
                is_known = job.key in self.queue.results  # no device has the memory for it
            if is_known:
                self.known_already.append((individual, job.key))
            else:
                self.queued[individual.name] = individual

    def job_ended(self, slot: str, attempt: Attempt, result: TrainingResult) -> None:
        super().job_ended(slot, attempt, result)
        individual = self.queued.pop(attempt.name, None)
        if individual is not None:  # else a training after the last individual
            self.take(individual, attempt.key)
            self.top_up()

    def take(self, individual: Individual, key: JobKey) -> None:
        """The result of an individual, under that key, is the next in order.

        Raises `RunFault` if as many in a row failed as there are in a generation, which is no network's fault.
        """
        self.engine.take(self.with_result(individual, self.results[key]))
        count = min(self.state.search.population, self.engine.total)
        last = self.engine.taken[-count:]
        if len(last) == count > 1 and all(each.failure for each in last):
            self.engine.withdraw(count)
            self.record()
            raise fault_of(f"the last {count} trainings", [self.results[each.jobs[-1]] for each in last])

    def record(self) -> None:
        """Saves what was bred and taken since the last checkpoint."""
        bred, taken = self.engine.bred[self.saved[0] :], self.engine.taken[self.saved[1] :]
        if bred or taken:
            save_progress(self.run, self.state.generation, Progress(bred=tuple(bred), taken=tuple(taken)))

    def close_generations(self) -> None:
        """Saves the state after each generation of which all individuals have ended by now."""
        while (members := self.engine.complete()) is not None:
            self.engine.tell(members)
            self.save()
            self.console.generation_ended(self.engine.generations[-1], time.monotonic() - self.clock, None)
            self.clock = time.monotonic()
            self.say_what_passes_limits()
            self.prune()
            self.write_derived_files(members)
            self.say_what_begins()

    def save(self) -> None:
        """The checkpoint of the last complete generation; it holds all that was done."""
        engine = self.engine
        ended: Mapping[str, Individual] = {each.name: each for each in engine.taken}
        closed = len(self.individuals())
        self.state = replace(
            self.state,
            version=VERSION,
            generations=tuple(engine.generations),
            results={key: self.results[key] for each in engine.taken for key in each.jobs},
            population=tuple(ended.get(each.name, each) for each in engine.bred[closed:]),
            order=tuple(each.name for each in engine.taken),
        )
        self.run.progress(self.state.generation).unlink(missing_ok=True)  # of a state that was lost
        save_state(self.run, self.state)
        self.saved = (len(engine.bred), len(engine.taken))

    def say_what_begins(self) -> None:
        """Which generation is the first that is not complete, and what is known of it."""
        number = self.state.generation + 1
        left = self.engine.total - len(self.individuals())
        if left > 0 and not (self.engine.is_spent and not self.engine.pending):
            known = [each.fitness.value for each in self.engine.taken if each.generation == number and each.fitness]
            self.console.generation_started(number, known, min(left, self.state.search.population) - len(known))
