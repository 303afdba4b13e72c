"""The command `study`: measures the missing sessions of the studies that files declare."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from runner import display, layout, store
from runner.commands import onestudy
from runner.commands.onestudy import Measured, Order
from runner.commands.options import ANY_PATH, LONGEST_TIMEOUT_S, session_options
from runner.commands.sessionsettings import session_settings
from runner.commands.start import Start
from runner.counts import counted
from runner.errors import GpuNotFound, Interrupted, StoreUnreachable, StudyIncomplete, Terminated
from runner.fleet import arrivals, fleet
from runner.launch.series import TimeLimit
from runner.launch.session import Settings
from runner.machine import hostlock
from runner.processes import signals
from runner.record.spool import DEFAULT_SPOOL
from runner.store import EntryRun, Summary
from runner.study import outline, prepared, studystate
from runner.study.declaration import studyfile
from runner.study.prepared import Prepared
from runner.study.standing import DONE, FAILED, MISSING, WAITING

STOPPING_S = 10.0
"""Seconds before the end of `--minutes` in which a session that still runs is stopped."""


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
    timeout: float | None,
) -> None:
    """Measures the missing sessions of the studies in these files. The same command continues an interrupted study."""
    studies = studyfile.read_all(files)
    if dry_run:
        with fleet.site(address) as site:
            for each in studies:
                onestudy.print_plan(
                    prepared.prepare(each, spool or DEFAULT_SPOOL, site.machines, redo, retry_failed), site
                )
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
        order = Order(redo, retry_failed, limit, site)
        measured = [onestudy.measure(each, order, settings) for each in studies]
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


def _raise_incomplete(measured: Sequence[Measured], redo: bool, left_error: StoreUnreachable | None) -> None:
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
