"""Messages that both readers of a store share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runner.counts import counted
from runner.errors import BadRecord
from runner.store.experiment import Deleted


class NoSession(BadRecord):
    """A store without a session of this project, or no store at all: nothing was measured."""


def check_sessions(
    store: str, sessions: int, foreign: int, failed: int, deleted: Callable[[], Sequence[Deleted]]
) -> None:
    """Raises NoSession if the store has no session of this project.

    `failed` is the number of runs of requests without a result, `foreign` that of other programs' runs.
    """
    if sessions:
        return
    if deleted_experiments := deleted():
        raise NoSession(
            f"the MLflow store {store} has no runs of this project: {'; '.join(map(str, deleted_experiments))}"
        )
    runs = foreign + failed
    content = f"{counted(runs, 'run')}, none of them a session of this project" if runs else "no runs"
    raise NoSession(
        f"the MLflow store {store} has {content}: measure with `python -m runner cell`, or bring records in with "
        "`python -m runner import FOLDER` (`make demo` shows an example)"
    )


def source_notes(foreign: int, unfinished: int) -> tuple[str, ...]:
    """Returns a line for each kind of run that no table shows."""
    lines = []
    if foreign:
        lines.append(counted(foreign, "run that is not a session", "runs that are not sessions") + " of this project")
    if unfinished:
        lines.append(
            counted(unfinished, "session that is incomplete", "sessions that are incomplete")
            + f" in the store (`python -m runner import` completes {'it' if unfinished == 1 else 'them'})"
        )
    return tuple(lines)
