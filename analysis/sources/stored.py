"""What both ways of reading a store say of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runner.errors import BadRecord
from runner.store.experiment import Deleted


def check_found(store: str, sessions: int, strangers: int, deleted: Callable[[], Sequence[Deleted]]) -> None:
    """Raises BadRecord for a store without a session of ours."""
    if sessions:
        return
    if found := deleted():
        raise BadRecord(f"the MLflow store {store} has no runs of ours: {'; '.join(map(str, found))}")
    what = f"{strangers} runs, none of them a session of this project" if strangers else "no runs"
    raise BadRecord(
        f"the MLflow store {store} has {what}: measure with `python -m runner cell`, or bring records in with "
        "`python -m runner import FOLDER` (`make demo` shows what comes of it)"
    )


def told(strangers: int, unfinished: int) -> tuple[str, ...]:
    """A line for each kind of run that no table shows."""
    lines = []
    if strangers:
        lines.append(f"{strangers} runs that are no sessions of this project")
    if unfinished:
        lines.append(
            f"{unfinished} sessions that are not wholly in the store (`python -m runner import` completes them)"
        )
    return tuple(lines)
