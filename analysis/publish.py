"""What analysis makes of sessions as runs of MLflow: the summary of an A/B, beside its manifest, and reports.

Only here does analysis write to a store, through the runner's room for it: to find or make a run under the store's
lock, and to say in one line why a store is away, is what that does for sessions already. What reads is in `sources`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from analysis import abrow, form, paper
from analysis.ab import Measured
from analysis.abrow import Summary
from analysis.outputs import Files
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
    """Returns the manifests that were measured under this run of MLflow's; all without a run. Raises BadRecord for
    none. Others are not even read: whatever is wrong with them is not this run's."""
    chosen = [path for path in paths if run_id is None or sidecar.remembered_run(path) == run_id]
    if not chosen:
        raise BadRecord(f"no A/B there was measured under run {run_id}")
    return chosen


@contextmanager
def closing(folder: Path, run_id: str | None) -> Iterator[None]:
    """The run that measuring left open is this process's now: a failure closes it with the reason as tags, and of a
    kill a marker tells the next import. Without a run nothing is done."""
    if run_id is None:
        yield
        return
    run = store.EntryRun(run_id)
    try:
        run.mark(folder)
        yield
    except BaseException as error:
        run.fail(failures.told(error))
        raise
    run.closed()


@contextmanager
def entry(name: str) -> Iterator[str | None]:
    """The id of the run that `mlflow run` made for this process, which is called a report's from now on; None where
    MLflow did not start us. A failure closes it as `closing` does; the death of MLflow is noticed."""
    run = store.entry_run()
    if run is None:
        yield None
        return
    parentwatch.watch_ancestors(lambda: signals.explain(parentwatch.DEATH_MESSAGE))
    with closing(DEFAULT_SPOOL, run.id):
        store.claim_report(run.id, name)
        yield run.id


def commit(measured: Measured, run_id: str | None) -> str:
    """Write the summary into the A/B's run, which is closed then; returns its id. Raises StoreUnreachable."""
    found = abrow.summary(measured)
    values = {name: getattr(found, name) for name in METRICS}
    summary = store.Summary(
        metrics={f"ab/{name}": float(value) for name, value in values.items() if value is not None},
        tags=_tags(found),
        note=_note(found),
        files=_files(measured, found),
    )
    return store.commit_comparison(measured.manifest, measured.period_ms, summary, run_id)


def commit_report(answers: Sequence[Mapping[str, str]], files: Files, run_id: str | None, uri: str) -> str:
    """Write a report into a run of its own in the store, or into the one that MLflow made; returns its id. Raises
    StoreUnreachable."""
    note = "\n\n".join(f"**{each['question']}** {each['answer']}" for each in answers)
    note += "\n\nThe artifact `report.html` has all tables and figures, `tables.md` the tables as Markdown, "
    note += "`sessions.csv` the sessions of every row with run or record, code and environment.\n"
    return store.commit_report(REPORT, store.Summary({}, {}, note, files), run_id, uri)


def commit_table(name: str, note: str, files: Files, run_id: str) -> str:
    """Write a table into the run that MLflow made; returns its id. Raises StoreUnreachable."""
    return store.commit_report(name, store.Summary({}, {}, note, files), run_id)


def _tags(found: Summary) -> dict[str, str]:
    return {
        "verdict": found.verdict or "none",
        "verdict_reason": found.reason,
        "interval": found.interval,
        "flags": ",".join(found.flags),
        "valid": "true",
        # whatever an earlier attempt ended with is over
        "reason": "",
        "exit_code": "0",
        "message": "",
    }


def _note(found: Summary) -> str:
    verdict, low, high = found.verdict or "no verdict", found.ratio_low, found.ratio_high
    return (
        f"**{verdict}**: {found.arm_a} / {found.arm_b} = **{found.ratio:.3f}** ({low:.3f} to {high:.3f}, "
        f"{found.interval})\n\n{found.reason}\n\n{graphs.markdown([found])}"
    )


def _files(measured: Measured, found: Summary) -> Files:
    from analysis.figures import graphs as figure  # matplotlib is slow to import, and most A/Bs are only printed
    from analysis.figures import style

    drawn = figure.draw([measured], [found], paper.graphs_rows())
    return {
        "summary.json": form.json_text(found),
        "summary.md": graphs.markdown([found]),
        **({} if drawn is None else {"sessions.png": style.png(drawn)}),
    }
