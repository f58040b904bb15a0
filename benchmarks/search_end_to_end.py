"""Whole runs on real images instead of a table: what each search finds with an equal number of epochs.

    python benchmarks/search_end_to_end.py --seeds 5 --budget 40 --epochs 3 [--dataset fashion_mnist --data_dir data]

Each search is `evolution.py` itself, with one or two flags; all train under the same protocol and end
after an equal number of epochs. Compared is the accuracy of the network finally chosen, on test images
that played no part in choosing its weights. Runs share their trainings (`--reuse`), which changes no
result, so the benchmark trains each network only once. The space is that of the standard table with 16
to 128 filters, which a CPU can handle.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from records.machine import processor_name
from search_space.genes import STANDARD, GeneTable
from search_space.tables import gene_table_text

SEARCHES = {
    "the engine, with its defaults": [],
    "without the predictor": ["--surrogate", "off"],
    "the plain genetic algorithm": ["--surrogate", "off", "--early_stopping", "none"],
    "random search": ["--algorithm", "random", "--early_stopping", "none"],
}


def small_networks() -> GeneTable:
    """The standard table without its first gene, the filter multiplier: networks of 16 to 128 filters."""
    return GeneTable(STANDARD.genes[1:], STANDARD.length)


def run(flags: list[str], folder: Path, reuse: list[Path], options: argparse.Namespace, seed: int) -> tuple[float, ...]:
    """Test and validation accuracy of the network that a run hands over, its epochs and its seconds."""
    command = [sys.executable, str(ROOT / "evolution.py"), "--quiet", "--output_dir", str(folder)]
    command += [
        "--dataset",
        options.dataset,
        "--data_dir",
        options.data_dir,
        "--encoding",
        str(folder.parent / "small.json"),
    ]
    command += [
        "--epochs",
        str(options.epochs),
        "--budget",
        str(options.budget),
        "--seed",
        str(seed),
        "--keep_models",
        "none",
    ]
    command += ["--batch_size", str(options.batch_size)]
    if options.train_limit:
        command += ["--train_limit", str(options.train_limit)]
    if reuse:
        command += ["--reuse", *map(str, reuse)]
    clock = time.monotonic()
    finished = subprocess.run([*command, *flags], capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{finished.stderr}")
    info = json.loads((folder / "best_model" / "info.json").read_text())["content"]
    results = [json.loads(path.read_text())["content"] for path in (folder / "results" / "jobs").glob("*.json")]
    epochs = sum(len(result["epochs"]) for result in results)
    return info["test"]["accuracy"], info["individual"]["fitness"]["value"], epochs, time.monotonic() - clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=40, help="full trainings of each run, finalists included")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--train_limit", type=int)
    parser.add_argument("--batch_size", type=int, default=128)
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="more flags for the engine's row")
    options = parser.parse_args()
    print(
        f"{options.dataset}, {options.seeds} seeds, {options.budget} trainings of {options.epochs} epochs, "
        f"batch {options.batch_size}; "
        f"{processor_name()}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    searches = {name: [*flags, *(options.flags if not flags else [])] for name, flags in SEARCHES.items()}
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in searches}
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "small.json").write_text(gene_table_text(small_networks()), encoding="utf-8")
        folders: list[Path] = []
        for seed in range(options.seeds):
            for number, (name, flags) in enumerate(searches.items()):
                folder = Path(scratch, f"{seed}_{number}")
                found[name].append(run(flags, folder, folders, options, seed))
                folders.append(folder)
                test, validation, epochs, seconds = found[name][-1]
                print(
                    f"  seed {seed}, {name}: test {test:.4f}, validation {validation:.4f}, "
                    f"{epochs:,.0f} epochs, {seconds:.0f} s",
                    flush=True,
                )
    print(f"\n{'search':<32}{'test accuracy, mean ± s.e.':>28}{'median':>9}{'epochs':>9}")
    for name, runs in found.items():
        tests = [each[0] for each in runs]
        error = float(np.std(tests, ddof=1)) / len(tests) ** 0.5 if len(tests) > 1 else float("nan")
        epochs = statistics.fmean(each[2] for each in runs)
        print(f"{name:<32}{statistics.fmean(tests):>18.4f} ± {error:.4f}{statistics.median(tests):>9.4f}{epochs:>9.0f}")


if __name__ == "__main__":
    main()
