"""Runs the full counts of all promises, or a part of them, and adds the outcome to a file of results.

    python -m tests.faults [--promise N] [--variant plain|rich|steady] [--count N] [--seed N] [--results FILE]

Cases are numbered, and the number of a case is its seed: replay a failure with --promise, --count 1
and --seed. Without --seed, a part begins where the previous parts ended.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from storage.files import write_durably
from tests.faults.promises import PROMISES, ROOT, Promise
from tests.faults.small_run import VARIANTS


def run_cases(promise: Promise, first: int, count: int) -> dict[str, Any]:
    """The outcome of these cases: their number, those that failed, and the seconds they took."""
    clock, broken = time.monotonic(), []
    for seed in range(first, first + count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                promise.hold(seed, Path(folder, "run"))
            except Exception:
                broken.append(seed)
                print(f"promise {promise.number}, {promise.name}, seed {seed} is BROKEN:")
                traceback.print_exc()
        if sys.stderr.isatty():
            print(f"\r{promise.name}: {seed + 1 - first}/{count} ", end="", file=sys.stderr, flush=True)
    return {"first": first, "count": count, "broken": broken, "seconds": time.monotonic() - clock}


def run_pytest(words: str, tests: list[str], examples: int) -> dict[str, Any]:
    """The same for promises whose cases are drawn by Hypothesis or form a fixed list."""
    clock = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=0", *tests]
    status = subprocess.run(command, cwd=ROOT, env={**os.environ, "EXAMPLES": str(examples)}, check=False).returncode
    broken = [] if status == 0 else [0]
    return {"first": 0, "count": examples, "broken": broken, "seconds": time.monotonic() - clock, "words": words}


BY_PYTEST = {
    13: (
        "state is validated, never guessed",
        ["tests/faults/test_validation.py", "-k", "equal_or_refused or any_"],
        10_000,
    ),
    14: ("loading never runs code", ["tests/faults/test_validation.py", "-k", "not equal_or_refused and not any_"], 1),
    17: ("the fault tests themselves work", ["tests/faults/test_mutations.py", "-m", ""], 1),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--promise", type=int, help="the number of one promise (default: all)")
    parser.add_argument("--variant", choices=VARIANTS, help="of the run that is disturbed (default: all)")
    parser.add_argument("--count", type=int, help="cases (default: what is missing to the full count)")
    parser.add_argument("--seed", type=int, help="number of the first case")
    parser.add_argument("--results", type=Path, default=ROOT / "fault_results.json")
    options = parser.parse_args()
    results: dict[str, list[dict[str, Any]]] = {}
    if options.results.exists():
        results = json.loads(options.results.read_text())
    for promise in PROMISES:
        if options.promise in (None, promise.number) and options.variant in (None, promise.variant):
            parts = results.setdefault(f"{promise.number} {promise.name}", [])
            first = options.seed if options.seed is not None else sum(part["count"] for part in parts)
            count = options.count if options.count is not None else max(0, promise.full_count - first)
            if count:
                parts.append(run_cases(promise, first, count))
                write_durably(options.results, json.dumps(results, indent=1).encode())
    for number, (words, tests, examples) in BY_PYTEST.items():
        if options.promise in (None, number):
            part = run_pytest(words, tests, options.count or examples)
            results.setdefault(f"{number} {words}", []).append(part)
            write_durably(options.results, json.dumps(results, indent=1).encode())
    return summary(results)


def summary(results: dict[str, list[dict[str, Any]]]) -> int:
    """Prints one line for each promise in the table; returns the exit status, which says whether all were held."""
    names = {
        f"{promise.number} {promise.name}": promise.words
        + ("" if promise.variant == "plain" else f" ({promise.variant})")
        for promise in PROMISES
    }
    failed = 0
    for key in sorted(results, key=lambda key: int(key.split()[0])):
        parts = results[key]
        broken = sum(len(part["broken"]) for part in parts)
        failed += broken
        seeds = ", ".join(f"{part['first']}–{part['first'] + part['count'] - 1}" for part in parts)
        count, seconds = (sum(part[name] for part in parts) for name in ("count", "seconds"))
        verdict = f"{broken} BROKEN" if broken else "held"
        words = names.get(key, key.partition(" ")[2])
        print(f"{key.split()[0]:>2}  {words:<59} {count:>6} cases  {verdict}  seeds {seeds}  {seconds:.0f} s")
    total = sum(part["seconds"] for parts in results.values() for part in parts)
    print(f"total {total:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
