"""The lock of a folder."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from records import InputError
from storage.directory import RunDirectory

ROOT = Path(__file__).parent.parent.parent
HOLDER = """
import sys, time
sys.path.insert(0, {root!r})
from pathlib import Path
from storage.directory import RunDirectory
RunDirectory(Path({folder!r})).lock()
print("locked", flush=True)
time.sleep(60)
"""


def test_a_lock_names_its_holder_and_falls_with_it(tmp_path: Path) -> None:
    code = HOLDER.format(root=str(ROOT), folder=str(tmp_path))
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"locked\n"
    run = RunDirectory(tmp_path)
    with pytest.raises(InputError, match=f"in use by process {holder.pid} on .*--output_dir"):
        run.lock()
    holder.kill()
    holder.wait()
    holder.stdout.close()
    run.lock()
    run.unlock()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "locks have no effect on the file system of"),
        (
            OSError(errno.ENOLCK, "No locks available"),
            "cannot lock .*: No locks available; choose another --output_dir",
        ),
    ],
)
def test_a_file_system_without_locks_is_refused(
    answer: OSError | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:
        if answer is not None:
            raise answer

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(InputError, match=said):
        RunDirectory(tmp_path).lock()


def test_a_lock_that_was_given_back_leaves_no_trace(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "a" / "b")
    run.lock()
    run.unlock()
    assert not list(tmp_path.iterdir())
