"""Which tests may run side by side: pytest-xdist gives each group of files to one of its workers."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from stopping.signals import STOP_SIGNALS

# Commands in the background of a shell ignore Ctrl-C, and those of nohup the end of the terminal; tests need both.
for number in STOP_SIGNALS:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# Files by group. All other files are a group each, so that the fixtures of a module are made once.
GROUPS = {
    # Worker processes and whole runs, most of which must end, stop or be noticed within seconds.
    "processes": (
        "test_best_model.py",
        "test_evolution.py",
        "test_model_card.py",
        "test_mutations.py",
        "test_promises.py",
        "test_stop_signals.py",
        "test_worker_manager.py",
        "test_commands.py",
        "test_earlier_runs.py",
    ),
    # Ray clusters: the tests look at all Ray processes of the machine.
    "ray": (
        "test_ray_connection.py",
        "test_ray_cluster.py",
        "test_ray_inventory.py",
        "test_ray_local.py",
        "test_ray_node.py",
    ),
    # A browser, and a server that a port is sought for.
    "browser": ("test_optuna_dashboard.py", "test_report_in_a_browser.py"),
}
# Files that take longest of all others; `make quick` leaves them out as well.
LONG = ("test_export.py", "test_optuna_search.py", "test_genetic_sampler.py", "test_report_page.py")
GROUP_OF = {file: group for group, files in GROUPS.items() for file in files}


def group_of(node: str) -> str:
    """The group of a test, by its node id."""
    file = node.partition("::")[0]
    return GROUP_OF.get(file.rpartition("/")[2], file)


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of the files above, and lets them begin: they take longest."""
    for item in items:
        if group_of(item.nodeid) in GROUPS:
            item.add_marker(pytest.mark.apart)
        elif item.path.name in LONG:
            item.add_marker(pytest.mark.long)
    items.sort(key=lambda item: not ({"apart", "long"} & {mark.name for mark in item.own_markers}))


@pytest.hookimpl(optionalhook=True)  # pytest-xdist asks for it
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Groups tests by their files. (The marks of `--dist loadgroup` have no effect under pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    config.option.loadscopereorder = False  # the order of the collection stands
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = group_of
    return scheduler
