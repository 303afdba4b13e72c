"""The command line: it parses, calls and prints. `__main__` turns its errors into one line."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import click

from runner import __version__, registry, store, summary, terminal
from runner.ab import arms, check
from runner.ab.measure import Progress
from runner.ab.measure import measure as measure_ab
from runner.cell import catalogue
from runner.cell.fieldtypes import known
from runner.cell.vocabulary import AUTO, CPU
from runner.errors import BadRecord, GpuNotFound, InvalidSession, MissingPackage, StoreUnreachable, Usage
from runner.launch import process
from runner.launch.session import Commit, Finished, Settings, run_session
from runner.machine import nvml
from runner.plan import cards
from runner.plan.request import FROM_ENVIRONMENT, NONE, Request, are_local, names_a_variable
from runner.record import record, sidecar
from runner.record import spool as spools
from runner.record.sections.head import GpuInfo
from runner.record.sessionrecord import MeasuredRecord
from runner.record.spool import DEFAULT_SPOOL
from runner.record.verify import history, recompute
from runner.record.verify.copies import Copies
from runner.store.session_run import run_name

Function = TypeVar("Function", bound=Callable[..., Any])

SESSIONS = click.IntRange(min=1)
ANY_PATH = click.Path(path_type=Path, readable=False)  # checked later, for a message that names its purpose
LONGEST_TIMEOUT_S = 7 * 24 * 3600
VERIFY_LINES = 20  # printed per file
REQUEST_HELP = {
    "gpu": "the GPU's name in the catalogue (see `gpus`), or cpu",
    "model": "the model's name in the catalogue (see `models`)",
    "ctx": "tokens in the context",
    "quant": f"weight format: {', '.join(registry.format_names())}",
    "kernel": f"kernel that multiplies the weights: {', '.join(registry.kernel_names())}",
    "runtime": f"how a step is executed: {', '.join(registry.runtime_names())}",
    "cache": "KV cache: dynamic, static",
    "dtype": "bf16, fp16, fp32",
    "attention": "sdpa, flash-attn",
    "weights": "synthetic, hub, a folder of safetensors, or env:NAME for the folder in the variable NAME",
    "protocol": "paper (30 steps) or tail (300)",
    "steps": "timed steps instead of the protocol's",
    "warmup": "warm-up steps instead of the protocol's",
    "seed": "seed of the random prompt",
    "where": "here (this interpreter), container (required), or auto (a container if its image is present)",
    "device": "index or UUID of the GPU, if there are several",
    "study": "name of the session's study",
    "options": "options of the runtime: name:value,name:value",
    "stack": "pinned package versions: modern, paper",
}


@dataclass(frozen=True)
class Start:
    """The start of the command: its time, in milliseconds since the epoch, and its MLflow run, if any."""

    ms: int
    run: store.EntryRun | None


def run(arguments: Sequence[str], start: Start) -> None:
    """Runs one command. Raises the errors of the family, or SystemExit with the exit code."""
    try:
        code = program.main(list(arguments), "python -m runner", standalone_mode=False, obj=start)
    except click.ClickException as error:
        raise Usage(f"{error.format_message()} (see `python -m runner --help`)") from error
    raise SystemExit(code or 0)


@click.group(context_settings={"max_content_width": 110})
@click.version_option(__version__, prog_name="decode-floor")
def program() -> None:
    """Measures batch-1 LLM decode against its memory floor."""


def _request_options(function: Function) -> Function:
    """Adds an option for each field of the request, in order."""
    for field in reversed(fields(Request)):
        option = click.option(f"--{field.name}", default=AUTO, show_default=True, help=REQUEST_HELP[field.name])
        function = option(function)
    return function


def _timeout(_context: click.Context, _option: click.Parameter, seconds: float) -> float:
    """Returns the timeout if the operating system can wait that long. Rejects NaN."""
    if not 0 < seconds <= LONGEST_TIMEOUT_S:
        raise click.BadParameter(f"{seconds:g} is not more than 0 and at most {LONGEST_TIMEOUT_S} seconds (7 days)")
    return seconds


def _session_options(function: Function) -> Function:
    """Adds the options of running sessions."""
    options = (
        click.option("--spool", type=ANY_PATH, help="write the records here, and not into MLflow"),
        click.option(
            "--share-host", is_flag=True, help="do not wait for other sessions on this host; the record is flagged"
        ),
        click.option(
            "--timeout",
            type=float,
            callback=_timeout,
            default=process.DEFAULT_TIMEOUT_S,
            show_default=True,
            help="seconds after which a worker is stopped",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


@program.command()
@_request_options
@click.option("--sessions", type=SESSIONS, default=1, show_default=True, help="sessions, each in a fresh process")
@click.option(
    "--explain-gate", is_flag=True, help="print each layer's error afterwards, to locate an error of the step"
)
@_session_options
@click.pass_obj
def cell(
    start: Start,
    /,
    spool: Path | None,
    sessions: int,
    explain_gate: bool,
    share_host: bool,
    timeout: float,
    **request: str,
) -> None:
    """Measures one cell: a GPU, a model, a context, a weight format and a runtime."""
    settings = replace(_settings(start.run, spool, share_host, timeout), explain=explain_gate)
    requested = Request(**request)
    _warn_of_paths(start.run, {"weights": requested.weights})
    errors = [error for error in _sessions(requested, sessions, start.ms, settings) if error]
    if errors:
        raise errors[0]


@program.command()
@click.option("--field", default=NONE, show_default=True, help="field in which the arms differ; none: an A/A")
@click.option("--a", "value_a", default=AUTO, help="value of the field in arm a, such as eager")
@click.option("--b", "value_b", default=AUTO, help="value of the field in arm b, such as graph")
@click.option("--sessions", type=SESSIONS, default=10, show_default=True, help="valid sessions of each arm")
@click.option(
    "--extension",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="additional sessions of each arm if the interval is wide, declared before the first session",
)
@_request_options
@_session_options
@click.pass_obj
def ab(
    start: Start,
    /,
    field: str,
    value_a: str,
    value_b: str,
    sessions: int,
    extension: int,
    spool: Path | None,
    share_host: bool,
    timeout: float,
    **request: str,
) -> None:
    """Measures two cells that differ in one field, alternately. The same command continues an interrupted
    comparison."""
    settings = _settings(start.run, spool, share_host, timeout)
    requested = Request(**request)
    _warn_of_paths(
        start.run, {"weights": requested.weights} | ({"a": value_a, "b": value_b} if field == "weights" else {})
    )
    pair = arms.pair(requested, field, value_a, value_b, () if requested.gpu == CPU else nvml.list_gpus())
    for name, (in_a, in_b) in pair.implied.items():
        click.echo(f"{field} implies {name}: {in_a} in a, {in_b} in b")
    folder = measure_ab(pair, sessions, extension, settings, _show_ab)
    if start.run is not None:
        # the run stays open and marked until it has its summary
        sidecar.remember_run(folder / spools.MANIFEST_NAME, start.run.id)
    command = f"python -m analysis ab {shlex.quote(str(folder))}"
    count = "1 session" if sessions == 1 else f"{sessions} sessions"
    click.echo(f"{count} of each arm in {folder}; compare them with: {command}")


def _warn_of_paths(run: store.EntryRun | None, weights: Mapping[str, str]) -> None:
    """Warns of paths in parameters: MLflow logs every -P value before this process starts, and they cannot be
    deleted."""
    for name, value in weights.items():
        if run is not None and are_local(value) and not names_a_variable(value):
            click.echo(
                f"warning: MLflow has logged the parameter {name}={value}, which every user of its store can read: to "
                f"keep the path private, export a variable with it, such as W, and use -P {name}={FROM_ENVIRONMENT}W",
                err=True,
            )


def _show_ab(progress: Progress) -> None:
    measured, arm = progress.finished.record, progress.arm
    result = f"{measured.latency.step_wall_ms:.3f} ms" if isinstance(measured, MeasuredRecord) else "not measured"
    marks = ", ".join(measured.flags) if measured.valid else "NOT VALID"
    sessions = "session" if progress.left == 1 else "sessions"
    remaining = f"{progress.left} {sessions} left, about {progress.left_s / 60:.0f} min" if progress.left else "done"
    click.echo(f"{arm.name} {progress.number}/{progress.of}  {arm.value}  {result}  {remaining}  {marks}".rstrip())


def _settings(run: store.EntryRun | None, spool: Path | None, share_host: bool, timeout_s: float) -> Settings:
    commit = None if spool is not None and run is None else _commit(run)
    return Settings(spool or DEFAULT_SPOOL, commit, run, share_host, timeout_s, _show_progress)


def _commit(run: store.EntryRun | None) -> Commit:
    """Returns the function that commits a session to MLflow.

    Raises MissingPackage without MLflow, which is imported only after the measurement. Warns if the store cannot take
    the session.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise MissingPackage(
            f"{sys.executable} has no MLflow to store the session in: use --spool DIR, and where MLflow is, "
            "python -m runner import DIR"
        )
    obstacle = store.before_measuring(run.id if run else None)
    if obstacle is not None:
        click.echo(f"warning: {obstacle}; records are kept in the spool meanwhile", err=True)
    return store.commit


def _sessions(
    request: Request, count: int, started_ms: int, settings: Settings
) -> Iterator[InvalidSession | StoreUnreachable | None]:
    """Yields the error of each session that the next session can follow, or None. Raises other errors.

    A session that is not valid, or not stored, does not prevent the next one.
    """
    for index in range(count):
        session_settings = settings if index == 0 else replace(settings, run=None)
        session_ms = started_ms if index == 0 else int(time.time() * 1000)
        finished = run_session(request, index, session_ms, session_settings)
        _show(finished, is_entry=session_settings.run is not None)
        error = finished.error
        if error is not None and not isinstance(error, InvalidSession | StoreUnreachable):
            raise error
        yield error


def _show_progress(text: str, elapsed_s: float) -> None:
    terminal.say(f"[{elapsed_s:6.1f} s] {text}")


def _show(finished: Finished, is_entry: bool) -> None:
    for line in summary.lines(finished.record):
        click.echo(line)
    if not finished.record.gpu.catalogued:
        click.echo(_entry_to_add(finished.record.gpu))
    click.echo(f"  record    {finished.path}")
    if finished.store_error is not None and not finished.record.valid:
        # the command reports only the session's own failure
        click.echo(f"warning: {finished.store_error}", err=True)
    if finished.run is not None:
        # the user may have named the run that `mlflow run` made
        name = "" if is_entry else f"{run_name(finished.record)} "
        click.echo(f"  MLflow    run {name}({finished.run}); view it with `make ui`")


def _entry_to_add(gpu: GpuInfo) -> str:
    entry = catalogue.entry_to_add(gpu.key, gpu.name, known(gpu.compute_capability))
    return f"This GPU is not in the catalogue. To have r_floor, add to experiments/gpus.yaml:\n\n{entry}"


@program.command("import")
@click.argument("folder", type=ANY_PATH)
def import_command(folder: Path) -> None:
    """Imports the records below FOLDER into MLflow, each once, and closes runs that killed commands left open."""
    report = store.import_folder(folder)
    click.echo(f"{len(report.imported)} imported, {len(report.present)} already there")
    if report.comparisons:
        click.echo(f"{len(report.comparisons)} A/Bs: {', '.join(report.comparisons)}")
    if report.closed:
        click.echo(f"{len(report.closed)} abandoned runs closed: {', '.join(report.closed)}")
    first_paths: dict[str, Path] = {}
    for refused in report.refused:
        is_first = first_paths.setdefault(refused.reason, refused.path) == refused.path
        reason = refused.reason if is_first else f"for the same reason as {first_paths[refused.reason]}"
        click.echo(terminal.one_line(f"refused {refused.path}: {reason}"), err=True)
    if report.refused:
        kind = StoreUnreachable if all(refused.by_store for refused in report.refused) else BadRecord
        raise kind(f"{len(report.refused)} files were not imported")


@program.command(context_settings={"ignore_unknown_options": True})
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF mlflow ui]")
def ui(port: int, options: tuple[str, ...]) -> None:
    """Opens the measurements in MLflow's UI on 127.0.0.1, or prints the address of the server that has them."""
    served = store.served_at()
    for name, address in store.cells_addresses(served or store.local_address(port)):
        click.echo(f"{name}: {address}")
    if served is None:
        store.serve(port, options)


@program.command()
@click.option("--since", metavar="REF", help="also list records that were changed or deleted since REF, by git")
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", type=ANY_PATH)
def verify(paths: tuple[Path, ...], since: str | None) -> None:
    """Recomputes every derived number of the records from their raw values. Compares records with the catalogue, their
    request and one another. Searches folders for *.json. docs/verify.md lists the checks."""
    files = [file for path in paths for file in _record_files(path)]
    recompute.check_reader()
    copies = Copies()
    wrong = [file for file in files if not _is_right(file, copies)]
    if since is not None and (edited := history.changed(since, paths)):
        for line in edited:
            click.echo(terminal.one_line(line))
        raise BadRecord(f"{len(edited)} committed records were changed or deleted since {since}")
    if wrong:
        raise BadRecord(f"{len(wrong)} of {len(files)} records are damaged or differ from their raw values")
    click.echo(f"ok {len(files)} records")


def _record_files(path: Path) -> list[Path]:
    """Returns the files to verify. Raises BadRecord for a path without records: an empty check must not pass."""
    if not os.path.isdir(path):
        _check_exists(path)
        return [path]
    spools.check_folder(path, BadRecord)
    files = [*spools.record_files(path), *spools.manifest_files(path)]
    if not files:
        raise BadRecord(f"{path}: no records (*.json) there")
    return files


def _check_exists(path: Path) -> None:
    """Raises BadRecord if there is no such path. Other errors are left to its reader."""
    try:
        os.stat(path)
    except FileNotFoundError as error:
        raise BadRecord(f"{path}: no such file or folder") from error
    except OSError:
        pass


def _differences(file: Path, copies: Copies) -> Iterator[str]:
    """Yields the differences of a record, or of a manifest with its records. `copies` has the earlier records."""
    if file.name == spools.MANIFEST_NAME:
        check.read_whole(file)
        return
    read_record, lines = recompute.checked(record.read(file))
    if read_record is None or lines:
        yield from lines
        return
    yield from recompute.name_differences(read_record, file)
    yield from copies.differences(str(file), read_record)


def _is_right(file: Path, copies: Copies) -> bool:
    try:
        lines = [f"{file}: {line}" for line in _differences(file, copies)]
    except BadRecord as error:
        lines = [str(error)]
    for line in lines[:VERIFY_LINES]:
        click.echo(terminal.one_line(line))
    if len(lines) > VERIFY_LINES:
        click.echo(terminal.one_line(f"{file}: {len(lines) - VERIFY_LINES} more"))
    return not lines


@program.command("gpus")
def list_gpus() -> None:
    """Lists the catalogue's GPUs. `*` marks those in this machine, `!` an installed card that cannot be measured."""
    here = _gpus_here() or ()
    installed = {cards.gpu_key(card): card for card in here if card.obstacle is None}
    for entry in catalogue.gpus().values():
        figures = (
            _figure(entry.bandwidth_gbs, "GB/s"),
            _figure(entry.memory_gb, "GB"),
            entry.image or "no image",
        )
        mark = "*" if entry.key in installed or entry.key == CPU else " "
        click.echo(f"{mark} {entry.key:14} {entry.name:48} {figures[0]:>10} {figures[1]:>8}  {figures[2]}")
    for key, card in installed.items():
        if key not in catalogue.gpus():
            click.echo(f"* {key:14} {card.name}: not in the catalogue, measured without r_floor")
    for card in here:
        if card.obstacle is not None:
            click.echo(f"! {card.obstacle}")


def _gpus_here() -> nvml.Gpus | None:
    """Returns the usable GPUs. If they cannot be listed, warns and returns None, because the catalogue can still be
    shown."""
    try:
        return nvml.list_gpus()
    except (GpuNotFound, MissingPackage) as error:
        click.echo(f"warning: {error}", err=True)
        return None


def _figure(figure: catalogue.Figure, unit: str) -> str:
    return "?" if figure.value is None else f"{figure.value:g} {unit}"


@program.command("models")
def list_models() -> None:
    """Lists the models of the catalogue. `*` marks the one that `auto` selects on this machine."""
    here = _gpus_here()
    chosen = None if here is None else cards.default_model(here)
    for key, model in catalogue.models().items():
        shape, mark = model.shape, "*" if key == chosen else " "
        checkpoints = ", ".join(model.checkpoints) or "none"
        click.echo(
            f"{mark} {key:14} {shape.layers} layers x {shape.hidden}, {shape.heads}/{shape.kv_heads} heads, "
            f"ctx up to {shape.max_positions}; hub checkpoints: {checkpoints}"
        )
    for card in here or ():
        if card.obstacle is not None:
            click.echo(f"warning: {card.obstacle}", err=True)
