"""Commands that run sessions: `cell` and `ab`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from runner import display, layout, store, summary, terminal
from runner.ab import announcement, arms, manifest
from runner.ab.arms import Pair
from runner.ab.pairseries import PairSeries
from runner.cell import catalogue
from runner.cell.fieldtypes import value_or_none
from runner.cell.jsonform import to_json
from runner.cell.vocabulary import AUTO, CPU
from runner.commands import comparing, objects
from runner.commands.options import count_option, json_option, request_options, session_options
from runner.commands.sessionsettings import session_settings
from runner.commands.start import Start
from runner.counts import counted
from runner.errors import Failure, InvalidSession, StoreUnreachable
from runner.launch.series import TimeLimit, measure_all
from runner.launch.session import Finished, Settings, run_session
from runner.machine import hostlock, nvml
from runner.plan.request import FROM_ENVIRONMENT, NONE, Request, are_local, names_a_variable
from runner.record import sidecar
from runner.record import spool as spools
from runner.record.sections.head import GpuInfo
from runner.record.sessionrecord import MeasuredRecord
from runner.store.session_run import run_name


@click.command()
@request_options
@count_option("--sessions", 1, 1, "sessions, each in a fresh process")
@click.option(
    "--explain-gate", is_flag=True, help="print each layer's error afterwards, to locate an error of the step"
)
@session_options
@json_option
@click.pass_obj
def cell(
    start: Start,
    /,
    spool: Path | None,
    sessions: int,
    explain_gate: bool,
    share_host: bool,
    timeout: float | None,
    as_json: bool,
    **request: str,
) -> None:
    """Measures one cell: a GPU, a model, a context, a weight format and a runtime."""
    finished: list[Finished] = []
    try:
        # the lines of an explanation are many: they need a display that keeps them
        shown = display.choose(plain=explain_gate)
        settings = replace(session_settings(start.run, spool, share_host, timeout, shown), explain=explain_gate)
        requested = Request(**request)
        _warn_of_paths(start.run, {"weights": requested.weights})
        for each in _sessions(requested, sessions, start.ms, settings):
            finished.append(each)
            if not as_json:
                _show(each, is_entry=start.run is not None and len(finished) == 1)
            _check(each, sessions)
        _raise_first([each.error for each in finished if each.error is not None], sessions)
    finally:
        if as_json:
            start.result.update(to_json(objects.Cells([objects.session_result(each) for each in finished])))


@click.command()
@click.option("--field", default=NONE, show_default=True, help="field in which the arms differ; none: an A/A")
@click.option("--a", "value_a", default=AUTO, help="value of the field in arm a, such as eager")
@click.option("--b", "value_b", default=AUTO, help="value of the field in arm b, such as graph")
@count_option("--sessions", 1, 10, "valid sessions of each arm")
@count_option(
    "--extension", 0, 0, "additional sessions of each arm if the interval is wide, declared before the first session"
)
@request_options
@session_options
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
    timeout: float | None,
    **request: str,
) -> None:
    """Measures two cells that differ in one field, alternately. The same command continues an interrupted
    comparison."""
    settings = session_settings(start.run, spool, share_host, timeout, display.choose())
    requested = Request(**request)
    _warn_of_paths(
        start.run, {"weights": requested.weights} | ({"a": value_a, "b": value_b} if field == "weights" else {})
    )
    pair = arms.pair(requested, field, value_a, value_b, () if requested.gpu == CPU else nvml.list_gpus())
    _announce(pair, sessions, extension, settings.spool)
    series = PairSeries(pair, sessions, extension, settings)
    with hostlock.hold(share_host, settings.display.wait, hostlock.STUDY):
        ended = measure_all([series], TimeLimit(), lambda _series, finished: _show_ab(series, finished))
    if ended.first_error is not None:
        raise ended.first_error
    folder = series.folder
    measured = f"{counted(sessions, 'session')} of each arm in {folder}"
    if start.run is None and settings.commit is not None:
        click.echo(measured)
        comparing.log_comparison(folder)
        return
    if start.run is not None:
        # the run stays open and marked until the entry's second step has logged the comparison
        sidecar.remember_run(folder / spools.MANIFEST_NAME, start.run.id)
    click.echo(f"{measured}; compare them with: {comparing.command(folder)}")


def _announce(pair: Pair, sessions: int, extension: int, spool: Path) -> None:
    """Prints what will be measured. Warns if the comparison could have no verdict."""
    declared = manifest.declare(pair, sessions, extension)
    current = manifest.current(declared, manifest.folder_of(spool, declared))
    for line in announcement.lines(pair, current, sessions, spool, layout.width()):
        click.echo(line)
    if sessions < manifest.FEWEST_FOR_AN_INTERVAL:
        click.echo(
            f"warning: {counted(sessions, 'session')} of each arm will give no interval and no verdict: use --sessions "
            f"{manifest.FEWEST_FOR_AN_INTERVAL} or more",
            err=True,
        )


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


def _show_ab(series: PairSeries, finished: Finished) -> None:
    arm, measured, left = series.measured_arm, finished.record, series.remaining_by_arm()
    result = f"{measured.latency.step_wall_ms:.3f} ms" if isinstance(measured, MeasuredRecord) else "not measured"
    marks = ", ".join(measured.flags) if measured.valid else "NOT VALID"
    number = series.planned - left[arm.name]
    click.echo(f"{arm.name} {number}/{series.planned}  {arm.value}  {result}  {_left(series)}  {marks}".rstrip())


def _left(series: PairSeries) -> str:
    """Returns how many sessions are left, and about how long they take."""
    sessions, seconds = series.remaining(), series.remaining_s()
    if not sessions:
        return "done"
    about = "" if seconds is None else f", about {display.duration(seconds)}"
    return f"{counted(sessions, 'session')} left{about}"


def _sessions(request: Request, count: int, started_ms: int, settings: Settings) -> Iterator[Finished]:
    """Yields each session when it has finished. Only the first belongs to the run that MLflow made."""
    for index in range(count):
        session_settings = settings if index == 0 else replace(settings, run=None)
        session_ms = started_ms if index == 0 else int(time.time() * 1000)
        yield run_session(request, index, session_ms, session_settings)


def _check(finished: Finished, count: int) -> None:
    """Raises the error of a session that no other session can follow. Prints the error of one of several sessions.

    A session that is not valid, or not stored, does not prevent the next one.
    """
    if finished.store_error is not None and not finished.record.valid:
        # the command reports only the session's own failure
        click.echo(f"warning: {finished.store_error}", err=True)
    if not isinstance(error := finished.error, InvalidSession | StoreUnreachable | None):
        raise error
    if error is not None and count > 1:
        terminal.print_failure(error)


def _raise_first(errors: Sequence[Failure], count: int) -> None:
    """Raises the first error, if any. The errors of several sessions are only counted: each has been printed."""
    if errors and count > 1:
        raise type(errors[0])(f"{len(errors)} of {count} sessions failed: the lines above say why")
    if errors:
        raise errors[0]


def _show(finished: Finished, is_entry: bool) -> None:
    for line in summary.lines(finished.record, layout.width()):
        click.echo(line)
    if not finished.record.gpu.catalogued:
        click.echo(_entry_to_add(finished.record.gpu))
    click.echo(f"  record    {finished.path}")
    if finished.run is not None:
        # the user may have named the run that `mlflow run` made
        run = finished.run if is_entry else f"{run_name(finished.record)} ({finished.run})"
        click.echo(f"  MLflow    run {run}; view it with `make ui`")


def _entry_to_add(gpu: GpuInfo) -> str:
    entry = catalogue.entry_to_add(gpu.key, gpu.name, value_or_none(gpu.compute_capability))
    return f"This GPU is not in the catalogue. To have r_floor, add to experiments/gpus.yaml:\n\n{entry}"
