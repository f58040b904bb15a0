"""Finding the checkpoint to go on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from records import InputError
from storage.checkpoint import load_state
from storage.directory import RunDirectory
from storage.files import write_durably


def test_a_folder_without_a_run_and_one_with_damaged_states_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        load_state(tmp_path)
    write_durably(RunDirectory(tmp_path).state(3), b"{}")
    with pytest.raises(InputError, match=r"no state of .* is sound .*--overwrite"):
        load_state(tmp_path)
