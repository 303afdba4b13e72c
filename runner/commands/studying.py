"""The command `study`: measures the missing sessions of the studies that files declare."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from runner import display, layout, store, summary
from runner.ab.pairseries import PairSeries
from runner.commands import comparing
from runner.commands.options import ANY_PATH, LONGEST_TIMEOUT_S, session_options
from runner.commands.sessionsettings import session_settings
from runner.commands.start import Start
from runner.counts import counted
from runner.errors import GpuNotFound, Interrupted, StoreUnreachable, StudyIncomplete, Terminated
from runner.fleet import arrivals, fleet
from runner.launch.series import Ended, OnSession, Series, TimeLimit
from runner.launch.session import Finished, Settings
from runner.machine import hostlock
from runner.processes import signals
from runner.record.sections.surroundings import Cost
from runner.record.sessionrecord import MeasuredRecord
from runner.record.spool import DEFAULT_SPOOL
from runner.store import EntryRun, Summary
from runner.study import outline, prepared, studystate
from runner.study.declaration import studyfile
from runner.study.declared import Study
from runner.study.prepared import Prepared
from runner.study.site import Site
from runner.study.standing import DONE, FAILED, MISSING, WAITING
from runner.study.tally import Tally

STOPPING_S = 10.0
"""Seconds before the end of `--minutes` in which a session that still runs is stopped."""


@dataclass(frozen=True)
class _Order:
    """The request of the options."""

    redo: bool
    retry: bool
    limit: TimeLimit
    site: Site


@dataclass(frozen=True)
class _Measured:
    """A study after its sessions, and how they ended."""

    after: Prepared
    ended: Ended


def _minutes(_context: click.Context, _option: click.Parameter, minutes: float) -> float:
    """Returns the minutes of a time limit. Rejects NaN."""
    if minutes == math.inf or 0 < 60 * minutes <= LONGEST_TIMEOUT_S:
        return minutes
    raise click.BadParameter(f"{minutes:g} must be more than 0, and at most {LONGEST_TIMEOUT_S // 60} minutes (7 days)")


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=ANY_PATH)
@click.option("--dry-run", is_flag=True, help="print the cells, what is done, and the expected time; measure nothing")
@click.option("--redo", is_flag=True, help="measure every cell anew; the earlier records are kept")
@click.option("--retry-failed", is_flag=True, help="measure the cells again that failed or were not valid")
@click.option(
    "--minutes",
    type=float,
    default=math.inf,
    show_default="no limit",
    callback=_minutes,
    help="end before this many minutes have passed; the same command continues",
)
@click.option(
    "--fleet",
    "address",
    metavar="ADDRESS",
    default=fleet.NONE,
    show_default=True,
    help="measure on the nodes of a Ray cluster (docs/fleet.md): auto, ray://host:port, or host:port of its head node",
)
@session_options
@click.pass_obj
def study(
    start: Start,
    /,
    files: Sequence[Path],
    dry_run: bool,
    redo: bool,
    retry_failed: bool,
    minutes: float,
    address: str,
    spool: Path | None,
    share_host: bool,
    timeout: float,
) -> None:
    """Measures the missing sessions of the studies in these files. The same command continues an interrupted study."""
    studies = studyfile.read_all(files)
    if dry_run:
        with fleet.site(address) as site:
            for each in studies:
                _print_plan(prepared.prepare(each, spool or DEFAULT_SPOOL, site.machines, redo, retry_failed), site)
        return
    # the run that MLflow made is the study's; each session has one of its own
    settings = replace(session_settings(start.run, spool, share_host, timeout, display.choose()), run=None)
    with (
        _time_limit(minutes) as limit,
        # on a fleet, each node holds itself
        hostlock.hold(share_host or address != fleet.NONE, settings.display.wait, hostlock.STUDY),
        studystate.exclusive(settings.spool),
        _continuation(redo),
        fleet.site(address) as site,
    ):
        left_error = _store_left(settings)
        order = _Order(redo, retry_failed, limit, site)
        measured = [_measured(each, order, settings) for each in studies]
    _raise_incomplete(measured, redo, left_error)
    if start.run is not None:
        _commit(start.run, [each.after for each in measured])


def _store_left(settings: Settings) -> StoreUnreachable | None:
    """Stores the sessions that an earlier command with a fleet had received and not stored. Returns the error of a
    store that does not answer."""
    errors = [finished.store_error for finished in arrivals.left(settings)]
    refused = [error for error in errors if error is not None]
    if stored := len(errors) - len(refused):
        click.echo(f"note: stored {counted(stored, 'session')} that an earlier command had received", err=True)
    if refused:
        count = counted(len(refused), "session")
        click.echo(f"note: {count} that an earlier command had received cannot be stored: {refused[0]}", err=True)
    return next((error for error in refused if isinstance(error, StoreUnreachable)), None)


@contextmanager
def _time_limit(minutes: float) -> Iterator[TimeLimit]:
    """Yields the time limit. A session that still runs at its end is stopped by SIGTERM. Raises StudyIncomplete if the
    limit ends anything else, such as the wait for another study."""
    if minutes == math.inf:
        yield TimeLimit()
        return
    seconds = max(0.0, 60 * minutes - STOPPING_S)
    limit = TimeLimit(time.monotonic() + seconds)
    try:
        with signals.terminated_after(seconds, f"the time limit, --minutes {minutes:g}, is over"):
            yield limit
    except Terminated as error:
        if not limit.is_over:
            raise
        raise StudyIncomplete(f"{error}: run the same command again") from error


@contextmanager
def _continuation(redo: bool) -> Iterator[None]:
    """Adds to the message of Ctrl-C how the study continues."""
    try:
        yield
    except Interrupted as error:
        raise Interrupted(f"{error}; the same command{' without --redo' if redo else ''} continues") from error


def _print_plan(found: Prepared, site: Site) -> None:
    _print_notes(found, site)
    _print_outline(found)
    for row in outline.table(found.standings, layout.width()):
        click.echo(row)


def _print_notes(found: Prepared, site: Site) -> None:
    for text in found.changes:
        click.echo(f"note: {found.state.name} has changed since it was measured: {text}", err=True)
    for file in found.unreadable:
        click.echo(f"note: {file.path} is no record ({file.reason}): its session does not count", err=True)
    for text in site.notes(found):
        click.echo(f"note: {text}", err=True)


def _print_outline(found: Prepared) -> None:
    for text in outline.lines(found.study.name, found.standings, layout.width()):
        click.echo(text)


def _print_failures(found: Prepared) -> None:
    for text in outline.failures(found.standings):
        click.echo(text)


def _measured(study: Study, order: _Order, settings: Settings) -> _Measured:
    """Measures the missing sessions of a study. Prints how far it is before and after."""
    before = prepared.prepare(study, settings.spool, order.site.machines, order.redo, order.retry)
    _print_notes(before, order.site)
    _print_outline(before)
    studystate.write(settings.spool, before.state)
    planned = list(order.site.missing_series(before, settings))
    if not planned or order.limit.is_over:
        _print_failures(before)
        return _Measured(before, Ended(at_limit=bool(planned)))
    tally = Tally(planned)
    entries = {id(series): standing.planned for series, standing in planned}
    costs: list[Cost] = []

    def show(series: Series, finished: Finished) -> None:
        tally.add(series, finished)
        if isinstance(finished.record, MeasuredRecord):
            costs.append(finished.record.cost_s)
        arm = f", {series.measured_arm.value}" if isinstance(series, PairSeries) else ""
        click.echo(_line(f"{entries[id(series)].title}{arm}", finished, tally))
        settings.display.position(tally.position)

    settings.display.position(tally.position)
    ended = _ended([series for series, _ in planned], order, show, settings, study.interleaved)
    for series, _ in planned:
        if isinstance(series, PairSeries):
            _compare(series, settings)
    after = prepared.again(before, settings.spool, [(entries[id(series)], error) for series, error in ended.errors])
    _print_outline(after)
    _print_failures(after)
    for text in summary.cost_lines(costs, layout.width()) if costs else ():
        click.echo(text)
    return _Measured(after, ended)


def _ended(series: Sequence[Series], order: _Order, show: OnSession, settings: Settings, interleaved: bool) -> Ended:
    """Measures the series. A session that the time limit stopped ends them like the limit itself."""
    try:
        return order.site.measure_all(series, order.limit, show, settings, interleaved)
    except Terminated:
        if not order.limit.is_over:
            raise
        return Ended(at_limit=True)


def _line(title: str, finished: Finished, tally: Tally) -> str:
    record = finished.record
    result = f"{record.latency.step_wall_ms:.3f} ms" if isinstance(record, MeasuredRecord) else record.outcome.status
    marks = ", ".join(record.flags) if record.valid else "NOT VALID"
    return "  ".join(filter(None, (f"{tally.done + tally.failed}", title, result, tally.text, marks)))


def _compare(series: PairSeries, settings: Settings) -> None:
    """Prints the comparison of a complete A/B, and logs it where there is a store."""
    if not series.is_complete:
        return
    if settings.commit is None:
        click.echo(f"compare the arms with: {comparing.command(series.folder)}")
    else:
        comparing.log_comparison(series.folder)


def _commit(run: EntryRun, found: Sequence[Prepared]) -> None:
    """Closes the run that MLflow made for this command with what the studies have."""
    names = " ".join(each.study.name for each in found)
    standings = [standing for each in found for standing in each.standings]
    lines = [line for each in found for line in outline.lines(each.study.name, each.standings, layout.WIDTH)]
    metrics = {
        "study/entries": float(len(standings)),
        "study/entries_done": float(sum(each.status == DONE for each in standings)),
        "study/sessions_done": float(sum(each.done for each in standings)),
    }
    note = "\n".join(("```", *lines, "```", ""))
    store.claim_report(run.id, f"study {names}")
    store.commit_report(f"study {names}", Summary(metrics, {"study": names}, note, {}), run.id)
    run.mark_closed()


def _raise_incomplete(measured: Sequence[_Measured], redo: bool, left_error: StoreUnreachable | None) -> None:
    """Raises StudyIncomplete if sessions are missing that could be measured here, GpuNotFound if none could be, and the
    store's error if it did not take one, also one that an earlier command had left."""
    standings = [standing for each in measured for standing in each.after.standings]
    missing = sum(each.missing for each in standings if each.status == MISSING)
    failed = [each for each in standings if each.status == FAILED]
    if missing or failed:
        raise StudyIncomplete(_incomplete(missing, len(failed), any(each.ended.at_limit for each in measured), redo))
    errors = (left_error, *(each.ended.store_error for each in measured))
    if (store_error := next(filter(None, errors), None)) is not None:
        raise store_error
    waiting = dict.fromkeys(each.planned.gpu for each in standings if each.status == WAITING)
    if waiting and all(each.status == WAITING for each in standings):
        raise GpuNotFound(f"nothing to measure here: the study's cells wait for {', '.join(waiting)}")


def _incomplete(missing: int, failed: int, at_limit: bool, redo: bool) -> str:
    parts = []
    if missing:
        why = " at the time limit" if at_limit else ""
        again = "without --redo, which would begin anew" if redo else "again"
        parts.append(f"{counted(missing, 'session is', 'sessions are')} missing{why}: run the same command {again}")
    if failed:
        parts.append(f"{counted(failed, 'cell')} failed: see the lines above; --retry-failed measures again")
    return "; ".join(parts)
