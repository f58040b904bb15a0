"""What a command says when there is not enough memory, from its imports on.

Next to nothing is imported here, so that a command can begin with it.
"""

from __future__ import annotations

import errno
import os
import resource
import sys

TYPE_CHECKING = False  # as in `typing`, which takes too long
if TYPE_CHECKING:
    from types import TracebackType

FAULT = 4  # the exit status of a fault of disk, memory or devices
# What the dynamic linker, Python and torch say where memory, or address space, has run out.
SAID = ("failed to map segment", "annot allocate memory", "can't allocate memory", "can't start new thread")
LONGEST_REASON = 120  # characters of what a library says
AMPLE = 16 << 30  # bytes of address space that are enough for all imports, whatever the build of torch
# What a command loads, and some room to work in. Libraries may abort where there is too little, beyond all exceptions.
TRIAL = "import numpy, torch; torch.zeros(1 << 28, dtype=torch.uint8)"


def lacks_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that no more memory could be had."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        is_refusal = isinstance(error, OSError) and error.errno == errno.ENOMEM
        if isinstance(error, MemoryError) or is_refusal or any(words in str(error) for words in SAID):
            return True
        error = error.__cause__ or error.__context__
    return False


def lack_of_memory(error: BaseException) -> str:
    """The line that says what to do about such an error."""
    reason = str(error).partition("\n")[0][:LONGEST_REASON] or type(error).__name__
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return f"error: there is not enough memory ({reason}); free some, or let fewer workers train"
    return (
        f"error: there is not enough memory ({reason}), as the address space of a process is limited to "
        f"{limit / 1e9:.1f} GB here; raise the limit (ulimit -v unlimited, or more memory for the job)"
    )


def end_without_memory(needs_torch: bool = False) -> None:
    """From now on such an error that nothing catches ends this process with one line, without a traceback.

    With `needs_torch`, and where the address space is limited, another process tries first whether
    torch can be loaded.
    """
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if needs_torch and limit != resource.RLIM_INFINITY and limit < AMPLE:
        import subprocess

        tried = subprocess.run([sys.executable, "-c", TRIAL], stderr=subprocess.PIPE, check=False)
        said = tried.stderr.decode(errors="replace").strip()
        if tried.returncode < 0 or any(words in said for words in (*SAID, "MemoryError", "SystemError")):
            _end(MemoryError(said.rpartition("\n")[2]))
    before = sys.excepthook

    def explain(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if lacks_memory(error):
            _end(error)
        before(kind, error, traceback)

    sys.excepthook = explain


def _end(error: BaseException) -> None:
    os.write(2, f"{lack_of_memory(error)}\n".encode(errors="replace"))
    os._exit(FAULT)
