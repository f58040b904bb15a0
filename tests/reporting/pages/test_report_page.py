"""The report of any run is made, and says what is missing; what it says is what the files hold."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import report
from evolution import build_parser
from records import DataConfig, EvolutionConfig, Individual, InputError, RunState, TrainingConfig, TrainingResult
from records import runs as records
from records.canonical import to_json
from records.flags import settings_arguments
from records.runs import Ablation, Finalist, ModelInfo
from records.texts import Chromosome, JobKey
from reporting.run_view import read_run_view
from search_space.space import NetworkSpace
from storage.checkpoint import load_state, save_state
from storage.directory import RunDirectory
from storage.files import sealed, write_durably
from storage.results import INFO, save_ablation, seal_result
from tests.faults.small_run import birth
from tests.reporting.examples import write_report

VOID = {"meta", "input", "br", "link", "hr"}


class Page(HTMLParser):
    """Elements that do not close, the text that is shown, the ids, and the rows of the table of individuals."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.rows = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        self.rows += tag == "tr" and found.get("class") == "row"

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if dict(attributes).get("id"):
            self.ids.append(str(dict(attributes)["id"]))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def page_of(folder: Path) -> Page:
    text = write_report(*load_state(folder)).read_text()
    page = Page(text)
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    assert set(re.findall(r"https?://[^\s\"']*", text)) <= {"http://www.w3.org/2000/svg"}  # a name, not an address
    return page


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy, to be spoiled."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def state_in(folder: Path) -> RunState:
    return load_state(folder)[1]


def test_every_section_and_every_individual_is_there(finished: Path) -> None:
    page = page_of(finished)
    state = state_in(finished)
    assert page.rows == sum(len(generation.individuals) for generation in state.generations)
    expected = ["best", "progress", "architectures", "ablation", "search", "descent", "front"]
    assert [name for name in page.ids if name in expected] == expected
    best = min((each for each in state.generations[-1].individuals), key=lambda each: each.rank)
    assert best.chromosome in page.text


def test_the_report_of_a_run_is_the_same_file_however_often_it_is_made(finished: Path) -> None:
    once = write_report(*load_state(finished)).read_bytes()
    assert write_report(*load_state(finished)).read_bytes() == once


def test_the_command_prints_where_the_report_is(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--resume", str(finished)]) == 0
    assert capsys.readouterr().out == f"{finished}/results/report.html\n"


def test_a_folder_without_a_run_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        report.main(["--resume", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


# Runs of which much is missing


def test_a_run_before_its_first_generation_has_a_report(tmp_path: Path) -> None:
    save_state(RunDirectory(tmp_path), birth(0, "rich"))
    page = page_of(tmp_path)
    assert "generation 0 of" in page.text
    assert page.rows == 0


@pytest.mark.parametrize("generations", [1, 2])
def test_a_run_under_way_says_how_far_it_is(folder: Path, generations: int) -> None:
    run = RunDirectory(folder)
    for number in range(generations + 1, 5):
        shutil.rmtree(run.state(number).parent)
    page = page_of(folder)
    assert f"generation {generations} of 4 is complete" in page.text
    assert re.search(r"Since then \d+ further trainings ended", page.text)


def cut(state: RunState, count: int) -> RunState:
    """The first individuals of the first generation alone, as if no more had been asked for."""
    first = replace(state.generations[0], individuals=state.generations[0].individuals[:count])
    search = replace(state.search, budget=state.search.generations * state.search.population)
    return replace(state, search=search, generations=(first,), population=())


def test_one_individual_is_a_report(folder: Path, tmp_path: Path) -> None:
    save_state(RunDirectory(tmp_path / "one"), cut(state_in(folder), 1))
    page = page_of(tmp_path / "one")
    assert page.rows == 1


def failed(result: TrainingResult) -> TrainingResult:
    return TrainingResult(
        key=result.key, status="crashed", reason="<b>signal</b> SIGSEGV", parameters=result.parameters
    )


def fail_all(state: RunState) -> RunState:
    generations = tuple(
        replace(
            generation,
            individuals=tuple(
                replace(each, jobs=each.jobs[:1], fitness=None, earlier=(), failure="crashed: <b>signal</b> SIGSEGV")
                for each in generation.individuals
            ),
        )
        for generation in state.generations
    )
    return replace(state, generations=generations, results={key: failed(each) for key, each in state.results.items()})


def test_failures_alone_are_a_report_that_says_so(folder: Path, tmp_path: Path) -> None:
    state = fail_all(state_in(folder))
    save_state(RunDirectory(tmp_path / "failed"), state)
    path = write_report(*load_state(tmp_path / "failed"))
    page = page_of(tmp_path / "failed")
    assert "All individuals failed to train" in page.text
    assert "crashed: <b>signal</b> SIGSEGV" in page.text
    assert "<b>signal" not in path.read_text()
    assert page.rows == sum(len(generation.individuals) for generation in state.generations)


def test_a_damaged_result_among_sound_ones_is_named(folder: Path) -> None:
    path = sorted((folder / "results" / "jobs").glob("*.json"))[3]
    path.write_bytes(path.read_bytes()[:100])
    page = page_of(folder)
    assert "1 result on disk cannot be read" in page.text
    assert path.name in page.text


def test_missing_weights_are_counted_and_those_removed_on_purpose_are_not(folder: Path) -> None:
    assert "weights file" not in page_of(folder).text
    state = state_in(folder)
    there = [result.weights for result in state.results.values() if result.weights]
    for name in there[:2]:
        (folder / name).unlink()
    assert "2 weights files missing" in page_of(folder).text


def test_without_results_on_disk_the_checkpoint_is_enough(folder: Path) -> None:
    before = page_of(folder)
    shutil.rmtree(folder / "results")
    after = page_of(folder)
    assert after.rows == before.rows
    assert "weights files missing, removed by --keep_models or otherwise" in after.text
    assert f"{len(state_in(folder).results)} results missing from results/jobs/" in after.text


def test_a_damaged_checkpoint_falls_back_to_the_one_before(folder: Path) -> None:
    path = RunDirectory(folder).state(4)
    path.write_bytes(path.read_bytes()[:-20])
    page = page_of(folder)
    assert "checkpoints/generation_4/ga_state.json cannot be read: this is the run as of generation 3" in page.text


def test_the_report_of_an_older_state_says_so_and_how_to_make_it_again(folder: Path) -> None:
    older = RunDirectory(folder).state(2)
    text = write_report(*load_state(older)).read_text()
    page = Page(text)
    assert "This is the run as of generation 2; there is a newer checkpoints/generation_3/ga_state.json" in page.text
    assert f"report.py --resume {older}" in page.text


def hand_over(folder: Path, *finalists: Finalist) -> ModelInfo:
    """What is written when the best is handed over, here with these finalists."""
    run, state = load_state(folder)
    individuals = [each for generation in state.generations for each in generation.individuals]
    best = min(individuals, key=lambda each: each.rank)
    result = state.results[best.jobs[-1]]
    info = ModelInfo(
        version="0",
        individual=best,
        description="words",
        phenotype=NetworkSpace.of(state).network(best.chromosome),
        data=state.data,
        facts=state.facts,
        metric="accuracy",
        precision="float32",
        split="train",
        weights=result.weights,
        result=result,
        finalists=finalists,
        test=records.TestScore(accuracy=0.5, loss=1.0, images=2),
    )
    write_durably(run.best_info, sealed(INFO, to_json(info)))
    return info


def finalist(individual: Individual, *accuracies: float) -> Finalist:
    return Finalist(individual=individual.name, chromosome=individual.chromosome, accuracies=accuracies)


def test_what_was_handed_over_stands_with_its_finalists_and_its_test(folder: Path) -> None:
    one, two = state_in(folder).generations[0].individuals[:2]
    info = hand_over(folder, finalist(one, 0.81, 0.83), finalist(two, 0.8, 0.8))
    page = page_of(folder)
    assert "0.8200 ± 0.0100" in page.text
    assert "with 2 fresh seeds (mean, standard error)" in page.text
    assert "test accuracy (2 images; 95%: 0.0945 to 0.9055)" in page.text
    assert info.individual.chromosome in page.text
    assert "under way" not in page.text
    assert f"The weights {folder}/best_model/best_model.pt are missing" in page.text


def test_a_model_that_later_generations_led_to_is_left_out_of_an_older_report(folder: Path) -> None:
    last = state_in(folder).generations[3].individuals[-1]
    hand_over(folder, finalist(state_in(folder).generations[0].individuals[0], 0.8), finalist(last, 0.7))
    text = write_report(*load_state(RunDirectory(folder).state(2))).read_text()
    assert "belongs to another run or to a later generation, and is left out" in Page(text).text


def test_trainings_that_failed_before_the_first_generation_was_complete_are_told(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    save_state(run, birth(0, "rich"))
    for digit in ("a", "b"):
        seal_result(run, TrainingResult(key=JobKey(64 * digit), status="diverged", reason="the loss is nan"))
    assert "Of the trainings since then, 2 failed: 2 × diverged: the loss is nan." in page_of(tmp_path).text


def test_commands_can_be_pasted_whatever_the_folder_is_called(finished: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "my run; rm"))
    text = page_of(folder).text
    assert f"--resume '{folder}' --ablation" in text
    assert f"report.py --resume '{folder}'" in text


def test_an_ablation_of_another_network_is_left_out_and_named(folder: Path) -> None:
    other = state_in(folder).generations[0].individuals[-1]
    ablation = Ablation(
        individual=other.name, chromosome=Chromosome(other.chromosome[::-1]), accuracies=(), neighbours=()
    )
    save_ablation(RunDirectory(folder), ablation)
    page = page_of(folder)
    assert f"The ablation on disk is of another network, {other.name}" in page.text
    assert "Not part of this run" in page.text
    RunDirectory(folder).ablation.write_text("{}")
    assert "the ablation is left out" in page_of(folder).text


def test_a_damaged_description_of_the_best_is_named(folder: Path) -> None:
    run = RunDirectory(folder)
    run.best_info.parent.mkdir()
    run.best_info.write_text("{}")
    page = page_of(folder)
    assert "not a file of a run, or damaged" in page.text
    assert "under way" not in page.text


def test_text_of_data_is_escaped(folder: Path) -> None:
    state = state_in(folder)
    evil = "</script><script>alert(1)</script>"
    facts = replace(state.facts, class_names=tuple(f"{evil}{n}" for n in range(len(state.facts.class_names))))
    save_state(RunDirectory(folder), replace(state, data=DataConfig(dataset=f"/data/{evil}"), facts=facts))
    text = write_report(*load_state(folder)).read_text()
    assert "alert(1)</script>" not in text


# What it says


def test_the_command_that_is_shown_asks_for_the_same_run(finished: Path) -> None:
    state = state_in(finished)
    options = vars(build_parser().parse(settings_arguments(state.search, state.training, state.data)))
    for record in (state.search, state.training, state.data):
        names = to_json(record)
        assert type(record)(**{name: value for name, value in options.items() if name in names}) == record


def test_settings_by_default_need_no_flags() -> None:
    assert settings_arguments(EvolutionConfig(), TrainingConfig(), DataConfig()) == []
    changed = (EvolutionConfig(objectives=("accuracy", "flops")), TrainingConfig(deterministic=True))
    assert settings_arguments(*changed) == ["--objectives", "accuracy", "flops", "--deterministic"]


def test_the_details_of_rows_are_those_of_the_individuals(finished: Path) -> None:
    text = write_report(*load_state(finished)).read_text()
    found = re.search(r'<script type="application/json" id="details">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    details = json.loads(found[1])["individuals"]
    state = state_in(finished)
    space = NetworkSpace.of(state)
    individuals = [each for generation in state.generations for each in generation.individuals]
    assert list(details) == [each.name for each in individuals]
    for each in individuals:
        shown = details[each.name]
        assert shown["chromosome"] == each.chromosome
        assert tuple(shown["parents"]) == each.parents
        assert [len(curve) for curve in shown["curves"]] == [len(state.results[key].epochs) for key in each.jobs]
        assert f'<template id="network-{shown["network"]}">' in text
    networks = {space.network(each.chromosome) for each in individuals}
    assert len({each["network"] for each in details.values()}) == len(networks)


def test_findings_know_results_that_no_generation_holds(folder: Path) -> None:
    run = RunDirectory(folder)
    shutil.rmtree(run.state(4).parent)
    run, state = load_state(folder)
    assert read_run_view(run, state).results.keys() > state.results.keys()
