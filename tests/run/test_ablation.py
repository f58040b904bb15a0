"""The ablation of the best network: what trains, what is kept, what it says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

import tests.faults.small_run as small_run
from records import EvolutionConfig, TrainingJob, TrainingResult
from records.canonical import from_json
from records.runs import Ablation
from records.texts import Chromosome
from reporting.analysis.ablation import by_effect
from run.ablation import ablate
from run.time_estimate import trainings_after
from search.operators import flip
from search_space.genes import STANDARD
from storage.directory import RunDirectory
from storage.files import DamagedFile
from storage.results import find_result, read_ablation, read_pruned
from tests.faults.small_run import birth
from tests.small_runs import Run, evolve


def ablated(run: Run) -> Ablation:
    best = run.work.engine.best
    assert best is not None
    found = ablate(run.work, best.name)
    assert found is not None
    return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return evolve(tmp_path, birth(0, "plain", ablation=True, final_seeds=2))


def test_every_coding_bit_is_flipped_and_trains_with_fresh_seeds(run: Run) -> None:
    before = len(run.started)
    found = ablated(run)
    jobs = run.started[before:]
    assert [each.locus for each in found.neighbours] == list(STANDARD.coding_loci)
    best = run.work.engine.best
    assert best is not None
    assert found.chromosome == best.chromosome
    for each in found.neighbours:
        assert [locus for locus in range(19) if each.chromosome[locus] != best.chromosome[locus]] == [each.locus]
        assert each.best_value != each.value
    networks = {run.work.space.phenotype(each.chromosome) for each in found.neighbours}
    networks.add(run.work.space.phenotype(best.chromosome))
    assert len(jobs) == 2 * len(networks)
    assert {job.replicate for job in jobs} == {3, 4}  # the finalists' seeds are 1 and 2
    assert len(found.accuracies) == 2
    assert all(len(each.accuracies) == 2 for each in found.neighbours)


def test_its_accuracies_are_those_of_the_sealed_results(run: Run) -> None:
    before = len(run.started)
    found = ablated(run)
    by_network: dict[str, list[float]] = {}
    for job in run.started[before:]:
        result = find_result(run.work.run, job.key)
        assert result is not None
        assert result.fitness is not None
        by_network.setdefault(job.phenotype, []).append(result.fitness.value)
    assert sorted(found.accuracies) == sorted(by_network[run.work.space.network(found.chromosome)])
    for each in found.neighbours:
        assert sorted(each.accuracies) == sorted(by_network[run.work.space.network(each.chromosome)])


def test_a_bit_that_changes_nothing_is_no_training_and_no_effect(run: Run) -> None:
    found = ablated(run)
    space = run.work.space
    for each in found.neighbours:
        assert each.is_same_network == (space.phenotype(each.chromosome) == space.phenotype(found.chromosome))
    assert all(not each.is_same_network for each, _ in by_effect(found))


def test_it_is_written_down_and_read_again(run: Run) -> None:
    found = ablated(run)
    assert read_ablation(run.work.run) == found


def test_no_weights_are_kept_and_their_removal_is_on_record(run: Run) -> None:
    ablated(run)
    assert not list((run.folder / "results" / "final").glob("*"))
    keys = {job.key for job in run.started if job.replicate}
    assert keys <= read_pruned(run.work.run)


def test_a_second_time_nothing_trains_and_the_same_comes_out(run: Run) -> None:
    found = ablated(run)
    again = evolve(run.folder)
    assert ablated(again) == found
    assert again.started == []


def test_after_a_crash_only_what_is_missing_trains(run: Run) -> None:
    found = ablated(run)
    keys = [job.key for job in run.started if job.replicate]
    for key in keys[::3]:
        run.work.run.job(key).unlink()
    run.work.run.ablation.unlink()
    again = evolve(run.folder)
    assert ablated(again) == found
    assert sorted(job.key for job in again.started) == sorted(keys[::3])


def test_failed_trainings_leave_the_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = small_run.train
    before = len(run.started)

    def train(root: Path, task: dict[str, object]) -> TrainingResult:
        result = sound(root, task)
        job = from_json(TrainingJob, task["job"])
        fails = job.replicate == 3 and len(run.started) > before + 4
        return replace(result, status="diverged", epochs=(), weights=None) if fails else result

    monkeypatch.setattr(small_run, "train", train)
    found = ablated(run)
    assert {len(each.accuracies) for each in found.neighbours} >= {1}
    assert all(apart.half is None for each, apart in by_effect(found) if len(each.accuracies) == 1)


def test_without_the_flag_there_is_none(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, "plain"))
    best = run.work.engine.best
    assert best is not None
    assert ablate(run.work, best.name) is None
    assert read_ablation(run.work.run) is None


def test_a_damaged_ablation_is_told_from_none(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.ablation.parent.mkdir()
    run.ablation.write_text("{}")
    with pytest.raises(DamagedFile):
        read_ablation(run)


def test_its_trainings_are_foreseen() -> None:
    assert EvolutionConfig(ablation=True, final_seeds=3, finalists=0).trainings_after(15) == 48
    assert EvolutionConfig(ablation=True, final_seeds=3, finalists=2).trainings_after(15) == 54
    assert EvolutionConfig(finalists=2).trainings_after(15) == 6
    assert trainings_after(birth(0, "plain", ablation=True)) == trainings_after(birth(0, "plain")) + 48


@pytest.mark.parametrize(("chromosome", "locus", "flipped"), [("00", 0, "10"), ("011", 2, "010")])
def test_a_flip_changes_one_bit(chromosome: Chromosome, locus: int, flipped: str) -> None:
    assert flip(chromosome, locus) == flipped


def test_the_largest_loss_comes_first(run: Run) -> None:
    effects = [apart.mean for _, apart in by_effect(ablated(run))]
    assert all(one <= other for one, other in pairwise(effects))
