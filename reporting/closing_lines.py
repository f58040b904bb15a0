"""What a command says at the end of a run: the best network, how good it is, what it cost, and what to do next."""

from __future__ import annotations

from pathlib import Path

from records import RunFault
from records.command_line import command_text
from records.objectives import quantity
from records.runs import Ablation, ModelInfo, TestScore
from records.settings import DataConfig
from records.words import counted, duration, mean_with_error, percentage_points
from reporting.analysis.ablation import by_effect
from reporting.analysis.devices import timeline
from reporting.analysis.energy import energy_used
from reporting.run_view import RunView
from search.early_stopping import epochs_spent
from search.ranking import pareto_front

TITLE = 21  # characters


def closing_lines(view: RunView, trainings: int, optuna_study: Path | None = None) -> list[str]:
    """The end of a run in words; `trainings` ended in this session. Lines that begin with "next" are commands."""
    run, info = view.run, view.info
    if info is None or info.result is None or info.individual.fitness is None or info.test is None:
        raise RunFault(f"the best network of {run.root} is not complete; resume the run")
    energy = energy_used(view.results.values())
    return [
        "",
        *best_lines(view, info, info.individual.fitness.value),
        *finalist_lines(info),
        *test_lines(info.test),
        f"size                 {info.result.parameters:,} parameters, {info.result.flops / 1e6:,.1f} MFLOPs an image",
        *front_lines(view),
        *(ablation_lines(view.ablation) if view.ablation else []),
        f"trainings            {trainings_in_words(view, trainings)}",
        f"device time          {device_time_in_words(view)}",
        *([f"energy               {energy.words}"] if energy else []),
        f"files                {run.best_model.parent}/, {run.history}",
        *([f"tensorboard          tensorboard --logdir {run.tensorboard}"] if run.tensorboard.exists() else []),
        *([f"optuna study         {optuna_study}"] if optuna_study else []),
        f"next                 {evaluate_command(view)}",
        f"report               {run.report}",
    ]


def best_lines(view: RunView, info: ModelInfo, value: float) -> list[str]:
    final = before = ""
    if info.split == "all" and info.result is not None:
        final = f", then {len(info.result.epochs)} epochs on all but the test images"
        before = ", before the final training"
    return [
        f"best network         {info.individual.chromosome} ({info.individual.name}{final})",
        f"                     {info.description}",
        f"{f'validation {view.metric_name}':<20} {value:.4f} ({view.state.facts.val_images:,} images{before})",
    ]


def test_lines(test: TestScore) -> list[str]:
    """What the best network reached on the test images; by the search's own measure first."""
    where = f"({test.images:,} images, on which no choice was based)"
    plain = f"test accuracy        {test.accuracy:.4f}"
    if test.balanced_accuracy is None:
        return [f"{plain} {where}"]
    return [f"test balanced accuracy {test.balanced_accuracy:.4f} {where}", plain]


def finalist_lines(info: ModelInfo) -> list[str]:
    """What the finalists reached with fresh seeds, the best first."""
    lines: list[str] = []
    for finalist in info.finalists:
        reached = mean_with_error(finalist.mean, finalist.standard_error)
        title = "with fresh seeds" if not lines else ""
        lines.append(f"{title:<{TITLE}}{reached} ({finalist.individual}, n={len(finalist.accuracies)})")
    return lines


def front_lines(view: RunView) -> list[str]:
    """The Pareto front of a run with several objectives, by accuracy."""
    objectives = view.state.search.objectives
    if len(objectives) == 1:
        return []
    lines: list[str] = []
    for each in pareto_front(view.individuals, objectives):
        if each.fitness is not None:
            costs = ", ".join(quantity(name, each.fitness.objective(name)) for name in objectives[1:])
            title = "Pareto front" if not lines else ""
            lines.append(f"{title:<{TITLE}}{each.fitness.value:.4f}, {costs} ({each.name})")
    return lines


def ablation_lines(ablation: Ablation) -> list[str]:
    """Up to three bits of the best whose intervals leave out zero, the largest loss first."""
    clear = [pair for pair in by_effect(ablation) if pair[1].is_clear]
    lines: list[str] = [] if clear else ["ablation             no bit of the best makes a clear difference"]
    for neighbour, apart in clear[:3]:
        title = "ablation" if not lines else ""
        what = f"{neighbour.gene.replace('_', ' ')} {neighbour.best_value} → {neighbour.value}"
        lines.append(
            f"{title:<{TITLE}}{what}: {percentage_points(apart.mean, apart.half)} (n={len(neighbour.accuracies)})"
        )
    return lines


def trainings_in_words(view: RunView, trainings: int) -> str:
    """How many networks were trained, what was spared, and how many trainings ended in this session."""
    individuals, state = view.individuals, view.state
    networks = len({each.jobs[-1] for each in individuals})
    reused = sum(bool(result.cost.reused) for result in state.results.values())
    full = networks * state.training.epochs
    words = f"{networks} networks for {len(individuals)} individuals: {len(individuals) - networks} spared"
    words += " (elites and known networks)"
    if state.search.early_stopping != "none":
        words += f"; {epochs_spent(state):,} of {full:,} epochs (early stopping)"
    if reused:
        words += f"; {reused} from earlier runs"
    return f"{words}; {trainings} in this session"


def device_time_in_words(view: RunView) -> str:
    """What all trainings of the run took of its devices, earlier sessions included."""
    found = timeline(view.results.values())
    return f"{duration(found.busy)} on {counted(len(found.devices), 'device')}, {found.utilisation:.0%} busy"


def evaluate_command(view: RunView) -> str:
    arguments = ["--model_path", str(view.run.best_model), "--info_path", str(view.run.best_info)]
    if view.state.data.data_dir != DataConfig().data_dir:
        arguments += ["--data_dir", view.state.data.data_dir]
    return command_text("evaluate.py", *arguments)
