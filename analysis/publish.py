"""Logging of results to MLflow: summaries of A/Bs beside their manifests, tables, and reports.

This is the only module of analysis that writes to a store. It uses `runner.store`, which locks the store and reports
connection errors in one line. Modules that read are in `sources`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from analysis import abrows, form, paper
from analysis.ab import Measured
from analysis.abrow import Summary
from analysis.outputs import Files
from analysis.percent import percent
from analysis.tables import graphs
from runner import failures, store
from runner.errors import BadRecord
from runner.processes import parentwatch, signals
from runner.record import sidecar
from runner.record.spool import DEFAULT_SPOOL

REPORT = "report"
METRICS = (
    "a_ms",
    "b_ms",
    "ratio",
    "ratio_low",
    "ratio_high",
    "bootstrap_low",
    "bootstrap_high",
    "sessions",
    "unused",
    "hosts",
    "cv_a",
    "cv_b",
    "sessions_needed",
    "kernels_a",
    "kernels_b",
    "busy_a_ms",
    "busy_b_ms",
    "launch_us",
)


def paths_of(paths: Sequence[Path], run_id: str | None) -> list[Path]:
    """Returns the manifests that were measured under this MLflow run; all of them without a run.

    Raises BadRecord if there are none. Other manifests are not read, so a fault in them does not affect this run.
    """
    chosen = [path for path in paths if run_id is None or sidecar.remembered_run(path) == run_id]
    if not chosen:
        raise BadRecord(
            f"no A/B in the spool was measured under run {run_id}: name the spool that its `ab` entry wrote"
        )
    return chosen


@contextmanager
def closing(folder: Path, run_id: str | None) -> Iterator[None]:
    """Takes over the run that measuring left open, and closes it.

    A failure closes the run with its reason as tags. After a kill, a marker in the folder makes the next import close
    it. Without a run id this does nothing.
    """
    if run_id is None:
        yield
        return
    run = store.EntryRun(run_id)
    try:
        if folder.is_dir():  # a marker would make a missing folder
            run.mark(folder)
        yield
    except BaseException as error:
        run.fail(failures.as_failure(error))
        raise
    run.mark_closed()


@contextmanager
def entry(name: str) -> Iterator[str | None]:
    """Yields the id of the run that `mlflow run` created for this process, None without one. The run becomes a
    report's.

    A failure closes the run as `closing` does. The process ends if MLflow dies.
    """
    run = store.entry_run()
    if run is None:
        yield None
        return
    parentwatch.watch_ancestors(lambda: signals.explain(parentwatch.DEATH_MESSAGE))
    with closing(DEFAULT_SPOOL, run.id):
        store.claim_report(run.id, name)
        yield run.id


def commit(measured: Measured, run_id: str | None) -> str:
    """Writes the summary into the A/B's run, closes the run and returns its id. Raises StoreUnreachable."""
    row = abrows.summary(measured)
    values = {name: getattr(row, name) for name in METRICS}
    summary = store.Summary(
        metrics={f"ab/{name}": float(value) for name, value in values.items() if value is not None},
        tags=_tags(row),
        note=_note(row),
        files=_files(measured, row),
    )
    return store.commit_comparison(measured.manifest, measured.period_ms, summary, run_id)


def commit_report(answers: Sequence[str], files: Files, run_id: str | None, uri: str) -> str:
    """Writes a report into a run of the store and returns the run's id. Raises StoreUnreachable.

    The run is the one that MLflow created, or a new one. `answers` are the report's, as Markdown.
    """
    note = "\n\n".join(answers)
    note += "\n\nThe artifact `report.html` has all tables and figures, `tables.md` the tables as Markdown, "
    note += "`sessions.csv` the sessions of every row with their run or record, code and environment.\n"
    return store.commit_report(REPORT, store.Summary({}, {}, note, files), run_id, uri)


def commit_table(name: str, note: str, files: Files, run_id: str) -> str:
    """Writes a table into the run that MLflow created; returns the run's id. Raises StoreUnreachable."""
    return store.commit_report(name, store.Summary({}, {}, note, files), run_id)


def _tags(row: Summary) -> dict[str, str]:
    return {
        "verdict": row.verdict or "none",
        "verdict_reason": row.reason,
        "interval": row.interval,
        "flags": ",".join(row.flags),
        "valid": "true",
        # clears the tags of an earlier failed attempt
        "reason": "",
        "exit_code": "0",
        "message": "",
    }


def _note(row: Summary) -> str:
    """Returns the page of an A/B's run. MLflow shows its first three lines and hides the others."""
    interval = "" if row.span is None else f", interval {row.span}"
    flags = ", ".join(f"`{flag}`" for flag in row.flags)
    parts = (
        f"**{row.verdict or 'no verdict'}**: {row.arm_a} / {row.arm_b} = **{row.ratio:.3f}**{interval}",
        row.reason,
        "\n".join((f"| | a: {row.arm_a} | b: {row.arm_b} |", "|---|---|---|", *_arms(row))),
        f"flags: {flags} (docs/flags.md)" if flags else "",
        "The artifact `summary.md` has the whole row, `sessions.png` a figure of the sessions.",
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _arms(row: Summary) -> Iterator[str]:
    """Yields the lines of a table that compares the arms."""
    yield f"| ms/step, median of {row.sessions} | {row.a_ms:.3f} | {row.b_ms:.3f} |"
    yield f"| spread (CV) of the sessions | {percent(row.cv_a, '.2%')} | {percent(row.cv_b, '.2%')} |"
    if row.kernels_a is not None and row.kernels_b is not None:
        yield f"| kernels per step | {row.kernels_a:.0f} | {row.kernels_b:.0f} |"


def _files(measured: Measured, row: Summary) -> Files:
    from analysis.figures import graphs as figure  # matplotlib is slow to import, and most A/Bs are only printed
    from analysis.figures.svg import svg

    drawn = figure.draw([measured], [row], paper.graphs_rows())
    return {
        "summary.json": form.json_text(row),
        "summary.md": graphs.markdown([row]),
        **({} if drawn is None else {"sessions.svg": svg(drawn)}),
    }
