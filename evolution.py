"""Evolves convolutional neural networks for image classification; see --help.

A genetic algorithm proposes chromosomes, each decodes into a network, every new network trains as
a job of its own on one device, validation accuracy is its fitness, and from that the next
generation is bred. A run can be killed at any instant and resumed to the same end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from image_data.catalogue import NAMED_SETS
from records import DataConfig, EvolutionConfig, InputError, Limits, RunFault, RunState, TrainingConfig
from records.canonical import VERSION
from records.command_line import DONE, FAULT, STOPPED, command_text, require_package, run_command
from records.config_file import config_text, with_config
from records.flags import Parser, add_settings, given
from records.runs import Ablation, DataFacts, ModelInfo, TestScore
from records.words import counted, percentage_points, quantity
from reporting.analysis.ablation import by_effect
from reporting.analysis.devices import timeline
from reporting.analysis.energy import energy_used
from reporting.watchers.tensorboard_log import TensorBoardLog
from run.algorithms import new_search
from search.early_stopping import rungs_of
from search_space.space import NetworkSpace
from search_space.tables import encoding_of, gene_table, gene_table_text, refuse_coded
from storage.audit import audit
from storage.checkpoint import load_state, refuse_changes, save_state
from storage.directory import RunDirectory
from storage.files import write_durably
from storage.shared_locks import refuse_local_locks
from worker_manager import StopRequested, StopSignals

# Whatever imports torch is imported after the folder is locked, so that a refusal is instant.
if TYPE_CHECKING:
    import torch

    from image_data import ImageData
    from reporting.watchers.optuna_study import OptunaStudy
    from run.loop import Search
    from workers.local import LocalWorkers
    from workers.ray_cluster import RayWorkers


FEW_STEPS = 4  # of an epoch: too few to learn much in the usual number of epochs
EXAMPLES = """examples:
  python evolution.py --generations 20 --population 10 --gpus 0 1 2 3
  python evolution.py --dataset digits --cpu_workers 2
  python evolution.py --resume checkpoints/generation_5/ga_state.json

exit status: 0 done, 2 bad input, 3 stopped by a person or a time limit (resumable),
4 a fault of disk, memory or devices (resumable), 1 anything else"""


def build_parser() -> Parser:
    parser = Parser(
        prog="evolution.py",
        description="Evolves convolutional neural networks for image classification.",
        epilog=EXAMPLES,
    )
    add_settings(parser, "search", EvolutionConfig)
    add_settings(parser, "training of each network (the protocol)", TrainingConfig)
    add_settings(parser, "data", DataConfig)
    devices = parser.add_argument_group("devices and jobs")
    devices.add_argument("--gpus", type=int, nargs="+", metavar="N", help="GPUs to use (default: all that are visible)")
    devices.add_argument(
        "--workers_per_gpu",
        type=count_or_auto,
        default=1,
        metavar="N",
        help="trainings at once on one GPU (default: 1); auto: as many as fit its memory and pay",
    )
    devices.add_argument(
        "--cpu_workers", type=int, metavar="N", help="train on the CPU, N at once (default without GPUs: one per core)"
    )
    devices.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="train on a Ray cluster: HOST:PORT, auto (that of this machine), or local (started here for this run)",
    )
    add_settings(parser, "limits (they change no result)", Limits)
    folder = parser.add_argument_group("the run's folder")
    folder.add_argument("--output_dir", metavar="FOLDER", help="where the run's files go (default: the current folder)")
    folder.add_argument(
        "--resume", metavar="PATH", help="go on with a run: its folder, or one of its ga_state.json files"
    )
    folder.add_argument(
        "--rewind", action="store_true", help="resume from a state older than the newest, and drop the newer ones"
    )
    folder.add_argument(
        "--reuse",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="earlier runs with the same data and protocol; what they trained is not trained again",
    )
    folder.add_argument(
        "--config", metavar="FILE", help="settings from a TOML file, such as the run.toml of a run; flags win over it"
    )
    folder.add_argument("--overwrite", action="store_true", help="remove the run that the folder holds, and start anew")
    parser.add_argument(
        "--plan", action="store_true", help="say what the run would train and what it would cost, and end"
    )
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="also write results/tensorboard/, for: tensorboard --logdir results/tensorboard",
    )
    parser.add_argument(
        "--optuna_study",
        metavar="FILE",
        help="also add every individual to an Optuna study in this journal file",
    )
    parser.add_argument("--quiet", action="store_true", help="print the closing lines and warnings only")
    return parser


def count_or_auto(text: str) -> int | None:
    """The value of a flag that takes a number or "auto" (None)."""
    return None if text == "auto" else int(text)


def check_options(options: argparse.Namespace) -> None:
    """Raises `InputError` for options that do not go together; fills in what one means for another."""
    if getattr(options, "scheme", None) == "steady_state":
        options.early_stopping = getattr(options, "early_stopping", "none")
    Limits(**given(options, Limits))  # raises for values without meaning
    for name, least in (("workers_per_gpu", 1), ("cpu_workers", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise InputError(f"--{name} must be at least {least}, but is {value}")
    if options.gpus is not None and options.cpu_workers is not None:
        raise InputError("--gpus and --cpu_workers exclude each other; leave one out")
    if options.cluster is not None:
        require_package("ray", "--cluster")
        if options.gpus is not None:
            raise InputError("--gpus names GPUs of this machine; a --cluster uses all that it has: leave it out")
        if options.workers_per_gpu is None:
            raise InputError("--workers_per_gpu auto is for the GPUs of this machine; on a --cluster name a number")
    if options.resume and options.overwrite:
        raise InputError("--resume and --overwrite exclude each other; leave one out")
    if options.plan and options.resume:
        raise InputError("--plan is for a run that has not begun; leave --resume out")
    if options.tensorboard:
        require_package("tensorboard", "--tensorboard")
    if options.optuna_study is not None:
        require_package("optuna", "--optuna_study")
    if options.rewind and not options.resume:
        raise InputError("--rewind needs the state to go back to; name it with --resume")


def open_run(options: argparse.Namespace) -> tuple[RunDirectory, RunState | None]:
    """The folder of the run, and the state it goes on from; None for a new run. Nothing is written yet."""
    if options.resume is None:
        run = RunDirectory(Path(options.output_dir or "."))
        if run.states() and not options.overwrite:
            newest = run.states()[0][1]
            raise InputError(
                f"{run.root.resolve()} holds another run; go on with it by --resume {newest}, "
                "choose another folder by --output_dir, or remove it by --overwrite"
            )
        for record in (EvolutionConfig, TrainingConfig, DataConfig):
            record(**given(options, record))  # raises for values without meaning, before anything is touched
        search = EvolutionConfig(**given(options, EvolutionConfig))
        refuse_coded(gene_table(search.encoding), given(options, TrainingConfig))
        return run, None
    run, state = load_state(Path(options.resume))
    newest_number = max((number for number, _ in run.states()), default=0)
    if options.output_dir is not None and Path(options.output_dir).resolve() != run.root.resolve():
        run = RunDirectory(Path(options.output_dir))
        if run.states():
            raise InputError(f"--output_dir {run.root} holds another run; name an empty folder, or leave the flag out")
    elif Path(options.resume).is_file() and state.generation < newest_number and not options.rewind:
        raise InputError(
            f"{options.resume} is older than the newest state, generation {newest_number}; resume "
            f"{run.state(newest_number)}, or add --rewind to drop what came later"
        )
    refuse_changes(
        state, {**given(options, EvolutionConfig), **given(options, TrainingConfig), **given(options, DataConfig)}
    )
    wanted = {"dataset": state.data.dataset, **given(options, DataConfig)}["dataset"]
    if wanted != state.data.dataset and {wanted, state.data.dataset} & set(NAMED_SETS):
        raise InputError(f"--dataset is {state.data.dataset} in this run and cannot become {wanted}")
    named = given(options, EvolutionConfig).get("encoding")
    if named is not None and gene_table_text(gene_table(named)) != state.gene_table:
        raise InputError(
            f"the gene table {named} has changed since this run began; "
            "start a new run with another --output_dir, or leave the flag out"
        )
    search = replace(state.search, **given(options, EvolutionConfig))
    data = replace(state.data, **given(options, DataConfig))
    if search.generations < state.generation:
        raise InputError(f"--generations is {search.generations}, but {state.generation} are done already")
    return run, replace(state, search=search, data=data)


def new_state(options: argparse.Namespace, data: ImageData, workers: LocalWorkers | RayWorkers) -> RunState:
    """The state of a run that has not begun: every setting resolved, and the first population."""
    from training.protocol import resolve_protocol

    search = EvolutionConfig(**given(options, EvolutionConfig))
    config = DataConfig(**given(options, DataConfig))
    if Path(config.dataset).exists() and config.dataset not in NAMED_SETS:
        config = replace(config, dataset=str(Path(config.dataset).resolve()))  # a resumed run may stand elsewhere
    training = TrainingConfig(**given(options, TrainingConfig))
    facts, table = facts_of(data), gene_table_text(gene_table(search.encoding))
    return RunState(
        version=VERSION,
        search=search,
        training=resolve_protocol(
            training, config, data.input_shape, workers.device == "cuda", data.class_counts, workers.bfloat16
        ),
        data=config,
        facts=facts,
        gene_table=table,
        generations=(),
        results={},
        population=tuple(new_search(search, NetworkSpace(encoding_of(facts, table))).ask()),
    )


def earlier_runs(folders: Sequence[str], state: RunState) -> list[RunDirectory]:
    """The runs whose results may be taken over. Raises `InputError` that names what differs, where something does."""
    found = []
    for folder in folders:
        run, other = load_state(Path(folder))
        if other.facts.fingerprint != state.facts.fingerprint:
            raise InputError(
                f"--reuse {folder}: its data is another ({other.data.dataset}, fingerprint "
                f"{other.facts.fingerprint[:12]}; here {state.data.dataset}, {state.facts.fingerprint[:12]})"
            )
        for item in fields(TrainingConfig):
            theirs, ours = getattr(other.training, item.name), getattr(state.training, item.name)
            if item.name == "epochs" and set(rungs_of(other)) & set(rungs_of(state)):
                continue
            if theirs != ours:
                raise InputError(f"--reuse {folder}: its --{item.name} is {theirs}, here it is {ours}")
        found.append(run)
    return found


def open_study(options: argparse.Namespace, state: RunState) -> OptunaStudy | None:
    """The study that shows the run to Optuna, if it was asked for."""
    if options.optuna_study is None:
        return None
    # Imported late: Optuna takes longer to import than most refusals take.
    from reporting.watchers.optuna_study import OptunaStudy

    return OptunaStudy(Path(options.optuna_study), state)


def check_algorithm(search: EvolutionConfig) -> None:
    """Raises `InputError` for a sampler of Optuna that is missing or cannot propose networks."""
    if search.sampler is not None:
        require_package("optuna", f"--algorithm {search.algorithm}")
        # Imported late, like everything that needs Optuna.
        from search.optuna_search import check_sampler

        check_sampler(search)


def facts_of(data: ImageData) -> DataFacts:
    return DataFacts(
        fingerprint=data.fingerprint,
        input_shape=data.input_shape,
        class_names=data.class_names,
        train_images=len(data.train_labels),
        val_images=len(data.val_labels),
        test_images=len(data.test_labels),
    )


def open_workers(options: argparse.Namespace, run: RunDirectory, threads: int) -> LocalWorkers | RayWorkers:
    """The workers of this machine, or those of a cluster."""
    timeout = Limits(**given(options, Limits)).job_timeout
    if options.cluster is not None:
        # Imported late: Ray need not be there, and a cluster that is not is told of before torch is imported.
        from workers.ray_connection import try_connection

        try_connection(options.cluster)
        from workers.ray_cluster import RayWorkers

        return RayWorkers(options.cluster, run, threads, options.cpu_workers, options.workers_per_gpu, timeout)
    from workers.devices import find_slots
    from workers.local import LocalWorkers

    device, slots = find_slots(options.gpus, options.cpu_workers, options.workers_per_gpu, threads)
    return LocalWorkers(run, device, slots, timeout)


def own_device(options: argparse.Namespace, kind: str) -> torch.device:
    """The device on which this process measures and evaluates: of the kind that trains, if it has one."""
    import torch

    if kind == "cuda" and not torch.cuda.is_available():
        kind = "cpu"  # a cluster's main process may stand on a node without a GPU
    return torch.device(kind, options.gpus[0]) if options.gpus else torch.device(kind)


def resume_command(options: argparse.Namespace, run: RunDirectory) -> str:
    """The exact command that goes on with the run on the same devices."""
    command = ["--resume", str(run.states()[0][1])]
    flags = {
        "reuse": options.reuse or None,
        "gpus": options.gpus,
        "cpu_workers": options.cpu_workers,
        "cluster": options.cluster,
        "optuna_study": options.optuna_study,
        **given(options, Limits),
    }
    if options.tensorboard:
        command.append("--tensorboard")
    if options.workers_per_gpu != 1:
        flags["workers_per_gpu"] = options.workers_per_gpu or "auto"
    for name, value in flags.items():
        if value is not None:
            command += [f"--{name}", *(map(str, value) if isinstance(value, list) else [str(value)])]
    return command_text("evolution.py", *command)


def evolve(options: argparse.Namespace, run: RunDirectory, state: RunState | None, stop: StopSignals) -> int:
    """The run itself, in a folder that is locked."""
    from image_data import load_image_data
    from reporting.console import Console
    from reporting.handout.model_card import model_card
    from reporting.pages.report_page import write_report
    from run.ablation import ablate
    from run.best_model import hand_over
    from run.latency import measure_latency
    from run.loop import Search
    from run.steady_loop import SteadySearch

    limits = Limits(**given(options, Limits))
    console = Console(options.quiet)
    threads = state.training.threads if state else TrainingConfig(**given(options, TrainingConfig)).threads
    with open_workers(options, run, threads) as workers:
        data = load_image_data(state.data if state else DataConfig(**given(options, DataConfig)))
        if state is None:
            state = new_state(options, data, workers)
        elif facts_of(data) != state.facts:
            raise InputError(
                f"data set {state.data.dataset} is not the one this run began with (fingerprint "
                f"{data.fingerprint[:12]}, expected {state.facts.fingerprint[:12]}); name the right one by --dataset"
            )
        reused = earlier_runs(options.reuse, state)
        study = open_study(options, state)
        if options.overwrite:
            run.clear()
        audit(run, state.results, lambda warning: console.say(warning, always=True))
        run.drop_states_after(state.generation)
        save_state(run, state)
        write_durably(run.config, config_text(state.search, state.training, state.data).encode())
        workers.hold(data, state.training)
        facts, count = facts_in_words(state.facts), counted(len(workers.slots), "worker")
        console.say(f"data set {state.data.dataset}: {facts}; {count} on {workers.where}")
        for note in data_notes(state, data):
            console.say(f"note: {note}")
        data = data.only_test()  # the workers have the rest, and it is counted once
        generations = state.search.generations if state.search.budget is None else None
        console.open([slot.name for slot in workers.slots], generations, state.training.measure)
        first = own_device(options, workers.device)
        latency = partial(
            measure_latency, device=first, precision=state.training.precision, threads=state.training.threads
        )
        try:
            table, measure = encoding_of(state.facts, state.gene_table).table, state.training.measure
            log = TensorBoardLog(run, table, measure) if options.tensorboard else None
            kind = SteadySearch if state.search.scheme == "steady_state" else Search
            search = kind(run, state, workers, console, stop, limits, reused, latency, log, study)
            search.evolve()
            info = hand_over(search, data, first)
            write_durably(run.model_card, model_card(info, search.state).encode())
            ablation = ablate(search, info)
        finally:
            console.close()
    for line in closing_lines(search, info, ablation):
        console.say(line, always=True, wrap=not line.startswith("next "))  # a command stays in one piece
    console.say(f"report               {write_report(run, search.state)}", always=True)
    return DONE


def show_plan(options: argparse.Namespace, stop: StopSignals) -> int:
    """Measures a few networks on the devices given, in a folder that is removed again, and prints the plan."""
    from image_data import load_image_data
    from reporting.console import Console
    from run.loop import Search
    from run.plan import brief, fewer_images, measure, plan_lines, sample

    limits = Limits(**given(options, Limits))
    threads = TrainingConfig(**given(options, TrainingConfig)).threads
    with tempfile.TemporaryDirectory(prefix="plan_") as folder:
        run = RunDirectory(Path(folder))
        with open_workers(options, run, threads) as workers:
            data = load_image_data(DataConfig(**given(options, DataConfig)))
            state = new_state(options, data, workers)
            workers.hold(fewer_images(data), state.training)
            networks = sample(NetworkSpace.of(state), state.search.seed)
            search = Search(run, brief(state, data), workers, Console(quiet=True), stop, limits)
            time, rates = measure(search, networks)
            names = [slot.name for slot in workers.slots]
    for line in plan_lines(state, networks, time, rates, names, limits.models_kept):
        print(line)
    return DONE


def facts_in_words(facts: DataFacts) -> str:
    channels, height, width = facts.input_shape
    return (
        f"{facts.train_images:,} training, {facts.val_images:,} validation and {facts.test_images:,} test images "
        f"of {height}×{width}×{channels} in {len(facts.class_names)} classes"
    )


def data_notes(state: RunState, data: ImageData) -> list[str]:
    """What a person should know of how these data are trained on."""
    images, batch, notes = state.facts.train_images, state.training.batch_size, list[str]()
    if state.training.metric == "balanced_accuracy":
        counts = data.class_counts
        notes.append(
            f"classes have {min(counts):,} to {max(counts):,} training images; fitness is the balanced accuracy, the "
            "mean over classes of the share that is found (--metric accuracy for the share of all images)"
        )
    if images < FEW_STEPS * batch:
        steps = max(1, images // batch)
        notes.append(
            f"an epoch of {images:,} images is {counted(steps, 'step')} of {min(batch, images)}; a smaller "
            "--batch_size or more --epochs train for more"
        )
    return notes


def closing_lines(search: Search, info: ModelInfo, ablation: Ablation | None) -> list[str]:
    run, individual, result = search.run, info.individual, info.result
    if result is None or individual.fitness is None or info.test is None:
        raise RunFault(f"the best network is not complete: {info}")
    evaluate = ["--model_path", str(run.best_model), "--info_path", str(run.best_info)]
    if search.state.data.data_dir != DataConfig().data_dir:
        evaluate += ["--data_dir", search.state.data.data_dir]
    final = f", then {len(result.epochs)} epochs on all but the test images" if info.split == "all" else ""
    before = ", before the final training" if info.split == "all" else ""
    files, energy = f"{run.best_model.parent}/, {run.history}", energy_used(search.results.values())
    return [
        "",
        f"best network         {individual.chromosome} ({individual.name}{final})",
        f"                     {info.description}",
        f"{f'validation {search.state.training.measure}':<20} {individual.fitness.value:.4f} "
        f"({search.state.facts.val_images:,} images{before})",
        *finalist_lines(info),
        *test_lines(info.test),
        f"size                 {result.parameters:,} parameters, {result.flops / 1e6:,.1f} MFLOPs an image",
        *front_lines(search),
        *(ablation_lines(ablation) if ablation else []),
        f"trainings            {trainings_in_words(search)}",
        f"device time          {device_time_in_words(search)}",
        *([f"energy               {energy.words}"] if energy else []),
        f"files                {files}",
        *([f"tensorboard          tensorboard --logdir {run.tensorboard}"] if search.log else []),
        *([f"optuna study         {search.study.path}"] if search.study else []),
        f"next                 {command_text('evaluate.py', *evaluate)}",
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
        error = finalist.standard_error
        spread = "" if error is None else f" ± {error:.4f}"
        title = "with fresh seeds" if not lines else ""
        lines.append(f"{title:<21}{finalist.mean:.4f}{spread} ({finalist.individual}, n={len(finalist.accuracies)})")
    return lines


def front_lines(search: Search) -> list[str]:
    """The Pareto front of a run with several objectives, by accuracy."""
    objectives = search.state.search.objectives[1:]
    lines: list[str] = []
    for each in search.front():
        if each.fitness is not None:
            costs = ", ".join(quantity(name, each.fitness.objective(name)) for name in objectives)
            title = "Pareto front" if not lines else ""
            lines.append(f"{title:<21}{each.fitness.value:.4f}, {costs} ({each.name})")
    return lines


def ablation_lines(ablation: Ablation) -> list[str]:
    """Up to three bits of the best whose intervals leave out zero, the largest loss first."""
    found = by_effect(ablation)
    clear = [pair for pair in found if pair[1].is_clear]
    lines: list[str] = [] if clear else ["ablation             no bit of the best makes a clear difference"]
    for neighbour, apart in clear[:3]:
        half = "" if apart.half is None else f" ± {100 * apart.half:.2f}"
        title = "ablation" if not lines else ""
        what = f"{neighbour.gene.replace('_', ' ')} {neighbour.best_value} → {neighbour.value}"
        lines.append(f"{title:<21}{what}: {percentage_points(apart.mean)}{half} (n={len(neighbour.accuracies)})")
    return lines


def device_time_in_words(search: Search) -> str:
    """What all trainings of the run took of its devices, earlier sessions included."""
    from reporting.console import duration

    found = timeline(search.results.values())
    return f"{duration(found.busy)} on {counted(len(found.devices), 'device')}, {found.utilisation:.0%} busy"


def trainings_in_words(search: Search) -> str:
    individuals, results = search.individuals(), search.state.results
    networks = len({each.jobs[-1] for each in individuals})
    reused = sum(bool(result.cost.reused) for result in results.values())
    spent, full = search.epochs_spent(), networks * search.state.training.epochs
    words = f"{networks} networks for {len(individuals)} individuals: {len(individuals) - networks} spared"
    words += " (elites and known networks)"
    if search.state.search.early_stopping != "none":
        words += f"; {spent:,} of {full:,} epochs (early stopping)"
    if reused:
        words += f"; {reused} from earlier runs"
    return f"{words}; {search.trainings} in this session"


def main(arguments: Sequence[str]) -> int:
    parser = build_parser()
    options = parser.parse(with_config(parser, arguments))
    check_options(options)
    run, state = open_run(options)
    check_algorithm(state.search if state else EvolutionConfig(**given(options, EvolutionConfig)))
    if options.plan:
        with StopSignals(Limits(**given(options, Limits)).max_hours) as stop:
            return show_plan(options, stop)
    if options.cluster is not None:
        refuse_local_locks(run.root)
    run.lock()
    try:
        state = open_run(options)[1]  # again, now that no other process can change it
        with StopSignals(Limits(**given(options, Limits)).max_hours) as stop:
            return evolve(options, run, state, stop)
    except StopRequested as request:
        kept = "every finished training is kept" if run.states() else "the run had not begun, nothing was written"
        print_advice(options, run, f"stopped by {request}; {kept}")
        return STOPPED
    except RunFault as fault:
        print_advice(options, run, f"error: {fault}")
        return FAULT
    except OSError as error:
        print_advice(options, run, f"error: {error}")
        return FAULT
    finally:
        run.unlock()


def print_advice(options: argparse.Namespace, run: RunDirectory, message: str) -> None:
    """What happened, and how to go on."""
    print(message, file=sys.stderr)
    if run.states():
        print(f"to go on: {resume_command(options, run)}", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
