"""One study of the command `study`: its plan is printed, or its missing sessions are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from runner import layout, summary
from runner.ab.pairseries import PairSeries
from runner.commands import comparing
from runner.errors import Terminated
from runner.launch.series import Ended, OnSession, Series, TimeLimit
from runner.launch.session import Finished, Settings
from runner.record.sections.surroundings import Cost
from runner.record.sessionrecord import MeasuredRecord
from runner.study import outline, prepared, studystate
from runner.study.declared import Study
from runner.study.prepared import Prepared
from runner.study.site import Site
from runner.study.tally import Tally


@dataclass(frozen=True)
class Order:
    """The request of the options."""

    redo: bool
    retry: bool
    limit: TimeLimit
    site: Site


@dataclass(frozen=True)
class Measured:
    """A study after its sessions, and how they ended."""

    after: Prepared
    ended: Ended


def print_plan(found: Prepared, site: Site) -> None:
    """Prints the cells of a study, what is done, and the expected time."""
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


def measure(study: Study, order: Order, settings: Settings) -> Measured:
    """Measures the missing sessions of a study. Prints how far it is before and after."""
    before = prepared.prepare(study, settings.spool, order.site.machines, order.redo, order.retry)
    _print_notes(before, order.site)
    _print_outline(before)
    studystate.write(settings.spool, before.state)
    planned = list(order.site.missing_series(before, settings))
    if not planned or order.limit.is_over:
        _print_failures(before)
        return Measured(before, Ended(at_limit=bool(planned)))
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
    return Measured(after, ended)


def _ended(series: Sequence[Series], order: Order, show: OnSession, settings: Settings, interleaved: bool) -> Ended:
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
