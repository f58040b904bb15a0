"""Folders, pictures and classes whose names are bytes that are not UTF-8."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from storage.checkpoint import load_state
from tests.program import ROOT

SMALL = "--epochs 1 --batch_size 32 --population 2 --tournament_size 1 --elitism 0 --generations 1 --finalists 0"
REST = "--early_stopping none --surrogate off --cpu_workers 1"


def command(script: str, folder: Path, *arguments: str) -> None:
    line = [sys.executable, str(ROOT / script), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(line, cwd=folder, env=environment, capture_output=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr.decode(errors="replace")


def test_a_run_in_such_a_folder_on_such_pictures_ends_is_resumed_and_is_evaluated(tmp_path: Path) -> None:
    data, run = tmp_path / "d\udcffta", tmp_path / "r\udcffn"
    for shade, name in enumerate(("cat", "d\udcfeg")):
        (data / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.full((8, 8, 3), 100 * shade + number, dtype=np.uint8)
            Image.fromarray(pixels).save(data / name / f"p\udcff{number}.png")
    command("evolution.py", tmp_path, "--dataset", str(data), "--output_dir", run.name, *f"{SMALL} {REST}".split())
    command("evolution.py", tmp_path, "--resume", run.name, "--cpu_workers", "1")
    assert load_state(run)[1].data.dataset == str(data)
    best = run / "best_model"
    weights, info = str(best / "best_model.pt"), str(best / "info.json")
    command("evaluate.py", tmp_path, "--model_path", weights, "--info_path", info)
    for page in (run / "results" / "report.html", best / "MODEL_CARD.md"):
        page.read_text(encoding="utf-8")  # raises where it is none
    assert "d\N{REPLACEMENT CHARACTER}g" in (best / "evaluation.html").read_text(encoding="utf-8")
