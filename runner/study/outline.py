"""The standing of a study as lines: what is done, what will be measured and how long it takes, and what is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from runner.counts import counted
from runner.display import duration
from runner.layout import aligned, line
from runner.study.standing import DONE, FAILED, MISSING, STATUSES, UNFIT, WAITING, Standing

UNKNOWN = "unknown"


def noun(standings: Sequence[Standing]) -> str:
    """Returns what the entries are called: cells, or A/Bs."""
    return "A/B" if any(each.planned.pair for each in standings) else "cell"


def lines(name: str, standings: Sequence[Standing], width: int) -> Iterator[str]:
    """Yields how many entries have each status, and the expected time of the missing sessions."""
    entries = noun(standings)
    yield f"{name}: {counted(len(standings), entries)}: {', '.join(_counts(standings))}"
    for status in STATUSES:
        among = [each for each in standings if each.status == status]
        if among:
            yield from line(status, _text(status, among, entries), width)


def _counts(standings: Sequence[Standing]) -> Iterator[str]:
    numbers = Counter(each.status for each in standings)
    yield from (f"{numbers[status]} {status}" for status in STATUSES if numbers[status])


def _text(status: str, among: Sequence[Standing], entries: str) -> str:
    count = counted(len(among), entries)
    if status == MISSING:
        sessions = sum(each.missing for each in among)
        outdated = sum(each.outdated for each in among)
        text = f"{count} on {_gpus(among)}: {counted(sessions, 'session')}, {expected(among)}"
        of_other_code = f"{counted(outdated, 'session is', 'sessions are')} of other code or another environment"
        return f"{text}; {of_other_code} and will be measured again" if outdated else text
    if status == WAITING:
        numbers = Counter(each.planned.gpu for each in among)
        return f"{count}: {', '.join(f'{gpu} {number}' for gpu, number in numbers.items())}"
    if status == DONE:
        return f"{count}, {counted(sum(each.done for each in among), 'session')}"
    return (
        f"{count}; --retry-failed measures {'it' if len(among) == 1 else 'them'} again" if status == FAILED else count
    )


def _gpus(among: Sequence[Standing]) -> str:
    return ", ".join(dict.fromkeys(each.planned.gpu for each in among))


def remaining_s(among: Sequence[Standing]) -> tuple[float, int]:
    """Returns the seconds of the missing sessions whose length is known, and the number of the other sessions."""
    known = [each for each in among if each.session_s is not None]
    unknown = sum(each.missing for each in among if each.session_s is None)
    return sum(each.missing * (each.session_s or 0.0) for each in known), unknown


def expected(among: Sequence[Standing]) -> str:
    """Returns the expected time of the missing sessions in words."""
    seconds, unknown = remaining_s(among)
    if not seconds:
        return f"time {UNKNOWN}"
    also = f", and {counted(unknown, 'session')} of unknown length" if unknown else ""
    return f"about {duration(seconds)}{also}"


def table(standings: Sequence[Standing], width: int) -> list[str]:
    """Returns a line for each entry: its status, sessions, the expected time of a session, and the reason."""
    rows = [("status", "sessions", "each", noun(standings), "reason")]
    rows += [
        (
            each.status,
            f"{each.done}/{each.done + each.missing + each.lost}",
            UNKNOWN if each.session_s is None else duration(each.session_s),
            each.planned.title,
            each.reason or "",
        )
        for each in standings
    ]
    return aligned(rows, ("sessions", "each"), width)


def failures(standings: Sequence[Standing]) -> Iterator[str]:
    """Yields a line for each entry that failed or does not fit."""
    yield from (
        f"{each.status}: {each.planned.title}: {each.reason}" for each in standings if each.status in (FAILED, UNFIT)
    )
