"""`best_model.pt` of every individual: a link to the weights of its network for as long as these are kept."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from records import Limits
from records.errors import SaveError
from storage.directory import RunDirectory
from storage.files import file_sha256, link_file, write_whole
from storage.results import kept_weights
from tests.faults.small_run import birth
from tests.small_runs import Run, evolve

FEW = Limits(min_free_disk=0.0, keep_models="1")


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def refuse_links(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def kept_and_removed(run: Run) -> tuple[list[str], list[str]]:
    """The names of individuals whose weights are kept, all checked, and of the others, whose folders hold none."""
    kept, removed, directory = [], [], RunDirectory(run.folder)
    for each in run.individuals():
        result, path = run.state.results[each.jobs[-1]], directory.weights(each.name)
        if (run.folder / str(result.weights)).is_file():
            assert file_sha256(path) == result.weights_sha256
            kept.append(each.name)
        else:
            assert not path.exists()
            removed.append(each.name)
    return kept, removed


@pytest.mark.parametrize("variant", ["plain", "rich"])
def test_the_folder_of_every_individual_holds_the_weights_of_its_network(variant: str, tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, variant))
    kept, removed = kept_and_removed(run)
    assert kept == [each.name for each in run.individuals()]
    assert removed == []
    linked = [each for each in run.individuals() if f"results/{each.name}/best_model.pt" not in paths_of(run)]
    origins = {each.origin for each in linked}
    assert "elite" in origins
    assert (origins == {"elite"}) == (variant == "plain")  # with halving also those that were stopped
    for each in linked:
        original = run.folder / str(run.state.results[each.jobs[-1]].weights)
        assert RunDirectory(run.folder).weights(each.name).samefile(original)


def paths_of(run: Run) -> set[str | None]:
    return {result.weights for result in run.state.results.values()}


def test_weights_that_are_removed_are_removed_under_every_name(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, "rich", generations=4), limits=FEW)
    kept, removed = kept_and_removed(run)
    assert kept
    assert removed
    once_kept = evolve(tmp_path / "all", birth(0, "rich", generations=4))
    assert kept_and_removed(once_kept)[1] == []
    last = evolve(tmp_path / "all", limits=FEW)
    last.work.prune()
    assert kept_and_removed(last) == (kept, removed)


def test_a_resumed_run_makes_missing_links_again_and_removes_what_another_network_left(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0), limits=FEW)
    kept, removed = kept_and_removed(run)
    elite = next(each.name for each in run.individuals() if each.origin == "elite" and each.name in kept)
    directory = RunDirectory(tmp_path)
    directory.weights(elite).unlink()
    directory.write(directory.weights(removed[0]), b"of a network that was here before")
    again = evolve(tmp_path, limits=FEW)
    assert again.started == []
    assert kept_and_removed(again) == (kept, removed)


def test_weights_that_a_person_put_where_the_run_removed_its_own_stay(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0), limits=FEW)
    path = RunDirectory(tmp_path).weights(kept_and_removed(run)[1][0])
    path.write_bytes(b"mine")
    evolve(tmp_path, limits=FEW)
    assert path.read_bytes() == b"mine"


def test_where_there_are_no_hard_links_weights_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = evolve(tmp_path / "linked", birth(0, "rich"), limits=FEW)
    monkeypatch.setattr(os, "link", refuse_links)
    copied = evolve(tmp_path / "copied", birth(0, "rich"), limits=FEW)
    assert kept_and_removed(copied) == kept_and_removed(linked)
    files = list((tmp_path / "copied/results").glob("gen*/ind*/best_model.pt"))
    assert {path.stat().st_nlink for path in files} == {1}
    before = {path: path.stat().st_mtime_ns for path in files}
    evolve(tmp_path / "copied", limits=FEW)
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_a_training_at_the_place_of_a_link_leaves_the_other_name_alone(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, "rich"))
    stopped = next(each for each in run.individuals() if len(each.jobs) == 1)
    original, path = tmp_path / str(run.state.results[stopped.jobs[0]].weights), RunDirectory(tmp_path)
    link, before = path.weights(stopped.name), original.read_bytes()
    assert link.samefile(original)
    write_whole(link, b"of a training in full")
    assert (link.read_bytes(), original.read_bytes()) == (b"of a training in full", before)


def test_the_best_individual_with_weights_is_found(tmp_path: Path) -> None:
    run = evolve(tmp_path, birth(0, "rich"), limits=FEW)
    best = run.work.engine.best
    found = kept_weights(RunDirectory(tmp_path), run.state)
    assert best is not None
    assert found is not None
    assert found.jobs == best.jobs
    for path in (tmp_path / "results").rglob("*.pt"):
        path.unlink()
    assert kept_weights(RunDirectory(tmp_path), run.state) is None


# One link


@pytest.mark.parametrize("has_links", [True, False])
def test_a_link_takes_the_place_of_another_file_and_leaves_nothing_else(
    has_links: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", refuse_links)
    source, path, other = tmp_path / "source", tmp_path / "folder/name", tmp_path / "other"
    source.write_bytes(b"new")
    other.write_bytes(b"old")
    path.parent.mkdir()
    os.rename(other, path)
    for _ in range(2):
        link_file(source, path)
        assert path.read_bytes() == b"new"
        assert path.samefile(source) == has_links
        assert [each.name for each in path.parent.iterdir()] == ["name"]


def test_a_link_that_cannot_be_made_is_a_named_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SaveError, match=r"cannot write .*file/name"):
        link_file(tmp_path / "file", tmp_path / "file/name")
