"""The measurements that give a ruling the data that it lacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from analysis.choose import ruling
from analysis.choose.chooserow import ChooseRow
from analysis.choose.limits import Limits
from analysis.choose.worstsession import FEWEST_SESSIONS
from runner.cell import catalogue
from runner.cell.protocol import NAMED, Protocol
from runner.cell.vocabulary import TAILS
from runner.record import recordsize
from runner.record.quantiles import CONFIDENCE

CELL = "python -m runner cell"
SIMPLE = {
    ruling.UNCERTAIN: f"measure such cells with `{CELL}`",
    ruling.NO_ENERGY: f"measure the energy of such cells on a GPU with `{CELL} --energy`",
    ruling.NO_PRICE: "state the price of the GPU with `choose --price GPU=DOLLARS`",
}
LEAST_TAU = 2
"""Autocorrelation time of steps that is allowed for at least."""
LONGEST_MIN = 60
"""Minutes of steps that a session may take: three sessions each of four configurations then fit into a night."""
HOPELESS = "as no session can have enough steps"


def expected_tau(rows: Sequence[ChooseRow]) -> int:
    """Returns the autocorrelation time in steps to allow for: the longest one in these rows, at least `LEAST_TAU`."""
    return max([LEAST_TAU, *(math.ceil(row.tau) for row in rows if row.tau is not None)])


def remedy(word: str, limits: Limits, rows: Sequence[ChooseRow]) -> str:
    """Returns what to do about a ruling with this word, which these rows of one model and ctx have for want of data."""
    return SIMPLE[word] if word in SIMPLE else _more_windows(limits, rows)


def chunks_needed(miss: float | None, tau: int) -> int:
    """Returns the chunks, none of them late, that bound the probability of a miss at `miss`; one without a limit.

    (1 - p)^n is the chance that none of n independent chunks is late; the bound is the p for which it is 5 %.
    """
    return 1 if miss is None else math.ceil(tau * math.log(1 - CONFIDENCE) / math.log1p(-miss))


def _more_windows(limits: Limits, rows: Sequence[ChooseRow]) -> str:
    """Returns the protocol, or the number of windows, that can bound the probability of a miss, and how long it takes.

    More windows, and not longer ones: each restarts at ctx, so that they measure the same cell.
    """
    tau, tokens = expected_tau(rows), limits.tokens
    fewer = ["lower `choose --tokens`"] if tokens > 1 else []
    relax = " or ".join([*fewer, *([] if limits.miss is None else [f"set `choose --miss` above {limits.miss:g}"])])
    counts = _enough(chunks_needed(limits.miss, tau), tokens, _room(rows[0]))
    if counts is None:
        return f"{relax}, {HOPELESS}"
    usable = [row for row in rows if counts.refuses(row.cache) is None]
    shortest, longest = _minutes(counts, usable or rows)
    if shortest > LONGEST_MIN:
        return (
            f"{relax}, as for τ ≤ {tau} a session would take {shortest} min of steps, more than the {LONGEST_MIN} "
            "that are sensible"
        )
    if counts.windows > recordsize.most_windows(counts.steps):
        return f"{relax}, {HOPELESS}"
    others = ", with a static cache in place of a dynamic one" if len(usable) < len(rows) else ""
    minutes = f"{shortest}" if shortest == longest else f"{shortest} to {longest}"
    beyond = f"; beyond {LONGEST_MIN} min, {relax} instead" if longest > LONGEST_MIN else ""
    return (
        f"measure at least {FEWEST_SESSIONS} sessions of a cell with `{CELL} {_options(counts)}`{others}, enough for "
        f"τ ≤ {tau}, about {minutes} min of steps each{beyond}"
    )


def _room(row: ChooseRow) -> float:
    """Returns the positions that the model has beyond the row's ctx, infinite for a model without an entry."""
    known = catalogue.models().get(row.model)
    return math.inf if known is None else known.shape.max_positions - row.ctx


def _enough(chunks: int, tokens: int, room: float) -> Protocol | None:
    """Returns the shortest protocol with that many chunks, in windows that fit into the room; None if there is none."""
    named = [NAMED[name] for name in TAILS]
    for counts in named:
        if counts.warmup + counts.steps <= room and counts.windows * (counts.steps // tokens) >= chunks:
            return counts
    longest = named[-1]
    steps = max(tokens, min(longest.steps, room - longest.warmup))
    if longest.warmup + steps > room:
        return None
    return replace(longest, steps=int(steps), windows=math.ceil(chunks / (steps // tokens)))


def _minutes(counts: Protocol, rows: Sequence[ChooseRow]) -> tuple[int, int]:
    """Returns the minutes that the steps of a session take at the fastest and the slowest step, rounded up."""
    steps, times_ms = counts.windows * (counts.warmup + counts.steps), [row.step_wall_ms for row in rows]
    return math.ceil(steps * min(times_ms) / 60_000), math.ceil(steps * max(times_ms) / 60_000)


def _options(counts: Protocol) -> str:
    """Returns the options of a cell that make this protocol."""
    if counts in NAMED.values():
        return f"--protocol {counts.name}"
    named = NAMED[TAILS[0] if counts.windows == 1 else TAILS[-1]]
    steps = "" if counts.steps == named.steps else f" --steps {counts.steps}"
    windows = "" if counts.windows == named.windows else f" --windows {counts.windows}"
    return f"--protocol {named.name}{steps}{windows}"
